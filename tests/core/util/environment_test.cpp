#include "core/util/environment.hpp"

#include <cstdlib>

#include <catch2/catch.hpp>

using namespace mqttstack;
using Catch::Matchers::Contains;

TEST_CASE("variables in a text are replaced", "[environment]") {
  ::setenv("TEST_A", "/a", 1);
  ::setenv("TEST_EMPTY", "", 1);
  CHECK(*expandVariables("plain $TEST_A {x} $") == "plain $TEST_A {x} $");
  CHECK(*expandVariables("${TEST_A}/b") == "/a/b");
  CHECK(*expandVariables("x${TEST_A}${TEST_EMPTY}y${TEST_A}") == "x/ay/a");
  ::setenv("TEST_A", "${TEST_A}", 1);
  CHECK(*expandVariables("${TEST_A}") == "${TEST_A}");
}

TEST_CASE("a variable that is not set is named, and an open brace is found", "[environment]") {
  ::unsetenv("TEST_A");
  CHECK(expandVariables("${TEST_A}/b").error() ==
        "a path whose variables are set, and \"TEST_A\" is not");
  CHECK_THAT(expandVariables("${}").error(), Contains("\"\" is not"));
  CHECK_THAT(expandVariables("a${TEST_A").error(), Contains("has its \"}\""));
  ::unsetenv("CREDENTIALS_DIRECTORY");
  CHECK_THAT(expandVariables("${CREDENTIALS_DIRECTORY}/key").error(), Contains("LoadCredential="));
}

TEST_CASE("a variable that is taken is gone", "[environment]") {
  ::setenv("TEST_A", "1", 1);
  CHECK(takeEnvironmentVariable("TEST_A") == "1");
  CHECK_FALSE(takeEnvironmentVariable("TEST_A"));
  CHECK_FALSE(environmentVariable("TEST_A"));
}
