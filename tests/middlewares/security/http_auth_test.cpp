#include "middlewares/security/http_auth.hpp"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include <catch2/catch.hpp>

#include "core/mqtt/text.hpp"
#include "middlewares/protocol/connection.hpp"
#include "middlewares/security/authentication.hpp"
#include "tests/middlewares/security/http_service.hpp"
#include "tests/support/client_fixture.hpp"
#include "tests/support/temporary_file.hpp"

namespace mqttstack {
namespace {

using mqtt::ReasonCode;
using nlohmann::json;
using test::AcceptConnect;
using test::HttpService;
using test::Peer;
using test::TemporaryFile;
using test::TestBroker;
using namespace std::chrono_literals;
using OnError = HttpAuth::OnError;

/// A service that always says the same.
HttpService::Answer always(const std::string& body, const std::string& status = "200 OK") {
  return [=](const std::string&, const std::string&) { return HttpService::reply(body, status); };
}
const HttpService::Answer kAllow = always(R"({"result":"allow"})");

/// A pipeline that asks a service about logins and rights.
struct Door {
  explicit Door(HttpService::Answer answer, HttpAuth::Options options = {},
                const std::string& path = "/auth")
      : service{std::move(answer)} {
    options.authenticateUrl = service.url(path);
    options.authorizeUrl = service.url();
    options.timeout = 2s;
    broker.use<Connection>();
    broker.use<Authentication>();
    auth = &broker.useNamed<HttpAuth>("service", options);
    broker.use<AcceptConnect>();
    broker.loop.hold();
  }
  Peer knock(std::string_view user = "alice", std::string_view password = "wonder") {
    mqtt::Connect connect;
    connect.version = mqtt::ProtocolVersion::v5;
    connect.clientId = "kitchen";
    connect.userName = user;
    connect.password = password;
    return broker.connectWith(connect);
  }
  void settle(const Peer& peer) {
    while (!peer.gone() && peer.client().parked()) {
      broker.loop.await();
      broker.run();
    }
  }
  static ReasonCode codeFor(Peer& peer) {
    const auto packets = peer.packets();
    REQUIRE(packets.size() == 1);
    return std::get<mqtt::Connack>(packets.front()).code;
  }
  ReasonCode enter(std::string_view user = "alice", std::string_view password = "wonder") {
    Peer peer = knock(user, password);
    settle(peer);
    return codeFor(peer);
  }

  struct Outcome {
    std::error_code error;
    Verdict verdict;
  };
  Outcome ask(Action action, std::string_view topic, const broker::IdentityPtr& who) {
    std::optional<Outcome> outcome;
    broker.stack().execute(AuthorizePacket{*who, action, topic, mqtt::Qos::atLeastOnce, true},
                           [&](std::error_code error, AuthorizePacket& question) {
                             outcome = Outcome{error, question.verdict};
                           });
    while (!outcome) broker.loop.await();
    return *outcome;
  }
  Opinion reads(std::string_view topic, const broker::IdentityPtr& who, bool asAuthor = false) {
    broker::MessageFields fields;
    fields.topic = topic;
    const auto message = broker::Message::create(std::move(fields));
    AuthorizeDelivery question{*who, *message, asAuthor};
    broker.stack().run(question);
    return question.verdict.opinion;
  }
  /// Starts the middlewares, as a first connection does.
  void start() { broker.open(); }

  HttpService service;
  TestBroker broker;
  HttpAuth* auth;
};

broker::IdentityPtr alice() {
  broker::IdentityFields fields;
  fields.principal = "alice";
  fields.clientId = "kitchen";
  fields.address = "192.0.2.1";
  fields.listener = "lan";
  fields.groups = {"staff"};
  return broker::makeIdentity(std::move(fields));
}

}  // namespace

// The seven cases of a middleware that answers later.

TEST_CASE("http_auth answers later, when the service has", "[http_auth]") {
  Door door{always(R"({"result":"allow","user":"Alice","groups":["staff"]})")};
  Peer peer = door.knock();
  CHECK(peer.client().parked());
  door.settle(peer);
  CHECK(Door::codeFor(peer) == ReasonCode::success);
  CHECK(peer.client().identity()->principal() == "Alice");
  CHECK(peer.client().identity()->groups() == std::vector<std::string>{"staff"});
  REQUIRE(door.service.asked().size() == 1);
  CHECK(json::parse(door.service.asked()[0]) == json{{"action", "authenticate"},
                                                     {"client_id", "kitchen"},
                                                     {"user", "alice"},
                                                     {"password", "wonder"},
                                                     {"address", "local"},
                                                     {"listener", "test"}});
}

TEST_CASE("http_auth answers at once what it has asked a moment ago", "[http_auth]") {
  Door door{kAllow};
  CHECK(door.enter() == ReasonCode::success);
  Peer again = door.knock();
  CHECK_FALSE(again.client().parked());
  CHECK(Door::codeFor(again) == ReasonCode::success);
  CHECK(door.knock("alice", "other").client().parked());
  door.broker.advance(10s);
  CHECK(door.knock().client().parked());
}

TEST_CASE("http_auth remembers nothing if it shall not", "[http_auth]") {
  HttpAuth::Options options;
  options.cache = 0s;
  Door door{kAllow, options};
  CHECK(door.enter() == ReasonCode::success);
  CHECK(door.knock().client().parked());
}

TEST_CASE("http_auth refuses whom the service refuses", "[http_auth]") {
  const auto answer = GENERATE(table<const char*, const char*>({
      {"200 OK", R"({"result":"deny"})"},
      {"401 Unauthorized", ""},
      {"403 Forbidden", "no JSON"},
  }));
  Door door{always(std::get<1>(answer), std::get<0>(answer))};
  CHECK(door.enter() == ReasonCode::badUserNameOrPassword);
  CHECK(door.broker.metrics.value("auth_refused{by=\"service\"}") == 1);
}

TEST_CASE("http_auth leaves to others what the service ignores", "[http_auth]") {
  Door door{always(R"({"result":"ignore"})")};
  CHECK(door.enter() == ReasonCode::badUserNameOrPassword);
  CHECK(door.broker.metrics.value("auth_refused{by=\"nobody\"}") == 1);
}

namespace {

/// Everything that is no answer.
std::string someFailure() {
  return GENERATE(
      as<std::string>{}, HttpService::reply(""), HttpService::reply("[]"), HttpService::reply("{}"),
      HttpService::reply(R"({"result":true})"), HttpService::reply(R"({"result":"ALLOW"})"),
      HttpService::reply(R"({"result":"allow")"),
      HttpService::reply(R"({"result":"allow","user":5})"),
      HttpService::reply(R"({"result":"allow","groups":"staff"})"),
      HttpService::reply(R"({"result":"allow","groups":[1]})"),
      HttpService::reply(R"({"result":"allow","expires_in":-1})"),
      HttpService::reply(R"({"result":"allow"})", "201 Created"),
      HttpService::reply(R"({"result":"allow"})", "500 Oops"),
      "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
      HttpService::reply(R"({"result":"allow","x":")" + std::string(70'000, 'x') + "\"}"),
      "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{", "nonsense\r\n\r\n", "");
}

}  // namespace

TEST_CASE("http_auth fails closed when the service fails", "[http_auth]") {
  const std::string answer = someFailure();
  Door door{[=](const std::string&, const std::string&) { return answer; }};
  CHECK(door.enter() == ReasonCode::serverUnavailable);
  CHECK(door.ask(Action::publish, "a", alice()).error);
  CHECK(door.broker.metrics.value("http_auth_failures") == 2);
  CHECK(door.broker.logged(LogLevel::warning) == 2);
}

TEST_CASE("http_auth says what is wrong with an answer, and names the service without secrets",
          "[http_auth]") {
  const auto answer = GENERATE(table<const char*, const char*>({
      {R"({"result":"perhaps"})", R"("result" is none of "allow", "deny" and "ignore")"},
      {R"({"results":"allow"})", R"(status 200, but no "result")"},
      {"allow", "status 200, but no JSON object"},
      {R"({"result":"allow","user":5})", R"("user" is no text)"},
      {R"({"result":"allow","groups":[1]})", R"("groups" is no list of texts)"},
      {R"({"result":"allow","expires_in":-1})", R"("expires_in" is no number of seconds)"},
  }));
  Door door{always(std::get<0>(answer)), {}, "/auth/mqtt?key=topsecret"};
  CHECK(door.enter() == ReasonCode::serverUnavailable);
  const std::string& line = door.broker.log.front().text;
  CHECK(line == door.service.url("/auth/mqtt") +
                    " gave no answer: " + mqtt::printable(std::get<1>(answer)));
}

TEST_CASE("http_auth fails open if it is told to", "[http_auth]") {
  HttpAuth::Options options;
  options.onError = OnError::allow;
  Door door{always("", "500 Oops"), options};
  CHECK(door.enter() == ReasonCode::success);
  CHECK(door.ask(Action::subscribe, "a/#", alice()).verdict.allowed());
}

TEST_CASE("http_auth waits for an answer as long as it may, and no longer", "[http_auth]") {
  std::atomic<bool> over{false};
  TestBroker broker;
  HttpService slow{[&](const std::string&, const std::string&) {
    while (!over) std::this_thread::yield();
    return std::string{};
  }};
  HttpAuth::Options options;
  options.authenticateUrl = slow.url();
  options.timeout = 50ms;
  broker.use<Authentication>();
  broker.use<HttpAuth>(options);
  broker.use<AcceptConnect>();
  broker.loop.hold();
  mqtt::Connect connect;
  connect.clientId = "a";
  connect.userName = "alice";
  Peer peer = broker.connectWith(connect);
  while (!peer.closed()) {
    broker.loop.await();
    broker.run();
  }
  over = true;
}

TEST_CASE("http_auth discards the answer for a client that is gone", "[http_auth]") {
  Door door{kAllow};
  Peer peer = door.knock();
  peer.reset();
  CHECK_FALSE(peer.gone());  // pinned by its walk
  while (!peer.gone()) {
    door.broker.loop.await();
    door.broker.run();
  }
  CHECK(peer.received().empty());
}

TEST_CASE("http_auth may answer when everything is over", "[http_auth]") {
  Door door{kAllow};
  door.knock();
}

TEST_CASE("http_auth asks so many questions at a time and no more", "[http_auth]") {
  HttpAuth::Options options;
  options.threads = 1;
  options.queue = 2;
  Door door{kAllow, options};
  std::vector<Peer> peers;
  const std::string users[] = {"a", "b", "c", "d", "e", "f"};
  for (const auto& user : users) peers.push_back(door.knock(user));
  std::size_t refused = 0;
  for (Peer& peer : peers) {
    door.settle(peer);
    const ReasonCode code = Door::codeFor(peer);
    CHECK((code == ReasonCode::success || code == ReasonCode::serverUnavailable));
    refused += code == ReasonCode::serverUnavailable;
  }
  CHECK(refused > 0);
  CHECK(refused <= 4);
}

TEST_CASE("http_auth encodes what clients say (NanoMQ 2341)", "[http_auth]") {
  Door door{always(R"({"result":"deny"})")};
  const std::string user = "a&username=admin\",\"user\":\"admin";
  const std::string password = "\\\"\r\n\x01 z\xc3\xab";
  door.enter(user, password);
  const json question = json::parse(door.service.asked().at(0));
  CHECK(question["user"] == user);
  CHECK(question["password"] == password);
  CHECK(question.size() == 6);
}

TEST_CASE("http_auth denies a password that is no text", "[http_auth]") {
  Door door{kAllow};
  CHECK(door.enter("alice", "\xff\xfe") == ReasonCode::badUserNameOrPassword);
  CHECK(door.service.asked().empty());
}

TEST_CASE("http_auth asks about rights", "[http_auth]") {
  Door door{[](const std::string&, const std::string& body) {
    const json question = json::parse(body);
    return HttpService::reply(question["topic"] == "mine/#" || question["topic"] == "out"
                                  ? R"({"result":"allow"})"
                                  : R"({"result":"deny"})");
  }};
  door.start();
  const auto who = alice();
  CHECK(door.ask(Action::publish, "out", who).verdict.allowed());
  CHECK(json::parse(door.service.asked().at(0)) == json{{"action", "publish"},
                                                        {"client_id", "kitchen"},
                                                        {"user", "alice"},
                                                        {"anonymous", false},
                                                        {"groups", {"staff"}},
                                                        {"address", "192.0.2.1"},
                                                        {"listener", "lan"},
                                                        {"topic", "out"},
                                                        {"qos", 1},
                                                        {"retain", true}});
  const auto denied = door.ask(Action::will, "secret", who).verdict;
  CHECK(denied.opinion == Opinion::deny);
  CHECK(denied.reason == ReasonCode::notAuthorized);

  // What it may subscribe to, it is sent; another one is not.
  CHECK(door.reads("mine/a", who) == Opinion::none);
  CHECK(door.ask(Action::subscribe, "mine/#", who).verdict.allowed());
  CHECK(door.reads("mine/a", who) == Opinion::allow);
  CHECK(door.reads("other", who) == Opinion::none);
  CHECK(door.reads("mine/a", alice()) == Opinion::none);
  CHECK_FALSE(door.ask(Action::subscribe, "#", who).verdict.allowed());
  CHECK(door.reads("other", who) == Opinion::none);
}

TEST_CASE("http_auth cuts a client off when the service says so", "[http_auth]") {
  Door door{always(R"({"result":"allow","expires_in":100})")};
  Peer peer = door.knock();
  door.settle(peer);
  CHECK(Door::codeFor(peer) == ReasonCode::success);
  door.broker.advance(99s);
  CHECK_FALSE(peer.closed());
  door.broker.advance(2s);
  CHECK(peer.closed());
}

TEST_CASE("http_auth shows the service who asks", "[http_auth]") {
  const TemporaryFile secret{"Bearer sesame\n"};
  HttpAuth::Options options;
  options.authorizationFile = secret.path();
  Door door{
      [](const std::string& head, const std::string&) {
        return HttpService::reply(head.find("Authorization: Bearer sesame\r\n") != std::string::npos
                                      ? R"({"result":"allow"})"
                                      : R"({"result":"deny"})");
      },
      options};
  CHECK(door.enter() == ReasonCode::success);

  SECTION("by what its file says now, if there is one") {
    std::ofstream{secret.path()} << "Bearer radish\n";
    Diagnostics found;
    CHECK(door.auth->reload(found));
    CHECK(door.enter("bob") == ReasonCode::badUserNameOrPassword);
    std::filesystem::remove(secret.path());
    CHECK_FALSE(door.auth->reload(found));
    CHECK_THAT(found.findings().back().message, Catch::Contains("cannot read"));
    CHECK(door.enter("carol") == ReasonCode::badUserNameOrPassword);
  }
  SECTION("by what it knew if its file is gone") {
    std::filesystem::remove(secret.path());
    Diagnostics found;
    CHECK_FALSE(door.auth->reload(found));
    CHECK(door.enter("bob") == ReasonCode::success);
  }
}

TEST_CASE("http_auth reports what is wrong with its options", "[http_auth]") {
  TestBroker broker;
  HttpAuth::Options options;
  const auto findings = [&] {
    broker.use<HttpAuth>(options);
    return broker.diagnostics.findings();
  };
  SECTION("no service") { CHECK(findings().at(0).severity == Severity::error); }
  SECTION("a URL that is none") {
    options.authenticateUrl =
        GENERATE("auth", "ftp://host/", "http://", "https://a:b@host/", "http://:topsecret@host/",
                 "http://@host/", "file:///etc/passwd", "http://ho st/");
    CHECK(findings().at(0).severity == Severity::error);
    const Finding finding = findings().at(0);
    CHECK(finding.place.option == "authenticate_url");
    CHECK(finding.message.find("topsecret") == std::string::npos);
  }
  SECTION("passwords in the clear") {
    options.authenticateUrl = "http://auth.example.org/";
    CHECK(findings().at(0).severity == Severity::warning);
  }
  SECTION("nothing about a good one") {
    options.authenticateUrl = "https://auth.example.org/";
    options.authorizeUrl =
        GENERATE("http://localhost:8080/x", "http://127.0.0.1/", "http://[::1]/");
    CHECK(findings().empty());
  }
  SECTION("that it fails open") {
    options.authenticateUrl = "https://auth.example.org/";
    options.onError = OnError::allow;
    CHECK(findings().at(0).severity == Severity::warning);
  }
  SECTION("a file that is not there") {
    options.authenticateUrl = "https://auth.example.org/";
    options.caFile = "/nonexistent/ca";
    options.authorizationFile = "/nonexistent/secret";
    CHECK(findings().size() == 2);
  }
}

}  // namespace mqttstack
