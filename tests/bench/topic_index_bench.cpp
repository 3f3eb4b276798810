// Measures the topic index and the retained tree: time per operation, bytes per
// entry. Usage: topic_index_bench [subscriptions, default 1000000]
#include "core/broker/topic_index.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <malloc.h>
#include <random>
#include <string>
#include <vector>

#include "core/broker/message.hpp"
#include "core/broker/recipients.hpp"
#include "core/broker/retained_tree.hpp"
#include "core/broker/session.hpp"

namespace {

using namespace mqttstack;
using namespace mqttstack::broker;

/// Time that the process spent, so that a busy machine disturbs less.
double now() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

std::size_t heapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

double nanosecondsSince(double start, std::size_t operations) {
  return (now() - start) / static_cast<double>(operations);
}

std::string topicOf(std::size_t i) {
  char text[64];
  std::snprintf(text, sizeof text, "site%zu/building%zu/device%05zu/x", i % 97, i / 97 % 31,
                i % 100'000);
  return text;
}

/// 70 % exact, 25 % with `+`, 5 % ending in `#`.
std::string filterOf(std::size_t i) {
  std::string text = topicOf(i);
  const std::size_t kind = i * 7919 % 100;
  if (kind < 70) return text + std::to_string(i);
  if (kind < 95) {
    const std::size_t first = text.find('/');
    const std::size_t second = text.find('/', first + 1);
    return text.substr(0, first + 1) + "+" + text.substr(second) + std::to_string(i);
  }
  return text + std::to_string(i) + "/#";
}

std::string matchingTopicOf(std::size_t i) {
  std::string text = topicOf(i) + std::to_string(i);
  return i * 7919 % 100 < 95 ? text : text + "/y";
}

void measureMatches(const char* label, TopicIndex& index, const std::vector<std::string>& topics,
                    std::size_t rounds) {
  std::vector<Match> matches;
  std::size_t found = 0;
  for (const std::string& topic : topics) {
    matches.clear();
    index.match(topic, [&](const Match& match) { matches.push_back(match); });
  }
  double best = 0;
  for (std::size_t round = 0; round < rounds; ++round) {
    const double start = now();
    for (const std::string& topic : topics) {
      matches.clear();
      index.match(topic, [&](const Match& match) { matches.push_back(match); });
      found += matches.size();
    }
    const double taken = nanosecondsSince(start, topics.size());
    if (round == 0 || taken < best) best = taken;
  }
  const std::size_t operations = rounds * topics.size();
  std::printf("  %-34s %8.1f ns  (%.2f matches)\n", label, best,
              static_cast<double>(found) / static_cast<double>(operations));
}

void subscriptions(std::size_t count, std::size_t cacheEntries) {
  std::printf("topic index, %zu subscriptions of as many sessions, %s cache\n", count,
              cacheEntries == 0 ? "without" : "with");
  std::mt19937 random{1};
  std::vector<std::string> filters;
  filters.reserve(count);
  std::size_t textBytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    filters.push_back(filterOf(i));
    textBytes += filters.back().size();
  }
  std::vector<SessionPtr> sessions;
  sessions.reserve(count);
  std::size_t before = heapBytes();
  const IdentityPtr identity = makeIdentity({});
  for (std::size_t i = 0; i < count; ++i)
    sessions.emplace_back(new Session{"client" + std::to_string(i), identity});
  std::printf("  %-34s %8.1f\n", "bytes per idle session",
              static_cast<double>(heapBytes() - before) / static_cast<double>(count));

  TopicIndex index{randomSeed(), cacheEntries};
  before = heapBytes();
  auto start = now();
  for (std::size_t i = 0; i < count; ++i)
    index.subscribe(filters[i], *sessions[i], mqtt::SubscriptionOptions{});
  std::printf("  %-34s %8.1f ns\n", "subscribe", nanosecondsSince(start, count));
  std::printf("  %-34s %8.1f  (%.1f of them text)\n", "bytes per subscription",
              static_cast<double>(heapBytes() - before) / static_cast<double>(count),
              static_cast<double>(textBytes) / static_cast<double>(count));

  std::vector<std::string> hot;
  for (int i = 0; i < 1000; ++i) hot.push_back(matchingTopicOf(random() % count));
  measureMatches("match, 1000 hot topics", index, hot, 1000);
  std::vector<std::string> spread;
  for (int i = 0; i < 300'000; ++i) spread.push_back(matchingTopicOf(random() % count));
  measureMatches("match, 300 000 topics at random", index, spread, 3);
  std::vector<std::string> nowhere;
  for (int i = 0; i < 1000; ++i) nowhere.push_back("no/such/" + std::to_string(i));
  measureMatches("match, nothing", index, nowhere, 1000);

  start = now();
  for (const SessionPtr& session : sessions) index.removeSession(*session);
  std::printf("  %-34s %8.1f ns\n", "remove", nanosecondsSince(start, count));
}

void fanOut(std::size_t subscribers) {
  std::vector<SessionPtr> sessions;
  TopicIndex index;
  Recipients recipients;
  const IdentityPtr identity = makeIdentity({});
  for (std::size_t i = 0; i < subscribers; ++i) {
    sessions.emplace_back(new Session{"client" + std::to_string(i), identity});
    index.subscribe("all/+", *sessions.back(), {});
  }
  MessageFields fields;
  fields.topic = "all/x";
  const MessagePtr message = Message::create(fields);
  const std::size_t rounds = 3'000'000 / subscribers;
  const auto start = now();
  std::size_t copies = 0;
  for (std::size_t i = 0; i < rounds; ++i) {
    copies += recipients.collect(index, *message).size();
    recipients.clear();
  }
  std::printf("collect for %zu subscribers: %.1f ns per copy\n", subscribers,
              nanosecondsSince(start, copies));
  for (const SessionPtr& session : sessions) index.removeSession(*session);
}

void retained(std::size_t count) {
  std::printf("retained tree, %zu messages of 64 bytes\n", count);
  const std::string payload(64, 'p');
  std::vector<std::string> topics;
  topics.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    char text[32];
    std::snprintf(text, sizeof text, "a/%07zu/c", i * 7919 % count);
    topics.emplace_back(text);
  }
  RetainedTree tree;
  const auto store = [&](const char* label) {
    const auto start = now();
    for (const std::string& topic : topics) {
      MessageFields fields;
      fields.topic = topic;
      fields.payload = payload;
      tree.store(Message::create(fields));
    }
    std::printf("  %-34s %8.1f ns\n", label, nanosecondsSince(start, count));
  };
  const std::size_t before = heapBytes();
  store("store, new");
  std::printf("  %-34s %8.1f\n", "bytes per message",
              static_cast<double>(heapBytes() - before) / static_cast<double>(count));
  store("store, again");
  for (const char* filter : {"#", "a/+/c", "+/+/d"}) {
    const auto start = now();
    std::size_t visited = 0;
    RetainedCursor cursor{tree, filter};
    while (!cursor.done()) visited += cursor.next(64, TimePoint{}, [](const MessagePtr&) {});
    std::printf("  walk %-29s %8.1f ns per message kept  (%zu visited)\n", filter,
                nanosecondsSince(start, count), visited);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  if (count == 0) return 1;
  subscriptions(count, 0);
  subscriptions(count, MatchCache::kDefaultEntries);
  fanOut(10);
  fanOut(100'000);
  retained(count);
}
