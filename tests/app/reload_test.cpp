#include "app/reload.hpp"

#include <catch2/catch.hpp>

#include "tests/app/config_fixture.hpp"

using namespace mqttstack;
using Changes = std::vector<std::string>;

namespace {

Changes changes(const std::string& running, const std::string& wanted) {
  ConfigReport report;
  const Config one = readConfig({"test.toml", running}, report);
  const Config other = readConfig({"test.toml", wanted}, report);
  REQUIRE_FALSE(report.hasErrors());
  return changesThatNeedRestart(one, other);
}

const std::string kFile = R"(
[[listener]]
name = "a"
bind = "127.0.0.1:1883"
tls = { certificate = "c", key = "k" }
[pipeline]
default = ["connection", "store"]
[middleware.store]
use = "memory_backend"
names = ["x", "y"]
size = 1.5
)";

std::string with(std::string text, const std::string& what, const std::string& by) {
  return text.replace(text.find(what), what.size(), by);
}

}  // namespace

TEST_CASE("comments, the order of tables and [log] change nothing", "[reload]") {
  CHECK(changes(kFile, kFile).empty());
  CHECK(changes(kFile, "# new\n[log]\nlevel = \"debug\"\n" + kFile).empty());
  CHECK(changes("", "[log]\nformat = \"json\"\n").empty());
  CHECK(
      changes(
          "[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:1\"\n[[listener]]\nname = \"b\"\nbind = "
          "\"127.0.0.1:2\"\n",
          "[[listener]]\nbind = \"127.0.0.1:2\"\nname = \"b\"\n[[listener]]\nname = \"a\"\nbind = "
          "\"127.0.0.1:1\"\n")
          .empty());
}

TEST_CASE("what needs a restart is named with what happened to it", "[reload]") {
  CHECK(changes(kFile, with(kFile, ":1883", ":1884")) == Changes{"listener \"a\" changed"});
  CHECK(changes(kFile, with(kFile, "\"k\"", "\"l\"")) == Changes{"listener \"a\" changed"});
  CHECK(changes(kFile, with(kFile, "\"a\"", "\"b\"")) ==
        Changes{"listener \"a\" was removed", "listener \"b\" was added"});
  CHECK(changes(kFile, with(kFile, "\"connection\", \"store\"", "\"store\", \"connection\"")) ==
        Changes{"pipeline \"default\" changed"});
  CHECK(changes(kFile, with(kFile, "[middleware", "other = [\"store\"]\n[middleware")) ==
        Changes{"pipeline \"other\" was added"});
  for (const auto& [what, by] :
       {std::pair{"\"y\"", "\"z\""}, std::pair{"\"x\", ", ""}, std::pair{"1.5", "2.5"},
        std::pair{"1.5", "2"}, std::pair{"memory_backend", "other_backend"},
        std::pair{"size = 1.5", ""}, std::pair{"size", "more = 1\nsize"}})
    CHECK(changes(kFile, with(kFile, what, by)) == Changes{"middleware \"store\" changed"});
}
