#include "middlewares/security/acl_rules.hpp"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "core/mqtt/topic.hpp"

using namespace mqttstack;
using Outcome = AclRules::Outcome;

namespace {

using Problems = std::vector<std::pair<std::size_t, std::string>>;

AclRules compile(std::string_view text) {
  return AclRules::compile(text, [](std::size_t line, std::string problem, std::string) {
    FAIL(line << ": " << problem);
  });
}

Problems problemsOf(std::string_view text) {
  Problems problems;
  AclRules::compile(text, [&](std::size_t line, std::string problem, std::string) {
    problems.emplace_back(line, std::move(problem));
  });
  return problems;
}

broker::Identity user(std::string principal, std::string clientId = "client") {
  broker::IdentityFields fields;
  fields.principal = std::move(principal);
  fields.clientId = std::move(clientId);
  return broker::Identity{std::move(fields)};
}
broker::Identity nobody(std::string clientId = "client") {
  broker::IdentityFields fields;
  fields.principal = "anonymous";
  fields.clientId = std::move(clientId);
  fields.anonymous = true;
  return broker::Identity{std::move(fields)};
}

AclRules::Decision mayPublish(const AclRules& rules, const broker::Identity& who,
                              std::string_view topic) {
  return rules.decide(who, AclAccess::publish, topic);
}
AclRules::Decision mayReceive(const AclRules& rules, const broker::Identity& who,
                              std::string_view topic) {
  return rules.decide(who, AclAccess::receive, topic);
}
AclRules::Decision maySubscribe(const AclRules& rules, const broker::Identity& who,
                                std::string_view filter) {
  return rules.decide(who, AclAccess::subscribe, filter);
}

bool reads(const AclRules& rules, const broker::Identity& who, std::string_view topic) {
  return mayReceive(rules, who, topic).outcome == Outcome::allowed;
}
bool writes(const AclRules& rules, const broker::Identity& who, std::string_view topic) {
  return mayPublish(rules, who, topic).outcome == Outcome::allowed;
}
bool subscribes(const AclRules& rules, const broker::Identity& who, std::string_view filter) {
  return maySubscribe(rules, who, filter).outcome == Outcome::allowed;
}

}  // namespace

TEST_CASE("an empty access control file allows nothing", "[acl_rules]") {
  const auto rules = compile(GENERATE(as<std::string>{}, "", "\n\n", "# nothing\n  # at all"));
  for (const auto& who : {user("alice"), nobody()}) {
    CHECK(mayReceive(rules, who, "a").outcome == Outcome::unmatched);
    CHECK(mayPublish(rules, who, "a").outcome == Outcome::unmatched);
    CHECK(maySubscribe(rules, who, "#").outcome == Outcome::unmatched);
  }
}

TEST_CASE("a rule gives what its access says", "[acl_rules]") {
  const auto rules = compile(
      "user alice\n"
      "topic read r\n"
      "topic write w\n"
      "topic readwrite rw\n"
      "topic both\n"
      "topic readwrite two words\n"
      "topic read also two\n");
  const auto alice = user("alice");
  CHECK(reads(rules, alice, "r"));
  CHECK_FALSE(writes(rules, alice, "r"));
  CHECK(writes(rules, alice, "w"));
  CHECK_FALSE(reads(rules, alice, "w"));
  for (const char* topic : {"rw", "both", "two words"}) {
    CHECK(reads(rules, alice, topic));
    CHECK(writes(rules, alice, topic));
  }
  CHECK(reads(rules, alice, "also two"));
  CHECK_FALSE(writes(rules, alice, "also two"));
  CHECK(subscribes(rules, alice, "r"));
  CHECK_FALSE(subscribes(rules, alice, "w"));
}

TEST_CASE("rules belong to the user above them", "[acl_rules]") {
  const auto rules = compile(
      "topic read public\n"
      "user alice\n"
      "topic a\n"
      "user bob the builder\n"
      "\ttopic b \r\n"
      "user alice\n"
      "topic a2\n"
      "user anonymous\n"
      "topic named\n");
  CHECK(reads(rules, user("alice"), "a"));
  CHECK(reads(rules, user("alice"), "a2"));
  CHECK_FALSE(reads(rules, user("alice"), "b"));
  CHECK_FALSE(reads(rules, user("alice"), "public"));
  CHECK(reads(rules, user("bob the builder"), "b"));
  CHECK_FALSE(reads(rules, user("bob"), "b"));
  CHECK_FALSE(reads(rules, user("carol"), "a"));
  CHECK(reads(rules, nobody(), "public"));
  // One who is called so is not the same as one who gave no name.
  CHECK_FALSE(reads(rules, nobody(), "named"));
  CHECK(reads(rules, user("anonymous"), "named"));
  CHECK_FALSE(reads(rules, user("anonymous"), "public"));
}

TEST_CASE("a deny wins over all that allow, wherever it stands", "[acl_rules]") {
  const auto rules = compile(
      "user alice\n"
      "topic home/#\n"
      "topic deny home/safe/#\n"
      "topic home/safe/light\n"
      "pattern deny private/%c\n"
      "user bob\n"
      "topic private/#\n");
  const auto alice = user("alice");
  CHECK(writes(rules, alice, "home/door"));
  const auto denied = mayPublish(rules, alice, "home/safe/light");
  CHECK(denied.outcome == Outcome::denied);
  CHECK(denied.line == 3);
  CHECK(mayReceive(rules, alice, "home/safe").outcome == Outcome::denied);
  CHECK(mayReceive(rules, user("bob", "c1"), "private/c1").outcome == Outcome::denied);
  CHECK(reads(rules, user("bob", "c1"), "private/c2"));
}

TEST_CASE("a decision names the line of its rule", "[acl_rules]") {
  const auto rules = compile("# one\n\nuser alice\ntopic read a\npattern write %c\n");
  CHECK(mayReceive(rules, user("alice"), "a").line == 4);
  CHECK(mayPublish(rules, user("alice", "x"), "x").line == 5);
  CHECK(mayPublish(rules, user("alice", "x"), "y").line == 0);
}

TEST_CASE("a subscription needs one rule that covers its filter", "[acl_rules]") {
  const auto rules = compile(
      "user alice\n"
      "topic read home/#\n"
      "topic read +/open\n"
      "topic deny home/safe/#\n"
      "user bob\n"
      "topic read #\n"
      "topic deny secret\n");
  const auto alice = user("alice");
  CHECK(subscribes(rules, alice, "home"));
  CHECK(subscribes(rules, alice, "home/#"));
  CHECK(subscribes(rules, alice, "home/+/light"));
  CHECK(subscribes(rules, alice, "+/open"));
  CHECK(subscribes(rules, alice, "garden/open"));
  CHECK_FALSE(subscribes(rules, alice, "#"));
  CHECK_FALSE(subscribes(rules, alice, "+/#"));
  CHECK_FALSE(subscribes(rules, alice, "+"));
  CHECK_FALSE(subscribes(rules, alice, "homes/#"));
  CHECK_FALSE(subscribes(rules, alice, "garden/+"));
  // All of it is denied, or only a part: that is not delivered.
  CHECK(maySubscribe(rules, alice, "home/safe/+").outcome == Outcome::denied);
  CHECK(subscribes(rules, alice, "home/+"));
  CHECK(subscribes(rules, user("bob"), "#"));
  CHECK(mayReceive(rules, user("bob"), "secret").outcome == Outcome::denied);
}

TEST_CASE("topics with a $ need a rule that names them [v5:4.7.2-1]", "[acl_rules]") {
  const auto rules = compile(
      "user alice\n"
      "topic #\n"
      "topic +/broker/load\n"
      "user admin\n"
      "topic read $SYS/#\n");
  CHECK_FALSE(reads(rules, user("alice"), "$SYS/broker/load"));
  CHECK_FALSE(writes(rules, user("alice"), "$CONTROL/x"));
  CHECK_FALSE(subscribes(rules, user("alice"), "$SYS/#"));
  CHECK(reads(rules, user("admin"), "$SYS/broker/load"));
  CHECK(subscribes(rules, user("admin"), "$SYS/#"));
  CHECK_FALSE(writes(rules, user("admin"), "$SYS/broker/load"));
}

TEST_CASE("a pattern stands for the client's own level", "[acl_rules]") {
  const auto rules = compile(
      "pattern write devices/%c/state\n"
      "pattern read %u/+/inbox/#\n"
      "pattern shared/%u/%c\n");
  const auto alice = user("alice", "kitchen");
  CHECK(writes(rules, alice, "devices/kitchen/state"));
  CHECK_FALSE(writes(rules, alice, "devices/cellar/state"));
  CHECK_FALSE(writes(rules, alice, "devices/%c/state"));
  CHECK(reads(rules, alice, "alice/x/inbox/1"));
  CHECK(subscribes(rules, alice, "alice/+/inbox/#"));
  CHECK_FALSE(subscribes(rules, alice, "+/+/inbox/#"));
  CHECK_FALSE(reads(rules, alice, "bob/x/inbox/1"));
  CHECK(writes(rules, alice, "shared/alice/kitchen"));
  CHECK(writes(rules, nobody("kitchen"), "devices/kitchen/state"));
  CHECK_FALSE(reads(rules, nobody(), "anonymous/x/inbox/1"));
}

TEST_CASE(
    "a name that means more than itself makes a pattern match nothing (mosquitto "
    "CVE-2017-7650, NanoMQ 2344, RabbitMQ CVE-2026-44838, CVE-2026-67407)",
    "[acl_rules]") {
  const auto rules = compile(
      "pattern devices/%c/state\n"
      "pattern users/%u/#\n"
      "pattern %u/own\n");
  for (const std::string& name :
       {std::string{"+"}, std::string{"#"}, std::string{"a/b"}, std::string{"a+"}, std::string{"/"},
        std::string{}, std::string{"a\0b", 3}, std::string{"\0", 1}}) {
    CAPTURE(name);
    const auto evil = user(name, name);
    CHECK_FALSE(writes(rules, evil, "devices/cellar/state"));
    CHECK_FALSE(writes(rules, evil, "devices/a/b/state"));
    CHECK_FALSE(writes(rules, evil, "devices/" + name + "/state"));
    CHECK_FALSE(subscribes(rules, evil, "devices/+/state"));
    CHECK_FALSE(subscribes(rules, evil, "users/+/#"));
    CHECK_FALSE(reads(rules, evil, "users/alice/x"));
    CHECK_FALSE(reads(rules, evil, name + "/own"));
  }
  // A placeholder in a name is a name.
  CHECK(writes(rules, user("x", "%u"), "devices/%u/state"));
  CHECK_FALSE(writes(rules, user("x", "%u"), "devices/x/state"));
  // A leading $ is no secret way to the broker's own topics, and harmless elsewhere.
  CHECK_FALSE(writes(rules, user("$SYS"), "$SYS/own"));
  CHECK(writes(rules, user("$SYS"), "users/$SYS/x"));
}

TEST_CASE("nothing in a rule, a topic or a name is an expression (mosca CVE-2018-11615)",
          "[acl_rules]") {
  const auto rules = compile(
      "user alice\n"
      "topic a.c/(x|y)\n"
      "topic [ab]*/^$\n"
      "pattern own/%c\n");
  const auto alice = user("alice", "(a+)+$");
  CHECK(writes(rules, alice, "a.c/(x|y)"));
  CHECK_FALSE(writes(rules, alice, "abc/x"));
  CHECK_FALSE(writes(rules, alice, "a.c/x"));
  CHECK(writes(rules, alice, "[ab]*/^$"));
  CHECK_FALSE(writes(rules, alice, "aaa/"));
  CHECK_FALSE(writes(rules, user("alice", ".*"), "own/anything"));
  CHECK(writes(rules, user("alice", ".*"), "own/.*"));
}

TEST_CASE("every bad line of an access control file is reported", "[acl_rules]") {
  const auto text = GENERATE(
      as<std::string>{}, "topic", "topic read", "topic deny ", "user", "user ", "topics a",
      "allow a", "topic a/#/b", "topic a+", "topic read a#", "pattern a/%c%u", "pattern x%c/b",
      "pattern", "topic a/%c", "topic %u", "topic $share/g/a", "topic read $share/g/#",
      "topic a\xff", "user \xc0\x80", "READ a", "group", "client ", "listener \xff", "address",
      "address 10.0.0.1/8", "address home", "when", "when lan", "when colour=red",
      "when user=", "when user=a user=b", "when address=10.0.0.0/33", "anonymous alice",
      "everybody a", "topic deny read a#", "pattern deny publish %c%c", "topic dney secret/#",
      "topic deny deny a", "pattern raed a", "topic living room/light");
  const Problems problems = problemsOf("topic good\n" + text + "\ntopic good\n");
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].first == 2);
  CHECK_FALSE(problems[0].second.empty());
  CHECK(problemsOf(text + "\n" + text).size() == 2);
}

TEST_CASE("a tree of rules decides as each of them would alone", "[acl_rules]") {
  const std::vector<std::string> levels = {"a", "", "abcdefgh", "abcdefghi", "$x", "\xc3\xa4"};
  const std::vector<std::string> wild = {"+", "#"};
  std::vector<std::string> topics;
  std::vector<std::string> filters = {"#", "+"};
  for (const auto& one : levels) {
    if (!one.empty()) topics.push_back(one);
    for (const auto& two : levels) topics.push_back(one + "/" + two);
    for (const auto& two : wild) filters.push_back(one + "/" + two);
    filters.push_back("+/" + one);
  }
  filters.insert(filters.end(), topics.begin(), topics.end());
  const auto alice = user("alice");
  for (const auto& filter : filters) {
    const auto rules = compile("user alice\ntopic " + filter);
    for (const auto& topic : topics) {
      CAPTURE(filter, topic);
      CHECK(reads(rules, alice, topic) == mqtt::matches(filter, topic));
    }
    for (const auto& asked : filters) {
      CAPTURE(filter, asked);
      CHECK(subscribes(rules, alice, asked) == mqtt::contains(filter, asked));
    }
  }
}

namespace {

/// Alice, with everything that a section can ask for.
broker::Identity aliceAt(std::string address, std::string listener = "lan",
                         std::vector<std::string> groups = {"staff", "operators"}) {
  broker::IdentityFields fields;
  fields.principal = "alice";
  fields.clientId = "tablet";
  fields.address = std::move(address);
  fields.listener = std::move(listener);
  fields.groups = std::move(groups);
  return broker::Identity{std::move(fields)};
}

}  // namespace

TEST_CASE("publishing, subscribing and receiving are told apart", "[acl_rules]") {
  const auto rules = compile(
      "user alice\n"
      "topic publish p\n"
      "topic subscribe s/#\n"
      "topic receive s/open\n"
      "topic all/#\n"
      "topic deny receive all/secret\n"
      "topic deny publish all/constant\n");
  const auto alice = user("alice");
  CHECK(writes(rules, alice, "p"));
  CHECK_FALSE(reads(rules, alice, "p"));
  CHECK_FALSE(subscribes(rules, alice, "p"));
  CHECK(subscribes(rules, alice, "s/#"));
  CHECK(reads(rules, alice, "s/open"));
  CHECK_FALSE(reads(rules, alice, "s/closed"));
  CHECK(writes(rules, alice, "all/secret"));
  CHECK(subscribes(rules, alice, "all/secret"));
  CHECK_FALSE(reads(rules, alice, "all/secret"));
  CHECK(reads(rules, alice, "all/constant"));
  CHECK_FALSE(writes(rules, alice, "all/constant"));
}

TEST_CASE("what is said of a whole filter holds for each topic that it matches", "[acl_rules]") {
  const std::uint32_t seed = GENERATE(range(1U, 30U));
  INFO("seed " << seed);
  std::mt19937 random{seed};
  const std::vector<std::string> levels{"a", "b", "me", "$s", "+"};
  const auto anyOf = [&](const auto& list) { return list[random() % list.size()]; };
  const auto anyFilter = [&](bool names) {
    std::string filter = anyOf(levels);
    for (auto more = random() % 3; more != 0; --more) filter += "/" + anyOf(levels);
    if (random() % 3 == 0) filter += "/#";
    if (random() % 8 == 0) filter = "#";
    if (names && random() % 4 == 0) filter += filter.back() == '#' ? "" : "/%c";
    return filter;
  };
  std::string file;
  for (int i = 0; i < 12; ++i)
    file += std::string{"pattern "} + (random() % 4 == 0 ? "deny " : "") + "read " +
            anyFilter(true) + "\n";
  const AclRules rules = compile(file);
  const broker::Identity who = user("me", "me");

  for (int i = 0; i < 50; ++i) {
    const std::string filter = anyFilter(false);
    const auto reception = rules.reception(who, filter);
    if (reception == AclRules::Reception::mixed) continue;

    for (int k = 0; k < 200; ++k) {
      std::string topic = anyOf(levels);
      for (auto more = random() % 4; more != 0; --more) topic += "/" + anyOf(levels);
      if (mqtt::hasWildcard(topic) || !mqtt::matches(filter, topic)) continue;
      INFO(file << filter << " with " << topic);
      const Outcome outcome = mayReceive(rules, who, topic).outcome;
      if (reception == AclRules::Reception::everything)
        REQUIRE(outcome == Outcome::allowed);
      else
        REQUIRE(outcome != Outcome::denied);
    }
  }
}

TEST_CASE("a whole filter is allowed by a rule that covers it, if none denies a part",
          "[acl_rules]") {
  using Reception = AclRules::Reception;
  const AclRules rules = compile(
      "pattern read home/#\n"
      "pattern deny receive home/cellar/#\n"
      "pattern deny subscribe park/pond\n"
      "pattern read park/#\n"
      "pattern deny publish garden/pond\n"
      "pattern read garden/#\n"
      "pattern deny read mail/%u\n");
  const broker::Identity who = user("alice");
  CHECK(rules.reception(who, "home/kitchen/+") == Reception::everything);
  CHECK(rules.reception(who, "home/#") == Reception::mixed);
  CHECK(rules.reception(who, "+/cellar") == Reception::mixed);
  CHECK(rules.reception(who, "garden/#") == Reception::everything);
  CHECK(rules.reception(who, "park/#") == Reception::mixed);
  CHECK(rules.reception(who, "street/#") == Reception::undecided);
  CHECK(rules.reception(who, "mail/bob") == Reception::mixed);
  CHECK(rules.reception(who, "#") == Reception::mixed);
}

TEST_CASE("what may not be subscribed to is not received by a wider filter either", "[acl_rules]") {
  const auto rules = compile(
      "user alice\n"
      "topic read #\n"
      "topic deny subscribe secret/#\n");
  const auto alice = user("alice");
  CHECK(subscribes(rules, alice, "#"));
  CHECK(reads(rules, alice, "open"));
  CHECK_FALSE(subscribes(rules, alice, "secret/x"));
  CHECK_FALSE(reads(rules, alice, "secret/x"));
  CHECK(rules.reception(alice, "#") == AclRules::Reception::mixed);
}

TEST_CASE("a word that is no access is told with those that are", "[acl_rules]") {
  CHECK(problemsOf("topic readwrite #\ntopic dney secret/#\n") ==
        Problems{{2, "\"dney\" is no access"}});
  CHECK(problemsOf("topic deny deny a\n") == Problems{{1, "\"deny\" is no access"}});
  const auto rules = compile("user alice\ntopic readwrite living room/light\n");
  CHECK(reads(rules, user("alice"), "living room/light"));
}

TEST_CASE("an access control file may begin with a byte order mark", "[acl_rules]") {
  CHECK(reads(compile("\xEF\xBB\xBFuser alice\ntopic read a\n"), user("alice"), "a"));
}

TEST_CASE("a word behind deny that stands alone is the filter", "[acl_rules]") {
  const auto rules = compile("user alice\ntopic #\ntopic deny read\ntopic deny write write\n");
  const auto alice = user("alice");
  CHECK_FALSE(reads(rules, alice, "read"));
  CHECK_FALSE(writes(rules, alice, "read"));
  CHECK(reads(rules, alice, "write"));
  CHECK_FALSE(writes(rules, alice, "write"));
}

TEST_CASE("a section is about those whom it names", "[acl_rules]") {
  const auto rules = compile(
      "group operators\n"
      "topic by/group\n"
      "client tablet\n"
      "topic by/client\n"
      "listener lan\n"
      "topic by/listener\n"
      "address 10.0.0.0/8\n"
      "topic by/address\n"
      "everybody\n"
      "topic by/all\n"
      "anonymous\n"
      "topic by/nobody\n");
  const auto alice = aliceAt("10.1.2.3");
  for (const char* topic : {"by/group", "by/client", "by/listener", "by/address", "by/all"})
    CHECK(reads(rules, alice, topic));
  CHECK_FALSE(reads(rules, alice, "by/nobody"));
  CHECK_FALSE(reads(rules, aliceAt("10.1.2.3", "lan", {"staff"}), "by/group"));
  CHECK_FALSE(reads(rules, aliceAt("10.1.2.3", "internet"), "by/listener"));
  CHECK_FALSE(reads(rules, aliceAt("11.1.2.3"), "by/address"));
  CHECK_FALSE(reads(rules, user("alice", "phone"), "by/client"));
  CHECK(reads(rules, nobody(), "by/all"));
  CHECK(reads(rules, nobody(), "by/nobody"));
}

TEST_CASE("all conditions of a section have to hold", "[acl_rules]") {
  const auto rules = compile(
      "when user=alice address=10.0.0.0/8 listener=lan\n"
      "topic a\n"
      "when group=operators client=tablet\n"
      "topic devices/%c/%u\n"
      "when user=alice address=10.0.0.0/8 listener=lan\n"
      "topic b\n"
      "when user=anonymous\n"
      "topic c\n");
  CHECK(reads(rules, aliceAt("10.1.2.3"), "a"));
  CHECK(reads(rules, aliceAt("10.1.2.3"), "b"));
  CHECK_FALSE(reads(rules, aliceAt("11.1.2.3"), "a"));
  CHECK_FALSE(reads(rules, aliceAt("10.1.2.3", "internet"), "a"));
  CHECK_FALSE(reads(rules, user("alice"), "a"));
  CHECK(reads(rules, aliceAt("10.1.2.3"), "devices/tablet/alice"));
  CHECK_FALSE(reads(rules, aliceAt("10.1.2.3", "lan", {}), "devices/tablet/alice"));
  CHECK_FALSE(reads(rules, nobody(), "c"));
}

TEST_CASE("a deny of any section wins, and the first line of it is told", "[acl_rules]") {
  const auto rules = compile(
      "user alice\n"
      "topic #\n"
      "listener lan\n"
      "topic deny a/#\n"
      "group operators\n"
      "topic deny a/b\n"
      "topic a/b\n");
  CHECK(mayReceive(rules, aliceAt("10.1.2.3"), "a/b").line == 4);
  CHECK(mayReceive(rules, aliceAt("10.1.2.3"), "b").line == 2);
}

TEST_CASE("a rule may not be deeper than the trees go", "[acl_rules]") {
  std::string filter = "a";
  for (std::size_t level = 1; level < AclTrie::kMostLevels; ++level) filter += "/a";
  const auto rules = compile("user alice\ntopic " + filter);
  CHECK(reads(rules, user("alice"), filter));
  CHECK_FALSE(reads(rules, user("alice"), filter + "/a"));
  CHECK(problemsOf("topic " + filter + "/a").size() == 1);
  // And no topic is too deep to be asked about.
  CHECK_FALSE(reads(rules, user("alice"), std::string(65'535, '/')));
}
