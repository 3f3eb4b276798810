#include "core/stack/options.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "core/stack/registry.hpp"

namespace mqttstack {
namespace {

using namespace std::chrono_literals;

enum class Mode : std::uint8_t { quick, thorough };

struct Everything {
  bool flag = true;
  std::int64_t whole = -5;
  std::uint16_t port = 1883;
  std::uint8_t tiny = 3;
  double factor = 1.5;
  TimeSpan span = 90s;
  ByteCount size{1024 * 1024};
  std::string text = "a \"b\" \\c";
  std::filesystem::path path = "file";
  std::vector<std::string> list = {"a", "b"};
  Mode mode = Mode::thorough;
  std::uint16_t limited = 10;
  TimeSpan limitedSpan = 10s;

  static void declare(OptionTable<Everything>& table) {
    table.add("flag", &Everything::flag, "A flag.");
    table.add("whole", &Everything::whole, "A whole number.");
    table.add("port", &Everything::port, "A port.");
    table.add("tiny", &Everything::tiny, "A byte.");
    table.add("factor", &Everything::factor, "A factor.").range(1.0, 10.0);
    table.add("span", &Everything::span, "A span.");
    table.add("size", &Everything::size, "A size.");
    table.add("text", &Everything::text, "A text.");
    table.add("path", &Everything::path, "A path.");
    table.add("list", &Everything::list, "A list.");
    table.addChoice("mode", &Everything::mode,
                    {{"quick", Mode::quick}, {"thorough", Mode::thorough}}, "A mode.");
    table.add("limited", &Everything::limited, "A limited number.").range(1, 20);
    table.add("limited_span", &Everything::limitedSpan, "A limited span.").range(1s, 1min);
  }
};

template <class Options = Everything>
Options parse(const OptionValues& values, Diagnostics& diagnostics) {
  OptionTable<Options> table;
  Options::declare(table);
  return detail::parseOptions(table, values, "/etc/here", diagnostics);
}

/// Parses one option, which has to be right.
Everything good(std::string name, OptionValue value) {
  Diagnostics diagnostics;
  const Everything options = parse({{std::move(name), std::move(value)}}, diagnostics);
  CHECK(diagnostics.findings().empty());
  return options;
}

/// Parses one option, which has to be wrong, and returns what was said.
std::string bad(std::string name, OptionValue value) {
  Diagnostics diagnostics;
  parse({{name, std::move(value)}}, diagnostics);
  REQUIRE(diagnostics.findings().size() == 1);
  const Finding& finding = diagnostics.findings().front();
  CHECK(finding.severity == Severity::error);
  CHECK(finding.place.option == name);
  return finding.message;
}

OptionValue string(std::string text) { return OptionValue{std::move(text)}; }
OptionValue whole(std::int64_t number) { return OptionValue{number}; }

TEST_CASE("an option of every type takes its values", "[options]") {
  CHECK_FALSE(good("flag", false).flag);
  CHECK(good("whole", whole(std::numeric_limits<std::int64_t>::min())).whole ==
        std::numeric_limits<std::int64_t>::min());
  CHECK(good("port", whole(0)).port == 0);
  CHECK(good("port", whole(65'535)).port == 65'535);
  CHECK(good("tiny", whole(255)).tiny == 255);
  CHECK(good("factor", 2.5).factor == 2.5);
  CHECK(good("factor", whole(3)).factor == 3.0);
  CHECK(good("span", string("1m30s")).span == 90s);
  CHECK(good("span", whole(7)).span == 7s);
  CHECK(good("span", 0.25).span == 250ms);
  CHECK(good("size", string("64KiB")).size.count == 65'536);
  CHECK(good("size", whole(100)).size.count == 100);
  CHECK(good("text", string("")).text.empty());
  CHECK(good("path", string("a/b")).path == "/etc/here/a/b");
  CHECK(good("path", string("/a/b")).path == "/a/b");
  CHECK(good("list", std::vector<std::string>{"x"}).list == std::vector<std::string>{"x"});
  CHECK(good("list", std::vector<std::string>{}).list.empty());
  CHECK(good("mode", string("quick")).mode == Mode::quick);
}

TEST_CASE("an option that is not given keeps its default", "[options]") {
  const Everything options = good("flag", true);
  CHECK(options.port == 1883);
  CHECK(options.span == 90s);
  CHECK(options.mode == Mode::thorough);
}

TEST_CASE("a value of the wrong type is refused, and told what it has to be", "[options]") {
  const OptionValue list = std::vector<std::string>{"a"};
  CHECK(bad("flag", whole(1)) == "\"flag\" has to be true or false");
  CHECK(bad("flag", string("true")) == "\"flag\" has to be true or false");
  CHECK(bad("whole", 1.0) == "\"whole\" has to be a whole number");
  CHECK(bad("whole", string("1")) == "\"whole\" has to be a whole number");
  CHECK(bad("port", true) == "\"port\" has to be a whole number");
  CHECK(bad("factor", string("2")) == "\"factor\" has to be a number");
  CHECK(bad("factor", true) == "\"factor\" has to be a number");
  CHECK(bad("span", true).find("a duration such as") != std::string::npos);
  CHECK(bad("span", list).find("a duration such as") != std::string::npos);
  CHECK(bad("size", 1.5).find("a size such as") != std::string::npos);
  CHECK(bad("size", list).find("a size such as") != std::string::npos);
  CHECK(bad("text", whole(1)) == "\"text\" has to be a string");
  CHECK(bad("path", whole(1)) == "\"path\" has to be a path");
  CHECK(bad("list", string("a")) == "\"list\" has to be a list of strings");
  CHECK(bad("mode", whole(0)) == "\"mode\" has to be one of \"quick\", \"thorough\"");
}

TEST_CASE("a value outside of its range is refused", "[options]") {
  CHECK(bad("port", whole(-1)) == "\"port\" has to be a number from 0 to 65535");
  CHECK(bad("port", whole(65'536)) == "\"port\" has to be a number from 0 to 65535");
  CHECK(bad("tiny", whole(256)) == "\"tiny\" has to be a number from 0 to 255");
  CHECK(bad("tiny", whole(std::numeric_limits<std::int64_t>::max())) ==
        "\"tiny\" has to be a number from 0 to 255");
  CHECK(bad("limited", whole(0)) == "\"limited\" has to be a value from 1 to 20");
  CHECK(bad("limited", whole(21)) == "\"limited\" has to be a value from 1 to 20");
  CHECK(good("limited", whole(1)).limited == 1);
  CHECK(good("limited", whole(20)).limited == 20);
  CHECK(bad("limited_span", whole(61)) ==
        "\"limited_span\" has to be a value from \"1s\" to \"1m\"");
  CHECK(good("limited_span", string("1m")).limitedSpan == 1min);
  CHECK(bad("factor", 0.99) == "\"factor\" has to be a value from 1 to 10");
  CHECK(bad("factor", std::numeric_limits<double>::infinity()) == "\"factor\" has to be a number");
  CHECK(bad("factor", std::nan("")) == "\"factor\" has to be a number");
  bad("span", whole(-1));
  bad("span", -0.5);
  bad("span", 1e300);
  bad("span", std::nan(""));
  bad("size", whole(-1));
  bad("path", string(""));
  bad("mode", string(""));
  bad("mode", string("Quick"));
}

TEST_CASE("an unknown option is refused, and told what was meant", "[options]") {
  Diagnostics diagnostics;
  parse({{"flagg", true}, {"sapn", whole(1)}, {"something_else", whole(1)}}, diagnostics);
  REQUIRE(diagnostics.errorCount() == 3);
  CHECK(diagnostics.findings()[0].message == "unknown option \"flagg\"");
  CHECK(diagnostics.findings()[0].help == "did you mean \"flag\"?");
  CHECK(diagnostics.findings()[0].place.option == "flagg");
  CHECK(diagnostics.findings()[1].message == "unknown option \"sapn\"");
  CHECK(diagnostics.findings()[2].help.starts_with("its options are: flag, whole, port"));
}

TEST_CASE("a middleware without options says so", "[options]") {
  Diagnostics diagnostics;
  parse<NoOptions>({{"flag", true}}, diagnostics);
  REQUIRE(diagnostics.errorCount() == 1);
  CHECK(diagnostics.findings()[0].help == "it has no options");
}

struct Needed {
  std::string path;
  std::uint16_t port = 1;
  static void declare(OptionTable<Needed>& table) {
    table.add("path", &Needed::path, "Where it is.").required();
    table.add("port", &Needed::port, "A port.").range(1, 9).required();
  }
};

TEST_CASE("an option that is required has to be there", "[options]") {
  Diagnostics diagnostics;
  parse<Needed>({{"path", string("x")}}, diagnostics);
  REQUIRE(diagnostics.errorCount() == 1);
  CHECK(diagnostics.findings()[0].message == "option \"port\" is missing");
  CHECK(diagnostics.findings()[0].help == "add: port = …   (A port.)");
  Diagnostics both;
  parse<Needed>({}, both);
  CHECK(both.errorCount() == 2);
}

TEST_CASE("a table describes its options", "[options]") {
  OptionTable<Everything> table;
  Everything::declare(table);
  const auto info = [&](std::string_view name) {
    for (const auto& entry : table.entries())
      if (entry.info.name == name) return entry.info;
    FAIL("no option " << name);
    return OptionInfo{};
  };
  CHECK(info("flag").type == "boolean");
  CHECK(info("flag").defaultValue == "true");
  CHECK(info("whole").type == "integer");
  CHECK(info("whole").defaultValue == "-5");
  CHECK(info("tiny").defaultValue == "3");
  CHECK(info("factor").type == "number");
  CHECK(info("factor").defaultValue == "1.5");
  CHECK(info("factor").range == "1 to 10");
  CHECK(info("span").type == "duration");
  CHECK(info("span").defaultValue == "\"1m30s\"");
  CHECK(info("size").type == "size");
  CHECK(info("size").defaultValue == "\"1MiB\"");
  CHECK(info("text").type == "string");
  CHECK(info("text").defaultValue == R"("a \"b\" \\c")");
  CHECK(info("path").type == "path");
  CHECK(info("path").defaultValue == "\"file\"");
  CHECK(info("list").type == "list of strings");
  CHECK(info("list").defaultValue == "[\"a\", \"b\"]");
  CHECK(info("mode").defaultValue == "\"thorough\"");
  CHECK(info("mode").range == "one of \"quick\", \"thorough\"");
  CHECK(info("mode").text == "A mode.");

  OptionTable<Needed> needed;
  Needed::declare(needed);
  CHECK(needed.entries()[0].info.required);
  CHECK(needed.entries()[1].info.defaultValue.empty());
}

// Spans and sizes.

TEST_CASE("spans of time are read with their units", "[options]") {
  CHECK(parseTimeSpan("0s") == 0ms);
  CHECK(parseTimeSpan("250ms") == 250ms);
  CHECK(parseTimeSpan("90s") == 90s);
  CHECK(parseTimeSpan("1.5s") == 1500ms);
  CHECK(parseTimeSpan("2m") == 2min);
  CHECK(parseTimeSpan("1h") == 1h);
  CHECK(parseTimeSpan("7d") == 168h);
  CHECK(parseTimeSpan("1w") == 168h);
  CHECK(parseTimeSpan("1d2h3m4s5ms") == 26h + 3min + 4s + 5ms);
  CHECK(parseTimeSpan("1m1ms") == 1min + 1ms);
}

TEST_CASE("what is not a span of time is refused", "[options]") {
  for (const std::string_view text : {"",      " ",    "s",    "1",     "90",
                                      "1 s",   " 1s",  "1s ",  "-1s",   "+1s",
                                      "1x",    "1S",   "1sec", "1s1",   "one second",
                                      "1e3s",  "0x1s", "infs", "nans",  "inf",
                                      "1s-0s", "1,5s", ".5s",  "1..5s", "99999999999999999999d",
                                      "1\0s"}) {
    CAPTURE(text);
    CHECK_FALSE(parseTimeSpan(text));
  }
}

TEST_CASE("a span of time is written as it is read", "[options]") {
  CHECK(formatTimeSpan(0ms) == "0s");
  CHECK(formatTimeSpan(90s) == "1m30s");
  CHECK(formatTimeSpan(1ms) == "1ms");
  CHECK(formatTimeSpan(168h) == "7d");
  CHECK(formatTimeSpan(26h + 3min + 4s + 5ms) == "1d2h3m4s5ms");
  std::mt19937 random{1};  // NOLINT
  for (int i = 0; i < 2'000; ++i) {
    const TimeSpan span{random() % (std::uint64_t{1} << (random() % 40))};
    CHECK(parseTimeSpan(formatTimeSpan(span)) == span);
  }
}

TEST_CASE("sizes are read with their units", "[options]") {
  CHECK(parseByteCount("0")->count == 0);
  CHECK(parseByteCount("123")->count == 123);
  CHECK(parseByteCount("1B")->count == 1);
  CHECK(parseByteCount("1kB")->count == 1'000);
  CHECK(parseByteCount("1KiB")->count == 1'024);
  CHECK(parseByteCount("1.5KiB")->count == 1'536);
  CHECK(parseByteCount("2MB")->count == 2'000'000);
  CHECK(parseByteCount("2MiB")->count == 2'097'152);
  CHECK(parseByteCount("1GB")->count == 1'000'000'000);
  CHECK(parseByteCount("4GiB")->count == 4'294'967'296);
}

TEST_CASE("what is not a size is refused", "[options]") {
  for (const std::string_view text :
       {"", "B", "KiB", "1K", "1 KiB", "1KB", "1kib", "-1", "+1", "1KiB1", "inf", "nan", "1e6",
        "99999999999999999999", "9999999999GiB", "ten"}) {
    CAPTURE(text);
    CHECK_FALSE(parseByteCount(text));
  }
}

TEST_CASE("a size is written as it is read", "[options]") {
  CHECK(formatByteCount({0}) == "0B");
  CHECK(formatByteCount({1'023}) == "1023B");
  CHECK(formatByteCount({1'024}) == "1KiB");
  CHECK(formatByteCount({1'048'577}) == "1048577B");
  CHECK(formatByteCount({3ULL << 30U}) == "3GiB");
  std::mt19937 random{1};  // NOLINT
  for (int i = 0; i < 2'000; ++i) {
    const ByteCount size{random() % (std::uint64_t{1} << (random() % 50))};
    CHECK(parseByteCount(formatByteCount(size)) == size);
  }
}

TEST_CASE("no string makes the parsers stumble", "[options]") {
  std::mt19937 random{7};  // NOLINT
  constexpr std::string_view kAlphabet = "0123456789.-+einfas mhdwkKMGiB\xff";
  for (int i = 0; i < 50'000; ++i) {
    std::string text(random() % 12, '\0');
    for (char& c : text) c = kAlphabet[random() % kAlphabet.size()];
    if (const auto span = parseTimeSpan(text)) CHECK(span->count() >= 0);
    if (const auto size = parseByteCount(text)) CHECK(size->count <= 9'000'000'000'000'000'000U);
  }
}

TEST_CASE("the closest name is the one that was meant, or none", "[options]") {
  const std::vector<std::string> names{"keep_alive", "last_will", "connection", "limits"};
  CHECK(closestName("keepalive", names) == "keep_alive");
  CHECK(closestName("last_wil", names) == "last_will");
  CHECK(closestName("conection", names) == "connection");
  CHECK(closestName("limit", names) == "limits");
  CHECK(closestName("sqlite", names).empty());
  CHECK(closestName("", names).empty());
  CHECK(closestName("x", {}).empty());
}

}  // namespace
}  // namespace mqttstack
