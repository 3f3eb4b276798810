#include "middlewares/security/acl_file.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <sys/resource.h>

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
    acl = &broker.useNamed<AclFile>("acl", AclFile::Options{file.path()});
  }

  Verdict packet(const char* principal, Action action, std::string_view topic) {
    const broker::IdentityPtr who = user(principal);
    Verdict verdict;
    broker.stack().execute(
        AuthorizePacket{*who, action, topic},
        [&](std::error_code, AuthorizePacket& question) { verdict = question.verdict; });
    return verdict;
  }
  Verdict delivery(const char* who, std::string_view topic, bool asAuthor = false) {
    broker::MessageFields fields;
    fields.topic = topic;
    const broker::MessagePtr message = broker::Message::create(std::move(fields));
    const broker::IdentityPtr identity = user(who);
    AuthorizeDelivery question{*identity, *message, asAuthor};
    broker.stack().run(question);
    return question.verdict;
  }

  TemporaryFile file;
  TestBroker broker;
  AclFile* acl;
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

TEST_CASE("acl_file judges the author of a retained message by the right to publish",
          "[acl_file]") {
  Rules rules{kRules};
  CHECK(rules.delivery("alice", "out", true).allowed());
  CHECK_FALSE(rules.delivery("alice", "in", true).allowed());
  CHECK(rules.delivery("bob", "secret", true).rule == 6);
}

TEST_CASE("acl_file tells subscribing from receiving", "[acl_file]") {
  Rules rules{"user alice\ntopic subscribe #\ntopic receive in\n"};
  CHECK(rules.packet("alice", Action::subscribe, "#").allowed());
  CHECK(rules.delivery("alice", "in").allowed());
  CHECK_FALSE(rules.delivery("alice", "out").allowed());
}

TEST_CASE("acl_file reads its file again, all of it or nothing", "[acl_file]") {
  Rules rules{kRules};
  const auto rewrite = [&](std::string_view text) {
    std::ofstream{rules.file.path()} << text;
    Diagnostics found;
    const bool good = rules.acl->reload(found);
    CHECK(good != found.hasErrors());
    return good;
  };
  CHECK(rules.packet("alice", Action::publish, "out").allowed());
  SECTION("what was decided before counts no more") {
    CHECK(rewrite("user alice\ntopic write new\n"));
    CHECK_FALSE(rules.packet("alice", Action::publish, "out").allowed());
    CHECK(rules.packet("alice", Action::publish, "new").allowed());
  }
  SECTION("a file with a mistake changes nothing") {
    CHECK_FALSE(rewrite("user alice\ntopic write new\ntopic a#\n"));
    CHECK(rules.packet("alice", Action::publish, "out").allowed());
    CHECK_FALSE(rules.packet("alice", Action::publish, "new").allowed());
  }
  SECTION("a file that is gone changes nothing") {
    std::filesystem::remove(rules.file.path());
    Diagnostics found;
    CHECK_FALSE(rules.acl->reload(found));
    CHECK(rules.packet("alice", Action::publish, "out").allowed());
  }
  SECTION("a file that cannot be read for want of descriptors changes nothing (CVE-2017-7652)") {
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    const rlimit none{0, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
    Diagnostics found;
    const bool good = rules.acl->reload(found);
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK_FALSE(good);
    CHECK(rules.packet("alice", Action::publish, "out").allowed());
    CHECK_FALSE(rules.packet("alice", Action::publish, "in").allowed());
  }
  SECTION("an empty file allows nothing (CVE-2018-12550)") {
    CHECK(rewrite(""));
    CHECK_FALSE(rules.packet("alice", Action::publish, "out").allowed());
    CHECK_FALSE(rules.packet("bob", Action::publish, "x").allowed());
  }
}

TEST_CASE("acl_file reports what is wrong with its file", "[acl_file]") {
  TestBroker broker;
  SECTION("that there is none") {
    broker.use<AclFile>(AclFile::Options{"/nonexistent/acl"});
    const auto& findings = broker.diagnostics.findings();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].message == "cannot read \"/nonexistent/acl\": No such file or directory");
    CHECK(findings[0].place.option == "path");
  }
  SECTION("that it has no rules") {
    const TemporaryFile file{"user alice\n"};
    broker.use<AclFile>(AclFile::Options{file.path()});
    const auto& findings = broker.diagnostics.findings();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::warning);
    CHECK(findings[0].message == file.path().string() + " has no rules: it allows nobody anything");
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
