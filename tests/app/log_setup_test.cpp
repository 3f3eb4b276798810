#include "app/log_setup.hpp"

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

TEST_CASE("nothing in a message begins another line", "[log]") {
  CHECK(formatLogLine(LogFormat::text, kTime, LogLevel::info, "a", "b\nfake\r\x1b[0m").substr(23) ==
        " info  [a] b\\x0afake\\x0d\\x1b[0m\n");
}
