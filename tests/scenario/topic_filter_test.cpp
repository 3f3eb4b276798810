#include <string>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

namespace {

struct Pair {
  std::string filter;
  std::string topic;
  bool matches;
};

const std::string kDeep(120, '/');

const std::vector<Pair> kPairs{
    {"#", "test/topic", true},
    {"#", "/test/topic", true},
    {"foo/#", "foo/bar/baz", true},
    {"foo/#", "foo/bar", true},
    {"foo/#", "foo", true},
    {"foo/#", "foobar", false},
    {"foo/+", "foo/bar", true},
    {"foo/+", "foo/bar/baz", false},
    {"foo/+/baz", "foo/bar/baz", true},
    {"foo/+/bar/#", "foo/a/bar", true},
    {"foo/+/bar/#", "foo/a/bar/b/c", true},
    {"foo/+/bar/#", "foo/a/b/bar", false},
    {"/#", "/foo", true},
    {"/#", "foo", false},
    {"/+", "/finance", true},
    {"+/+", "/finance", true},
    {"+", "/finance", false},
    {"+", "finance", true},
    {"sport/+", "sport/", true},
    {"sport/+", "sport", false},
    {"sport/tennis/#", "sport/tennis", true},
    {"+/tennis/#", "sport/tennis/a/b", true},
    {"+/+/+/+/+/+/+/+/+/+", "0/1/2/3/4/5/6/7/8/9", true},
    {"+/+/+/+/+/+/+/+/+/+", "0/1/2/3/4/5/6/7/8", false},
    {"/test/+/topic", "/test//topic", true},
    {"/test//topic", "/test//topic", true},
    {"/test//topic", "/test/topic", false},
    {"test/topic/", "test/topic", false},
    {"test/topic", "test/topic/", false},
    {"/test/topic", "test/topic", false},
    {"/", "/", true},
    {"+/+", "/", true},
    {"#", "/", true},
    {"ACCOUNTS", "Accounts", false},
    {"a b/c", "a b/c", true},
    {"\xC3\xA4", "a\xCC\x88", false},
    {"\xEF\xBB\xBFt", "\xEF\xBB\xBFt", true},
    {"\xEF\xBB\xBFt", "t", false},
    {"#", "$private/t", false},
    {"+/t", "$private/t", false},
    {"+/#", "$private/t", false},
    {"$private/#", "$private/t", true},
    {"$private/+", "$private/t", true},
    {"a/#", "a/$private", true},
    {kDeep, kDeep, true},
    {kDeep + "#", kDeep, true},
};

}  // namespace

TEST_CASE(
    "filters match topics by the rules of the standard [v311:4.7.1-2] [v311:4.7.1-3] "
    "[v311:4.7.2-1] [v311:4.7.3-4] [v311:3.3.2-3] [v5:4.7.1-1] [v5:4.7.1-2] [v5:4.7.2-1] "
    "[v5:4.7.3-4] [v5:3.3.2-3] [v311:1.5.3-3] [v5:1.5.4-3]",
    "[topic_filter]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  for (const auto& [filter, topic, matches] : kPairs) {
    CAPTURE(version, filter, topic, matches);
    RawClient client(daemon.endpoint(), version);
    client.connect();
    client.subscribe({{filter, 0}});
    client.publish({.topic = topic, .payload = "x"});
    if (matches) client.expectPublish({.topic = topic, .payload = "x"});
    client.expectNothing();
    client.disconnect();
  }
}

TEST_CASE("retained messages match by the same rules", "[topic_filter]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  for (const auto& [filter, topic, matches] : kPairs) {
    CAPTURE(version, filter, topic, matches);
    RawClient client(daemon.endpoint(), version);
    client.connect();
    client.publish({.topic = topic, .payload = "x", .retain = true});
    client.subscribe({{filter, 0}});
    if (matches) client.expectPublish({.topic = topic, .payload = "x", .retain = true});
    client.expectNothing();
    client.unsubscribe({filter});
    client.publish({.topic = topic, .payload = "", .retain = true});
    client.settle();
    client.disconnect();
  }
}

TEST_CASE("clients may not publish to $SYS (Aedes 597)", "[topic_filter]") {
  DaemonProcess daemon;
  RawClient watcher(daemon.endpoint(), Version::v5);
  watcher.connect({.clientId = "watcher"});
  watcher.subscribe({{"$SYS/mine", 0}});
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.publish({.topic = "$SYS/mine", .payload = "x", .qos = 1, .id = 1});
  client.expectAck(kPuback, 1, 0x87);
  RawClient old(daemon.endpoint(), Version::v311);
  old.connect({.clientId = "old"});
  old.publishFully({.topic = "$SYS/mine", .payload = "x", .qos = 1, .id = 1});
  watcher.expectNothing();
}
