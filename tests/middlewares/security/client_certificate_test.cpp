#include "middlewares/security/client_certificate.hpp"

#include <string>
#include <utility>

#include <catch2/catch.hpp>

#include "core/net/peer_info.hpp"
#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using test::TestBroker;
using Field = ClientCertificate::Field;

net::TlsInfo certificate() {
  net::TlsInfo tls;
  tls.hasCertificate = true;
  tls.commonName = "alice";
  tls.dnsNames = {"gateway.example.org", "pump-7.devices.example.org"};
  tls.emails = {"alice@example.org"};
  tls.uris = {"spiffe://example.org/pump/7"};
  return tls;
}

AuthenticateConnection ask(const ClientCertificate::Options& options, const net::TlsInfo* tls,
                           std::optional<std::string_view> user = {}) {
  TestBroker broker;
  broker.useNamed<ClientCertificate>("certificates", options);
  REQUIRE(broker.diagnostics.findings().empty());
  const auto identity = broker::makeIdentity({});
  std::optional<AuthenticateConnection> answer;
  broker.stack().execute(
      AuthenticateConnection{*identity, user, {}, tls},
      [&](std::error_code, AuthenticateConnection& login) { answer.emplace(std::move(login)); });
  static const broker::IdentityPtr kNobody = broker::makeIdentity({});
  AuthenticateConnection copy{*kNobody, {}, {}};
  copy.verdict = answer->verdict;
  static std::string by;  // the middleware, whose name it is, goes with its broker
  copy.verdict.by = by = answer->verdict.by;
  copy.principal = answer->principal;
  copy.groups = answer->groups;
  return copy;
}

std::string userOf(const ClientCertificate::Options& options, const net::TlsInfo& tls) {
  const auto login = ask(options, &tls);
  return login.verdict.allowed() ? login.principal : "";
}

}  // namespace

TEST_CASE("client_certificate takes the user out of the certificate", "[client_certificate]") {
  const auto tls = certificate();
  CHECK(userOf({}, tls) == "alice");
  CHECK(userOf({.name = Field::dns, .map = {}, .groups = {}}, tls) == "gateway.example.org");
  CHECK(userOf({.name = Field::email, .map = {}, .groups = {}}, tls) == "alice@example.org");
  CHECK(userOf({.name = Field::uri, .map = {}, .groups = {}}, tls) ==
        "spiffe://example.org/pump/7");
  CHECK(ask({.name = Field::commonName, .map = {}, .groups = {"devices"}}, &tls).groups ==
        std::vector<std::string>{"devices"});
}

TEST_CASE("client_certificate has no opinion without a certificate, or its name",
          "[client_certificate]") {
  CHECK(ask({}, nullptr).verdict.opinion == Opinion::none);
  net::TlsInfo nameless;
  nameless.hasCertificate = true;
  for (const Field field : {Field::commonName, Field::dns, Field::email, Field::uri})
    CHECK(ask({.name = field, .map = {}, .groups = {}}, &nameless).verdict.opinion ==
          Opinion::none);
}

TEST_CASE("client_certificate leaves a client alone that names another user",
          "[client_certificate]") {
  const auto tls = certificate();
  CHECK(ask({}, &tls, "alice").verdict.allowed());
  CHECK(ask({}, &tls, "admin").verdict.opinion == Opinion::none);
  CHECK(ask({}, &tls, "").verdict.opinion == Opinion::none);
}

TEST_CASE("client_certificate maps names to users by the first rule that matches",
          "[client_certificate]") {
  ClientCertificate::Options options;
  options.name = Field::dns;
  options.map = {"*.devices.example.org = device-*", "gateway.example.org = gateway", "* = other"};
  CHECK(userOf(options, certificate()) == "gateway");
  net::TlsInfo tls;
  tls.hasCertificate = true;
  tls.dnsNames = {"pump-7.devices.example.org"};
  CHECK(userOf(options, tls) == "device-pump-7");
  tls.dnsNames = {".devices.example.org"};
  CHECK(userOf(options, tls) == "device-");
  tls.dnsNames = {"example.org"};
  CHECK(userOf(options, tls) == "other");
  options.map.pop_back();
  CHECK(userOf(options, tls).empty());
  // What matches in front and behind must not be the same characters.
  options.map = {"aba*ba = x"};
  tls.dnsNames = {"aba"};
  CHECK(userOf(options, tls).empty());
}

TEST_CASE("client_certificate denies names that could be more than names", "[client_certificate]") {
  net::TlsInfo tls;
  tls.hasCertificate = true;
  for (const std::string& name : {std::string{"+"}, std::string{"a#"}, std::string{"a\nb"},
                                  std::string{"a\0b", 3}, std::string{"a\xff"}}) {
    tls.commonName = name;
    const auto login = ask({}, &tls);
    CHECK(login.verdict.opinion == Opinion::deny);
    CHECK(login.verdict.by == "certificates");
  }
}

TEST_CASE("client_certificate reports rules that are none", "[client_certificate]") {
  for (const char* wrong : {"", "alice", "= alice", "alice =", "a*b* = x", "a = b*", "* = **"}) {
    CAPTURE(wrong);
    TestBroker broker;
    ClientCertificate::Options options;
    options.map = {"good = user", wrong};
    broker.use<ClientCertificate>(options);
    REQUIRE(broker.diagnostics.findings().size() == 1);
    CHECK(broker.diagnostics.findings()[0].place.option == "map");
  }
}

}  // namespace mqttstack
