#include "core/broker/message.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/core/broker/support.hpp"

using namespace mqttstack;
using namespace mqttstack::broker;
using namespace mqttstack::broker::test;

TEST_CASE("a message keeps copies of what it is made of", "[message]") {
  std::string topic = "a/b";
  std::string payload("\0\xff payload", 10);
  mqtt::PropertyWriter writer;
  writer.add(mqtt::PropertyId::contentType, "text/plain").addUserProperty("k", "v");
  MessageFields fields;
  fields.topic = topic;
  fields.payload = payload;
  fields.properties = writer.properties();
  fields.qos = mqtt::Qos::exactlyOnce;
  fields.retain = true;
  fields.author = identityOf("me");
  const IdentityPtr author = fields.author;
  const MessagePtr message = Message::create(std::move(fields));
  const std::string kept = payload;
  topic.assign("xxx");
  payload.assign("yyy");

  CHECK(message->topic() == "a/b");
  CHECK(message->payload() == kept);
  CHECK(message->properties().text(mqtt::PropertyId::contentType) == "text/plain");
  CHECK(message->properties().encoded() == writer.properties().encoded());
  CHECK(message->qos() == mqtt::Qos::exactlyOnce);
  CHECK(message->retainFlag());
  CHECK(message->author() == author);
  CHECK(message->encodedTopic() == std::string_view("\0\3a/b", 5));
  CHECK(message->encodedTopicAndPayload() == std::string("\0\3a/b", 5) + kept);
}

TEST_CASE("a message may be as long as it likes, or empty", "[message]") {
  for (const std::size_t size : {0U, 1U, 400U, 450U, 463U, 464U, 600U, 5'000'000U}) {
    const std::string payload(size, 'p');
    const std::string topic(size > 600 ? 65'535 : 1, 't');
    const MessagePtr message = makeMessage(topic, payload);
    CHECK(message->topic() == topic);
    CHECK(message->payload() == payload);
    CHECK(message->properties().empty());
    CHECK(message->footprint() >= sizeof(Message) + 2 + topic.size() + payload.size());
    CHECK_FALSE(message->author());
  }
}

TEST_CASE("messages are numbered in the order in which they are made", "[message]") {
  const MessagePtr first = makeMessage("a");
  const MessagePtr second = makeMessage("a");
  CHECK(second->sequence() == first->sequence() + 1);
}

TEST_CASE("the remaining expiry shrinks with the time waited [v5:3.3.2-5] [v5:3.3.2-6]",
          "[message]") {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  const TimePoint received{seconds{1000}};
  MessageFields fields;
  fields.topic = "a";
  fields.received = received;
  CHECK_FALSE(Message::create(fields)->remainingExpiry(received));
  CHECK_FALSE(Message::create(fields)->expires());
  CHECK_FALSE(Message::create(fields)->expired(TimePoint::max() - seconds{1}));

  fields.expiryInterval = 10;
  const MessagePtr message = Message::create(fields);
  CHECK(message->remainingExpiry(received) == 10U);
  CHECK(message->remainingExpiry(received + milliseconds{500}) == 10U);
  CHECK(message->remainingExpiry(received + seconds{3}) == 7U);
  CHECK(message->remainingExpiry(received + milliseconds{9'999}) == 1U);
  CHECK_FALSE(message->expired(received + milliseconds{9'999}));
  CHECK(message->expired(received + seconds{10}));
  CHECK(message->remainingExpiry(received + seconds{11}) == 0U);

  fields.expiryInterval = 0xffffffffU;
  CHECK(Message::create(fields)->remainingExpiry(received) == 0xffffffffU);
  fields.expiryInterval = 0;
  CHECK(Message::create(fields)->expired(received));
}

TEST_CASE("a message is made of a block used before", "[message]") {
  const void* const block = makeMessage("a").get();
  CHECK(makeMessage("b").get() == block);
}

TEST_CASE("a message lets go of its author", "[message]") {
  const IdentityPtr author = identityOf("me");
  MessageFields fields;
  fields.topic = "a";
  fields.author = author;
  MessagePtr message = Message::create(std::move(fields));
  CHECK(author->owners() == 2);
  message.reset();
  CHECK(author->owners() == 1);
}

TEST_CASE("the same principal is the same name, vouched for or not", "[identity]") {
  IdentityFields fields;
  fields.principal = "anonymous";
  const IdentityPtr named = makeIdentity(fields);
  fields.anonymous = true;
  const IdentityPtr nobody = makeIdentity(fields);
  CHECK(nobody->samePrincipal(*makeIdentity(fields)));
  CHECK_FALSE(named->samePrincipal(*nobody));
  CHECK_FALSE(named->samePrincipal(*identityOf("c", "other")));
}
