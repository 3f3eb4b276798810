#include "app/log_setup.hpp"

#include <cstdlib>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

using namespace mqttstack;

namespace {

const auto kTime =
    std::chrono::system_clock::from_time_t(1'795'446'245) + std::chrono::milliseconds{7};

}  // namespace

TEST_CASE("a log line has time, level, component and message", "[log]") {
  const std::string line =
      formatLogLine(LogFormat::text, kTime, LogLevel::info, "listener", "all is well");
  CHECK(line.size() ==
        std::string{"2026-11-23 15:04:05.007 info  [listener] all is well\n"}.size());
  CHECK(line.substr(19) == ".007 info  [listener] all is well\n");
  CHECK(formatLogLine(LogFormat::text, kTime, LogLevel::warning, "a", "b").substr(23) ==
        " warning [a] b\n");
}

TEST_CASE("a JSON log line is one object in UTC", "[log]") {
  CHECK(formatLogLine(LogFormat::json, kTime, LogLevel::error, "li\"st", "a\\b \"c\"\n\x01ü") ==
        "{\"time\":\"2026-11-23T15:04:05.007Z\",\"level\":\"error\",\"component\":\"li\\\"st\","
        "\"message\":\"a\\\\b \\\"c\\\"\\u000a\\u0001ü\"}\n");
}

TEST_CASE("a line for the journal has a level of syslog and no time", "[log]") {
  const auto journal = [](LogLevel level) {
    return formatLogLine(LogFormat::journal, kTime, level, "a", "b\n<0>c");
  };
  CHECK(journal(LogLevel::error) == "<3>[a] b\\x0a<0>c\n");
  CHECK(journal(LogLevel::warning) == "<4>[a] b\\x0a<0>c\n");
  CHECK(journal(LogLevel::info) == "<6>[a] b\\x0a<0>c\n");
  CHECK(journal(LogLevel::debug) == "<7>[a] b\\x0a<0>c\n");
  CHECK(journal(LogLevel::trace) == "<7>[a] b\\x0a<0>c\n");
}

TEST_CASE("the format is the journal's where JOURNAL_STREAM names what stderr is", "[log]") {
  struct stat status {};
  REQUIRE(::fstat(STDERR_FILENO, &status) == 0);
  const std::string here = std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
  ::setenv("JOURNAL_STREAM", here.c_str(), 1);
  CHECK(resolved(LogFormat::automatic) == LogFormat::journal);
  CHECK(resolved(LogFormat::json) == LogFormat::json);
  ::setenv("JOURNAL_STREAM", (here + "1").c_str(), 1);
  CHECK(resolved(LogFormat::automatic) == LogFormat::text);
  ::unsetenv("JOURNAL_STREAM");
  CHECK(resolved(LogFormat::automatic) == LogFormat::text);
  CHECK(resolved(LogFormat::journal) == LogFormat::journal);
}

TEST_CASE("nothing in a message begins another line", "[log]") {
  CHECK(formatLogLine(LogFormat::text, kTime, LogLevel::info, "a", "b\nfake\r\x1b[0m").substr(23) ==
        " info  [a] b\\x0afake\\x0d\\x1b[0m\n");
}
