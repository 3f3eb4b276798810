#include "app/man_page.hpp"

#include <catch2/catch.hpp>

#include "app/describe.hpp"
#include "tests/app/config_fixture.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

TEST_CASE("markdown becomes paragraphs, items and code of a manual page", "[man]") {
  CHECK(manPageText("One\nline.\n\n- **Strong**: a `name`\n  and more.\n- Two.\n\nEnd.\n") ==
        ".PP\nOne line.\n"
        ".IP \\(bu 2\n\\fBStrong\\fR: a \\fBname\\fR and more.\n"
        ".IP \\(bu 2\nTwo.\n"
        ".PP\nEnd.\n");
  CHECK(manPageText("```toml\n[log]\n\nlevel = \"info\"\n```\nText.") ==
        ".PP\n.nf\n[log]\n\nlevel = \"info\"\n.fi\n.PP\nText.\n");
  CHECK(manPageText("").empty());
}

TEST_CASE("nothing in a text is taken for a request of the manual page", "[man]") {
  CHECK(manPageText(".TH is no request") == ".PP\n\\&.TH is no request\n");
  CHECK(manPageText("'quoted' back\\slash --flag ~^") ==
        ".PP\n\\(aqquoted\\(aq back\\eslash \\-\\-flag \\(ti\\(ha\n");
  CHECK(manPageText("```\n.TH\n'x'\n```") == ".PP\n.nf\n\\&.TH\n\\(aqx\\(aq\n.fi\n");
}

TEST_CASE("the manual page has every option with type, range and default", "[man]") {
  Registry registry;
  registerTestMiddlewares(registry);
  const std::string page = configurationManPage(registry, "1.2.3");
  CHECK_THAT(page, StartsWith(".TH MQTT\\-STACKD.TOML 5 \"\" \"mqtt\\-stackd 1.2.3\""));
  CHECK_THAT(page, Contains(".SS keep_alive\nHas options.\n"
                            ".TP\n\\fBgrace\\fR = 1.5\n(number, 1 to 10) Factor.\n"));
  CHECK_THAT(page, Contains(".TP\n\\fBpath\\fR\n(path, required) The file.\n"));
  CHECK_THAT(page, Contains(".SS authentication\nAsks.\nIt has no options.\n"));
  CHECK_THAT(page, Contains(".SS [[listener]]\n"));
  for (const ConfigTableInfo& table : configTables())
    for (const OptionInfo& option : table.options)
      CHECK_THAT(page, Contains(".TP\n\\fB" + option.name + "\\fR"));
}
