#include "middlewares/security/acl_file.hpp"

#include <string>

#include <catch2/catch.hpp>

#include "tests/support/client_fixture.hpp"
#include "tests/support/temporary_file.hpp"

namespace mqttstack {
namespace {

using test::TemporaryFile;
using test::TestBroker;

broker::IdentityPtr user(const char* principal) {
  broker::IdentityFields fields;
  fields.principal = principal;
  fields.clientId = "client";
  return broker::makeIdentity(std::move(fields));
}

/// A pipeline that has these rules, and what it thinks.
struct Rules {
  explicit Rules(std::string_view text) : file{text} {
    broker.useNamed<AclFile>("acl", AclFile::Options{file.path()});
  }

  Verdict packet(const char* principal, Action action, std::string_view topic) {
    const broker::IdentityPtr who = user(principal);
    Verdict verdict;
    broker.stack().execute(
        AuthorizePacket{*who, action, topic},
        [&](std::error_code, AuthorizePacket& question) { verdict = question.verdict; });
    return verdict;
  }
  Verdict delivery(const char* reader, std::string_view topic, const char* author = nullptr,
                   bool retained = false) {
    broker::MessageFields fields;
    fields.topic = topic;
    if (author) fields.author = user(author);
    const broker::MessagePtr message = broker::Message::create(std::move(fields));
    const broker::IdentityPtr who = user(reader);
    AuthorizeDelivery question{*who, *message, retained};
    broker.stack().run(question);
    return question.verdict;
  }

  TemporaryFile file;
  TestBroker broker;
};

constexpr const char* kRules =
    "user alice\n"
    "topic read in\n"
    "topic write out\n"
    "user bob\n"
    "topic readwrite #\n"
    "topic deny secret\n";

}  // namespace

TEST_CASE("acl_file judges each action by its own right", "[acl_file]") {
  Rules rules{kRules};
  CHECK(rules.packet("alice", Action::publish, "out").allowed());
  CHECK(rules.packet("alice", Action::will, "out").allowed());
  CHECK(rules.packet("alice", Action::subscribe, "in").allowed());
  CHECK(rules.packet("alice", Action::publish, "in").opinion == Opinion::none);
  CHECK(rules.packet("alice", Action::will, "in").opinion == Opinion::none);
  CHECK(rules.packet("alice", Action::subscribe, "out").opinion == Opinion::none);
  CHECK(rules.delivery("alice", "in").allowed());
  CHECK(rules.delivery("alice", "out").opinion == Opinion::none);
}

TEST_CASE("acl_file says by which line it decided", "[acl_file]") {
  Rules rules{kRules};
  const Verdict denied = rules.packet("bob", Action::publish, "secret");
  CHECK(denied.opinion == Opinion::deny);
  CHECK(denied.reason == mqtt::ReasonCode::notAuthorized);
  CHECK(denied.by == "acl");
  CHECK(denied.rule == 6);
  CHECK(rules.packet("bob", Action::publish, "x").rule == 5);
  CHECK(rules.delivery("bob", "secret").rule == 6);
}

TEST_CASE("acl_file leaves to others what no rule mentions", "[acl_file]") {
  Rules rules{kRules};
  auto& other = rules.broker.on<AuthorizePacket>([](AuthorizePacket& question, Next, Done done) {
    question.verdict.allow("other");
    return done();
  });
  CHECK(rules.packet("carol", Action::publish, "x").by == "other");
  CHECK(rules.packet("bob", Action::publish, "secret").by == "acl");
  CHECK(rules.packet("bob", Action::publish, "x").by == "acl");
  CHECK(other.calls == 1);
}

TEST_CASE("acl_file delivers a retained message only while its author may publish it",
          "[acl_file]") {
  Rules rules{kRules};
  CHECK(rules.delivery("bob", "out", "alice", true).allowed());
  CHECK(rules.delivery("bob", "out", nullptr, true).allowed());  // the broker's own
  CHECK_FALSE(rules.delivery("bob", "in", "alice", true).allowed());
  CHECK(rules.delivery("bob", "in", "alice", false).allowed());
}

TEST_CASE("acl_file reports what is wrong with its file", "[acl_file]") {
  TestBroker broker;
  SECTION("that there is none") {
    broker.use<AclFile>(AclFile::Options{"/nonexistent/acl"});
    const auto& findings = broker.diagnostics.findings();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].message == "cannot read /nonexistent/acl: No such file or directory");
    CHECK(findings[0].place.option == "path");
  }
  SECTION("every bad line, by its number") {
    const TemporaryFile file{"topic a\ntopic a#\ntopics b\n"};
    broker.use<AclFile>(AclFile::Options{file.path()});
    const auto& findings = broker.diagnostics.findings();
    REQUIRE(findings.size() == 2);
    CHECK(findings[0].message == file.path().string() + ":2: \"a#\" is not a topic filter");
    CHECK(findings[1].message == file.path().string() + ":3: \"topics\" is not understood");
  }
}

}  // namespace mqttstack
