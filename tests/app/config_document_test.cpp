#include "app/config_document.hpp"

#include <sstream>

#include <catch2/catch.hpp>

using namespace mqttstack;
using Catch::Matchers::Contains;

namespace {

std::vector<std::pair<std::uint32_t, std::uint32_t>> placesOfErrors(std::string text) {
  ConfigReport report;
  CHECK_FALSE(parseToml({"test.toml", std::move(text)}, report));
  std::vector<std::pair<std::uint32_t, std::uint32_t>> places;
  for (const ConfigFinding& finding : report.findings())
    places.emplace_back(finding.at.line, finding.at.column);
  return places;
}

}  // namespace

TEST_CASE("a TOML file keeps its order and its places", "[config_document]") {
  ConfigReport report;
  const auto table =
      parseToml({"test.toml", "z = 1\na = \"two\"\n[t.u]\n  k = [1, true]\n"}, report);
  REQUIRE(table);
  REQUIRE(table->entries.size() == 3);
  CHECK(table->entries[0].key == "z");
  CHECK(table->entries[0].at == SourceSpan{1, 1, 1});
  CHECK(table->entries[1].value.at == SourceSpan{2, 5, 5});
  const auto* t = table->entries[2].value.as<ConfigTable>();
  REQUIRE(t);
  REQUIRE(t->find("u"));
  const auto* u = t->find("u")->value.as<ConfigTable>();
  REQUIRE(u);
  REQUIRE(u->find("k"));
  CHECK(u->find("k")->at == SourceSpan{4, 3, 1});
  CHECK(u->find("k")->value.as<ConfigList>()->size() == 2);
  CHECK(t->find("nothing") == nullptr);
}

TEST_CASE("a syntax error has its place and the parser's words", "[config_document]") {
  ConfigReport report;
  const SourceText source{"test.toml", "[log]\nlevel = info\n"};
  CHECK_FALSE(parseToml(source, report));
  std::ostringstream out;
  report.print(out, source);
  CHECK(out.str() ==
        "test.toml:2:12: error: cannot read floating-point: expected value-terminator, saw 'o'\n"
        "    level = info\n"
        "               ^\n"
        "help: a text stands in quotes: \"info\"\n"
        "test.toml: 1 error\n");
}

TEST_CASE("several syntax errors are told in one run", "[config_document]") {
  const auto places = placesOfErrors("a = \nb = 1\nc = 'x\nd = [1,\n  2\n[t]\ne = 2\ne = 3\n");
  REQUIRE(places.size() == 4);
  CHECK(places[0].first == 1);
  CHECK(places[1].first == 3);
  CHECK(places[2].first == 6);
  CHECK(places[3].first == 8);
}

TEST_CASE("what was not closed is told where it begins", "[config_document]") {
  ConfigReport report;
  CHECK_FALSE(parseToml({"test.toml", "a = [1,\n  2\n\n[t]\n"}, report));
  REQUIRE(report.findings().size() == 1);
  CHECK(report.findings()[0].at.line == 4);
  CHECK(report.findings()[0].help == "what begins on line 1 may not be closed");
}

TEST_CASE("a table header without a name is told at its place", "[config_document]") {
  for (const char* header :
       {"[[[", "[!x]", "[[ ?", "[ö]", "[", "[[", "[]", "[[]]", "[.a]", "[[[a]]]"}) {
    INFO(header);
    const auto places = placesOfErrors(std::string{"a = 1\n"} + header + "\n[b]\nc = \n");
    REQUIRE(places.size() == 2);
    CHECK(places[0].first == 2);
    CHECK(places[1].first == 4);
  }
}

TEST_CASE("one syntax error within a long list is told once", "[config_document]") {
  CHECK(placesOfErrors("[pipeline]\ndefault = [\"a\" \"b\",\n  \"c\",\n  \"d\"]\n").size() == 1);
}

TEST_CASE("a file that is no text at all is refused", "[config_document]") {
  CHECK(placesOfErrors(std::string("\xff\xfe\x00\x01", 4)).size() == 1);
  CHECK(placesOfErrors(std::string(300, '[')).size() == 1);
  CHECK(placesOfErrors(std::string(5000, '=') + "\n").size() == 1);
}

TEST_CASE("values of the wrong kind reach an option as something that it refuses",
          "[config_document]") {
  ConfigReport report;
  const auto table =
      parseToml({"test.toml", "a = [1, 2]\nb = 2020-01-01\nc = {}\nd = []\ne = ['x']"}, report);
  REQUIRE(table);
  const auto asOption = [&](const char* key, std::string_view type) {
    return toOptionValue(table->find(key)->value, type);
  };
  using Words = std::vector<std::string>;
  CHECK(std::holds_alternative<bool>(asOption("a", "list of strings")));
  CHECK(std::holds_alternative<Words>(asOption("a", "boolean")));
  CHECK(std::holds_alternative<Words>(asOption("b", "string")));
  CHECK(std::holds_alternative<Words>(asOption("c", "boolean")));
  CHECK(asOption("d", "list of strings") == OptionValue{Words{}});
  CHECK(asOption("e", "list of strings") == OptionValue{Words{"x"}});
}
