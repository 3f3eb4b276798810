#include "core/broker/topic_index.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include <catch2/catch.hpp>

#include "core/broker/session.hpp"
#include "core/mqtt/topic.hpp"
#include "tests/core/broker/support.hpp"

using namespace mqttstack;
using namespace mqttstack::broker;
using namespace mqttstack::broker::test;
using mqtt::Qos;

namespace {

/// Client ids of the sessions that match, sorted, once per match.
std::vector<std::string> receivers(TopicIndex& index, std::string_view topic) {
  std::vector<Match> matches;
  index.match(topic, [&](const Match& match) { matches.push_back(match); });
  std::vector<std::string> ids;
  for (const Match& match : matches) ids.push_back(match.session->clientId());
  std::sort(ids.begin(), ids.end());
  return ids;
}

using Ids = std::vector<std::string>;

/// A session and its leave-taking.
struct Subscriber1 {
  explicit Subscriber1(TopicIndex& topicIndex, const std::string& id)
      : index{&topicIndex},
        session{connectedSession(id)} {}
  Subscriber1(Subscriber1&&) = default;
  ~Subscriber1() {
    if (session) index->removeSession(*session);
  }
  bool to(std::string_view filter, Qos qos = Qos::atMostOnce, std::uint32_t id = 0) {
    return index->subscribe(filter, *session, options(qos), id);
  }
  bool notTo(std::string_view filter) { return index->unsubscribe(filter, *session); }

  TopicIndex* index;
  SessionPtr session;
};

}  // namespace

TEST_CASE(
    "the index finds subscribers by exact filter and by wildcards [v311:4.7.1-2] [v5:4.7.1-1]",
    "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 a{index, "a"};
  struct Row {
    const char* filter;
    const char* topic;
    bool matches;
  };
  const Row rows[] = {
      {"sport/tennis", "sport/tennis", true},
      {"sport/tennis", "sport/tenni", false},
      {"sport/tennis", "Sport/tennis", false},
      {"sport/tennis/player1/#", "sport/tennis/player1", true},
      {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
      {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
      {"sport/tennis/player1/#", "sport/tennis", false},
      {"sport/#", "sport", true},
      {"sport/#", "sport/", true},
      {"#", "anything/at/all", true},
      {"#", "/", true},
      {"sport/tennis/+", "sport/tennis/player1", true},
      {"sport/tennis/+", "sport/tennis/player1/ranking", false},
      {"sport/+", "sport", false},
      {"sport/+", "sport/", true},
      {"+/+", "/finance", true},
      {"/+", "/finance", true},
      {"+", "/finance", false},
      {"+", "finance", true},
      {"+/tennis/#", "sport/tennis", true},
      {"/", "/", true},
      {"+/+", "/", true},
      {"/#", "/", true},
      {"/#", "a", false},
      {"a//b", "a//b", true},
      {"a/+/b", "a//b", true},
  };
  for (const Row& row : rows) {
    INFO(row.filter << " and " << row.topic);
    a.to(row.filter);
    CHECK(receivers(index, row.topic).size() == (row.matches ? 1U : 0U));
    CHECK(plainlyMatches(row.filter, row.topic) == row.matches);
    a.notTo(row.filter);
  }
  CHECK(index.subscriptions() == 0);
}

TEST_CASE("a leading wildcard does not match topics that begin with $ [v311:4.7.2-1] [v5:4.7.2-1]",
          "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 a{index, "a"};
  a.to("#");
  a.to("+/monitor/Clients");
  a.to("+/#");
  CHECK(receivers(index, "$SYS/monitor/Clients").empty());
  a.to("$SYS/#");
  CHECK(receivers(index, "$SYS/monitor/Clients") == Ids{"a"});
  a.to("$SYS/+/Clients");
  CHECK(receivers(index, "$SYS/monitor/Clients") == Ids{"a", "a"});
  CHECK(receivers(index, "a/$SYS") == Ids{"a", "a"});
}

TEST_CASE("a second subscription to the same filter replaces the first [v311:3.8.4-3] [v5:3.8.4-3]",
          "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 a{index, "a"};
  for (const char* filter : {"x/y", "x/+", "$share/g/x/y"}) {
    CHECK_FALSE(a.to(filter, Qos::atMostOnce, 7));
    mqtt::SubscriptionOptions all{Qos::exactlyOnce, true, true, mqtt::RetainHandling::doNotSend};
    CHECK(index.subscribe(filter, *a.session, all, mqtt::kMaxVariableByteInteger));
    const auto found = index.find(filter, *a.session);
    REQUIRE(found);
    CHECK(found->options == all);
    CHECK(found->identifier == mqtt::kMaxVariableByteInteger);
  }
  CHECK(index.subscriptions() == 3);
  CHECK(index.filters() == 2);
  CHECK(a.session->subscriptions() == 3);
}

TEST_CASE("unsubscribing names the filter literally [v311:3.10.4-1] [v5:3.10.4-1]",
          "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 a{index, "a"};
  Subscriber1 b{index, "b"};
  a.to("x/+");
  CHECK_FALSE(a.notTo("x/y"));
  CHECK_FALSE(a.notTo("#"));
  CHECK_FALSE(b.notTo("x/+"));
  CHECK_FALSE(a.notTo("$share/g/x/+"));
  CHECK(a.notTo("x/+"));
  CHECK_FALSE(a.notTo("x/+"));
  CHECK(receivers(index, "x/y").empty());
}

TEST_CASE("very many shared groups of one filter come and go in any order", "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 a{index, "a"};
  constexpr std::size_t kGroups = 500;
  const auto nameOf = [](std::size_t i) { return "$share/g" + std::to_string(i) + "/x/+"; };
  for (std::size_t i = 0; i < kGroups; ++i) CHECK_FALSE(a.to(nameOf(i)));
  CHECK(a.to(nameOf(7)));
  a.to("$share/g7/y");  // of another filter
  CHECK(index.sharedGroups() == kGroups + 1);
  CHECK(receivers(index, "x/1").size() == kGroups);
  for (std::size_t i = 0; i < kGroups; ++i) {
    CHECK(a.notTo(nameOf(i * 7 % kGroups)));
    if (i % 100 == 0) CHECK(receivers(index, "x/1").size() == kGroups - 1 - i);
  }
  CHECK(receivers(index, "x/1").empty());
  CHECK(receivers(index, "y").size() == 1);
  CHECK(index.sharedGroups() == 1);
}

TEST_CASE("a shared group takes part once, by a member's turn [v5:4.8.2-4]", "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 a{index, "a"};
  Subscriber1 b{index, "b"};
  Subscriber1 c{index, "c"};
  for (Subscriber1* s : {&a, &b, &c}) s->to("$share/g/x/#", Qos::atLeastOnce, 9);
  a.to("$share/other/x/#");
  a.to("x/#");
  CHECK(index.sharedGroups() == 2);
  CHECK(index.sharedSubscriptions() == 4);
  CHECK(index.filters() == 1);

  std::map<std::string, int> turns;
  for (int i = 0; i < 30; ++i) {
    std::vector<Match> matches;
    index.match("x/y", [&](const Match& match) { matches.push_back(match); });
    REQUIRE(matches.size() == 3);
    CHECK(std::count_if(matches.begin(), matches.end(),
                        [](const Match& m) { return m.group != nullptr; }) == 2);
    for (const Match& match : matches)
      if (match.identifier == 9) ++turns[match.session->clientId()];
  }
  CHECK(turns == std::map<std::string, int>{{"a", 10}, {"b", 10}, {"c", 10}});
}

TEST_CASE("a shared group prefers connected members, then lasting sessions [v5:4.8.2-4]",
          "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 a{index, "a"};
  Subscriber1 b{index, "b"};
  Subscriber1 c{index, "c"};
  for (Subscriber1* s : {&a, &b, &c}) s->to("$share/g/x");
  a.session->detach({});
  c.session->setExpiryInterval(60);
  for (int i = 0; i < 6; ++i) CHECK(receivers(index, "x") != Ids{"a"});

  c.session->detach({});
  for (int i = 0; i < 6; ++i) CHECK(receivers(index, "x") == Ids{"b"});
  b.session->detach({});
  for (int i = 0; i < 6; ++i) CHECK(receivers(index, "x") == Ids{"c"});
  c.session->setExpiryInterval(0);
  CHECK(receivers(index, "x").empty());
}

TEST_CASE("a member of a shared group that comes back takes its turns again", "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 a{index, "a"};
  Subscriber1 b{index, "b"};
  Subscriber1 c{index, "c"};
  for (Subscriber1* s : {&a, &b, &c}) s->to("$share/g/x");
  const auto turns = [&] {
    std::map<std::string, int> count;
    for (int i = 0; i < 6; ++i)
      for (const std::string& id : receivers(index, "x")) ++count[id];
    return count;
  };
  for (Subscriber1* s : {&a, &b}) s->session->detach({});
  CHECK(turns() == std::map<std::string, int>{{"c", 6}});
  for (Subscriber1* s : {&a, &b}) {
    s->session->attach(someClient(), someStack(), s->session->owner());
    TopicIndex::sessionConnected(*s->session);
  }
  CHECK(turns() == std::map<std::string, int>{{"a", 2}, {"b", 2}, {"c", 2}});
  b.notTo("$share/g/x");
  CHECK(turns() == std::map<std::string, int>{{"a", 3}, {"c", 3}});
  a.session->detach({});
  CHECK(turns() == std::map<std::string, int>{{"c", 6}});
  a.notTo("$share/g/x");
  c.notTo("$share/g/x");
  CHECK(receivers(index, "x").empty());
}

TEST_CASE("a shared group of an absolute topic keeps its leading separator [v5:4.8.2-1]",
          "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 a{index, "a"};
  a.to("$share/g//finance");
  CHECK(receivers(index, "/finance") == Ids{"a"});
  CHECK(receivers(index, "finance").empty());
}

TEST_CASE("a session's subscriptions are enumerated with their full names", "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 a{index, "a"};
  Subscriber1 b{index, "b"};
  a.to("x", Qos::atMostOnce, 1);
  a.to("x/#", Qos::atLeastOnce, 2);
  a.to("$share/g/x/#", Qos::exactlyOnce, 3);
  a.to("$share/g//", Qos::exactlyOnce, 4);
  b.to("x");
  std::map<std::string, std::pair<int, std::uint32_t>> seen;
  index.forEachSubscription(
      *a.session, [&](std::string_view filter, const SubscriptionDetails& details) {
        seen[std::string{filter}] = {static_cast<int>(details.options.qos), details.identifier};
      });
  CHECK(seen ==
        decltype(seen){
            {"x", {0, 1}}, {"x/#", {1, 2}}, {"$share/g/x/#", {2, 3}}, {"$share/g//", {2, 4}}});
}

TEST_CASE("topics and filters of very many levels are matched without recursion", "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 a{index, "a"};
  std::string topic(65'535, '/');
  std::string plus = "+";
  while (plus.size() + 2 <= 65'535) plus += "/+";
  a.to("#");
  a.to(plus);
  CHECK(receivers(index, topic) == Ids{"a"});
  topic.resize((plus.size() - 1) / 2);
  CHECK(receivers(index, topic) == Ids{"a", "a"});
  std::string deep;
  for (int i = 0; i < 128; ++i) deep += "+/";
  a.to(deep + "#");
  CHECK(receivers(index, std::string(128, '/')) == Ids{"a", "a"});
}

TEST_CASE("a filter that comes or goes is seen through the cache at once", "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 a{index, "a"};
  Subscriber1 b{index, "b"};
  for (int i = 0; i < 40; ++i) a.to("n" + std::to_string(i) + "/+");
  const auto warm = [&](std::string_view topic) {
    for (int i = 0; i < 5; ++i) receivers(index, topic);
    return receivers(index, topic);
  };
  CHECK(warm("x/y").empty());
  b.to("x/+");
  CHECK(warm("x/y") == Ids{"b"});
  a.to("x/+");
  CHECK(receivers(index, "x/y") == Ids{"a", "b"});
  b.to("#");
  CHECK(warm("x/y") == Ids{"a", "b", "b"});
  b.notTo("x/+");
  a.notTo("x/+");
  CHECK(receivers(index, "x/y") == Ids{"b"});
  b.notTo("#");
  CHECK(receivers(index, "x/y").empty());
  CHECK(receivers(index, "n7/y") == Ids{"a"});
}

TEST_CASE("an index that goes takes the sessions' subscriptions along", "[topic_index]") {
  const SessionPtr session = connectedSession("a");
  {
    TopicIndex index{1};
    for (const char* filter : {"x", "x/#", "+", "$share/g/x", "$share/h/x"})
      index.subscribe(filter, *session, {});
  }
  CHECK(session->subscriptions() == 0);
}

TEST_CASE("a filter with very many subscribers lets each go in no time", "[topic_index]") {
  TopicIndex index{1};
  std::vector<SessionPtr> sessions;
  for (int i = 0; i < 100'000; ++i) {
    sessions.push_back(connectedSession(std::to_string(i)));
    index.subscribe("all/+", *sessions.back(), {});
  }
  CHECK(receivers(index, "all/x").size() == 100'000);
  for (const SessionPtr& session : sessions) CHECK(index.removeSession(*session) == 1);
  CHECK(index.filters() == 0);
}

TEST_CASE("the index agrees with the plain definition under random changes", "[topic_index]") {
  const std::uint32_t seed = GENERATE(11U, 12U, 13U, 14U);
  INFO("seed " << seed);
  TopicMaker make{seed};
  TopicIndex index{seed};
  std::vector<SessionPtr> sessions;
  for (int i = 0; i < 8; ++i) sessions.push_back(connectedSession("c" + std::to_string(i)));

  struct Known {
    std::uint32_t identifier;
    Qos qos;
  };
  std::map<std::pair<std::string, std::size_t>, Known> oracle;  // (filter, session)

  for (int step = 0; step < 4'000; ++step) {
    const std::uint32_t action = make.below(100);
    const std::size_t who = make.below(8);
    std::string filter = make.filter();
    if (make.below(4) == 0) filter = (make.below(2) == 0 ? "$share/g/" : "$share/h/") + filter;
    if (action < 40) {
      const Known known{make.below(5), static_cast<Qos>(make.below(3))};
      const bool existed =
          index.subscribe(filter, *sessions[who], options(known.qos), known.identifier);
      REQUIRE(existed == oracle.contains({filter, who}));
      oracle[{filter, who}] = known;
    } else if (action < 60) {
      if (make.below(2) == 0 && !oracle.empty())
        filter = std::next(oracle.begin(), make.below(static_cast<std::uint32_t>(oracle.size())))
                     ->first.first;
      REQUIRE(index.unsubscribe(filter, *sessions[who]) == (oracle.erase({filter, who}) == 1));
    } else if (action == 60) {
      const std::size_t removed =
          std::erase_if(oracle, [&](const auto& entry) { return entry.first.second == who; });
      REQUIRE(index.removeSession(*sessions[who]) == removed);
    } else {
      const std::string topic = make.topic();
      std::vector<Match> matches;
      index.match(topic, [&](const Match& match) { matches.push_back(match); });
      using Row = std::tuple<std::string, std::uint32_t, Qos>;
      std::multiset<Row> got;
      std::size_t gotShared = 0;
      for (const Match& match : matches) {
        if (match.group)
          ++gotShared;
        else
          got.insert({match.session->clientId(), match.identifier, match.options.qos});
      }
      std::multiset<Row> expected;
      std::set<std::string> groups;
      for (const auto& [key, known] : oracle) {
        const mqtt::SharedFilter parts = mqtt::splitSharedFilter(key.first);
        if (!plainlyMatches(parts.shared() ? parts.filter : key.first, topic)) continue;
        if (parts.shared())
          groups.insert(key.first);
        else
          expected.insert({sessions[key.second]->clientId(), known.identifier, known.qos});
      }
      INFO("step " << step << ", topic " << topic);
      REQUIRE(got == expected);
      REQUIRE(gotShared == groups.size());
      for (const Match& match : matches)
        if (match.group) REQUIRE(match.session->subscriptions() > 0);
    }
    REQUIRE(index.subscriptions() == oracle.size());
  }
  for (std::size_t who = 0; who < sessions.size(); ++who) {
    std::set<std::string> listed;
    index.forEachSubscription(*sessions[who], [&](std::string_view filter, const auto& details) {
      listed.insert(std::string{filter});
      REQUIRE(oracle.at({std::string{filter}, who}).identifier == details.identifier);
    });
    REQUIRE(listed.size() == sessions[who]->subscriptions());
    index.removeSession(*sessions[who]);
  }
  CHECK(index.subscriptions() == 0);
  CHECK(index.sharedSubscriptions() == 0);
  CHECK(index.sharedGroups() == 0);
  CHECK(index.filters() == 0);
  CHECK(index.wildcardFilters() == 0);
}

TEST_CASE("a match that was cut is counted, and not remembered as if it were whole",
          "[topic_index]") {
  TopicIndex index{1};
  Subscriber1 exact{index, "exact"};
  exact.to(hostileTopic());
  Subscriber1 hostile{index, "hostile"};
  for (std::size_t i = 0; i < 1024; ++i) hostile.to(hostileFilter(i));
  const std::string topic = hostileTopic();
  for (std::uint64_t i = 1; i <= 4; ++i) {
    const Ids ids = receivers(index, topic);
    CHECK(index.matchesCut() == i);
    CHECK(ids.front() == "exact");  // found in the table, whatever the trie costs
    CHECK(ids.size() > 512);
    CHECK(ids.size() < 1025);
  }
  for (std::size_t i = 0; i < 512; ++i) hostile.notTo(hostileFilter(i));
  for (int i = 0; i < 4; ++i) CHECK(receivers(index, topic).size() == 513);
  CHECK(index.matchesCut() == 4);
}
