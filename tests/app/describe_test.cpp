#include "app/describe.hpp"

#include <catch2/catch.hpp>

#include "tests/app/config_fixture.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using Catch::Matchers::Contains;

TEST_CASE("a middleware is described with its options and callbacks", "[describe]") {
  Registry registry;
  registerTestMiddlewares(registry);
  CHECK(describe(registry, "keep_alive") == R"(keep_alive

Has options.

Options:
  grace (number, default 1.5, 1 to 10)
      Factor.
  after (duration, default "1m")
      When.
  size (size, default "1KiB")
      How much.
  strict (boolean, default false)
      Whether it finds fault with its place.
  names (list of strings, default [])
      Whom.
)");
  CHECK(describe(registry, "password_file") == R"(password_file

Knows.

Options:
  path (path, required)
      The file.

Handles:
  authenticateConnection
)");
  CHECK(describe(registry, "authentication") == R"(authentication

Asks.

It has no options.

Executes (somebody has to handle it):
  authenticateConnection
)");
  CHECK(describe(registry, "nothing") == "");
}

TEST_CASE("the tables that are no middlewares are described alike", "[describe]") {
  const Registry registry;
  CHECK_THAT(describe(registry, "listener"),
             Contains("  bind (string, required)\n") &&
                 Contains("  max_packet_size (size, default \"1MiB\", \"1KiB\" to \"256MiB\")"));
  CHECK_THAT(describe(registry, "log"), Contains("  level (string, default \"info\", one of"));
  CHECK_THAT(describe(registry, "tls"), Contains("  certificate (path, required)\n"));
  CHECK_THAT(describe(registry, "pipeline"), Contains("[\"connection\", …]"));
  CHECK_THAT(describe(registry, "middleware"), Contains("use = "));
  CHECK(describableNames(registry) == std::vector<std::string>{"listener", "tls", "sni", "limits",
                                                               "log", "pipeline", "middleware"});
}
