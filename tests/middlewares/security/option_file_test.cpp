#include "middlewares/security/option_file.hpp"

#include <catch2/catch.hpp>

#include "tests/support/temporary_file.hpp"

using namespace mqttstack;
using namespace mqttstack::test;

TEST_CASE("the file of an option is read as it is", "[option_file]") {
  const std::string text = std::string(100'000, 'x') + "\r\n" + std::string(1, '\0') + "y";
  const TemporaryFile file{text};
  Diagnostics diagnostics;
  CHECK(readOptionFile("path", file.path(), diagnostics) == text);
  CHECK(readOptionFile("path", "/nowhere/at/all", diagnostics) == std::nullopt);
  REQUIRE(diagnostics.errorCount() == 1);
  CHECK(diagnostics.findings().front().help == "make it, or correct the path");
}

TEST_CASE("a file whose reading fails is reported like one that is not there", "[option_file]") {
  // A regular file that may be opened, and has nothing at its beginning that can be read.
  Diagnostics diagnostics;
  CHECK(readOptionFile("path", "/proc/self/mem", diagnostics) == std::nullopt);
  REQUIRE(diagnostics.errorCount() == 1);
  CHECK(diagnostics.findings().front().message ==
        "cannot read \"/proc/self/mem\": Input/output error");
  CHECK(diagnostics.findings().front().place.option == "path");
}

TEST_CASE("a directory is no file of an option", "[option_file]") {
  Diagnostics diagnostics;
  CHECK(readOptionFile("path", "/", diagnostics) == std::nullopt);
  CHECK(diagnostics.findings().front().message == "cannot read \"/\": it is a directory");
}
