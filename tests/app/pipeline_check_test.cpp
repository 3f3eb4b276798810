#include "app/pipeline_check.hpp"

#include <sstream>

#include <catch2/catch.hpp>

#include "middlewares/builtins.hpp"
#include "tests/app/config_fixture.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using Catch::Matchers::Contains;

namespace {

const std::string kOpen = "connection, ";
const std::string kRest =
    "keep_alive, last_will, memory_backend, session_manager, subscription_manager, "
    "retain_manager, inbound_manager, outbound_manager";

/// What is wrong with a pipeline of the real middlewares, "a, b, c", each finding in
/// a line with its help.
std::string findingsOf(const std::string& members, const std::string& more = "",
                       const std::string& listener = "",
                       Daemon::Purpose purpose = Daemon::Purpose::run,
                       const std::string& acl = "topic read a\n") {
  const TemporaryDirectory directory;
  directory.write("acl", acl);
  directory.write("passwd", "alice:$6$salt$" + std::string(86, 'x') + "\n");
  directory.write("secret", std::string(32, 's'));
  std::string list;
  for (std::size_t begin = 0; begin < members.size();) {
    const std::size_t end = std::min(members.find(", ", begin), members.size());
    list += "\"" + members.substr(begin, end - begin) + "\",";
    begin = end + 2;
  }
  const auto uses = [&](const std::string& name) {
    return list.find("\"" + name + "\"") != std::string::npos;
  };
  std::string text = "[[listener]]\nbind = \"127.0.0.1:1883\"\n" + listener +
                     "[pipeline]\ndefault = [" + list + "]\n" + more;
  if (uses("acl_file")) text += "[middleware.acl_file]\npath = \"acl\"\n";
  if (uses("password_file")) text += "[middleware.password_file]\npath = \"passwd\"\n";
  Registry registry;
  registerBuiltins(registry);
  ConfigReport report;
  const Config config = readConfig({(directory.path() / "test.toml").string(), text}, report);
  const LogSink silent;
  const Daemon daemon{config, registry, silent, report, purpose};
  std::string all;
  for (const ConfigFinding& finding : report.findings()) {
    if (finding.message.find("can be read by everybody") != std::string::npos) continue;
    all += finding.severity == Severity::error ? "error: " : "warning: ";
    all += finding.message + " (" + finding.help + ")\n";
  }
  return all;
}

}  // namespace

TEST_CASE("the usual pipelines are found right", "[pipeline_check]") {
  CHECK(findingsOf(kOpen + kRest) == "");
  CHECK(findingsOf(kOpen + "authentication, password_file, authorization, acl_file, " + kRest) ==
        "");
  CHECK(findingsOf("connection, packet_log, auth_backoff, flapping_detect, rate_limit, "
                   "authentication, password_file, " +
                   kRest) == "");
  CHECK(findingsOf("connection, keep_alive, packet_log, last_will, memory_backend, "
                   "session_manager, subscription_manager, inbound_manager, "
                   "outbound_manager") == "");
}

TEST_CASE("who decides and is never asked is an error", "[pipeline_check]") {
  CHECK(findingsOf(kOpen + "acl_file, " + kRest) ==
        "error: \"acl_file\" is never asked: nothing in pipeline \"default\" executes "
        "authorizePacket (add authorization in front of it)\n");
  CHECK(findingsOf(kOpen + "password_file, " + kRest) ==
        "error: \"password_file\" is never asked: nothing in pipeline \"default\" executes "
        "authenticateConnection (add authentication in front of it)\n");
  CHECK_THAT(findingsOf(kOpen + "client_certificate, " + kRest),
             Contains("error: \"client_certificate\" is never asked"));
  CHECK_THAT(findingsOf(kOpen + "auth_backoff, " + kRest),
             Contains("error: \"auth_backoff\" has no effect: no middleware judges credentials"));
}

TEST_CASE("who decides is not missed where its options leave it nothing to decide",
          "[pipeline_check]") {
  const std::string login = "[middleware.http_auth]\nauthenticate_url = \"http://127.0.0.1/\"\n";
  const std::string rights = "[middleware.http_auth]\nauthorize_url = \"http://127.0.0.1/\"\n";
  CHECK(findingsOf(kOpen + "authentication, http_auth, " + kRest, login) == "");
  CHECK_THAT(findingsOf(kOpen + "authentication, password_file, http_auth, " + kRest, rights),
             Contains("error: \"http_auth\" is never asked") && Contains("authorizePacket"));
  CHECK(findingsOf(kOpen + "authorization, http_auth, " + kRest, rights) == "");
  CHECK_THAT(findingsOf(kOpen + "authorization, http_auth, acl_file, " + kRest, login),
             Contains("error: \"http_auth\" is never asked") && Contains("authenticateConnection"));

  const std::string jwt =
      "[middleware.jwt_auth]\nsecret = \"secret\"\nissuer = \"i\"\naudience = \"a\"\n";
  CHECK_THAT(findingsOf(kOpen + "authentication, jwt_auth, " + kRest, jwt),
             Contains("warning: \"jwt_auth\" is never asked") && !Contains("error:") &&
                 Contains("mqtt-stackd describe jwt_auth"));
  CHECK(findingsOf(kOpen + "authentication, jwt_auth, " + kRest, jwt + "acl_claim = \"\"\n") == "");
}

TEST_CASE("what there can be one of is found twice", "[pipeline_check]") {
  CHECK(findingsOf("connection, sqlite_backend, " + kRest) ==
        "error: pipeline \"default\" has two backends, \"sqlite_backend\" and \"memory_backend\" "
        "(take one out)\n");
  for (const std::string type :
       {"connection", "keep_alive", "last_will", "session_manager", "subscription_manager",
        "retain_manager", "inbound_manager", "outbound_manager"}) {
    INFO(type);
    CHECK_THAT(
        findingsOf(kOpen + kRest + ", other", "[middleware.other]\nuse = \"" + type + "\"\n"),
        Contains("error: pipeline \"default\" has two instances of " + type + ", \"" + type +
                 "\" and \"other\" (take one out)\n"));
  }
}

TEST_CASE("who looks at packets has to stand before they are answered", "[pipeline_check]") {
  CHECK(findingsOf(kOpen + kRest + ", rate_limit") ==
        "error: \"rate_limit\" stands behind \"inbound_manager\": what it looks at has been "
        "answered by then (move \"rate_limit\" in front of \"inbound_manager\")\n");
  CHECK_THAT(findingsOf(kOpen + kRest + ", packet_log"),
             Contains("error: \"packet_log\" stands behind \"session_manager\", "
                      "\"inbound_manager\", ") &&
                 Contains("(move \"packet_log\" in front of "));
  CHECK_THAT(findingsOf(kOpen + kRest + ", flapping_detect"),
             Contains("error: \"flapping_detect\" stands behind \"session_manager\": "));
}

TEST_CASE("connection stands before those who work with clients", "[pipeline_check]") {
  CHECK_THAT(findingsOf(kRest + ", connection"),
             Contains("error: \"connection\" stands behind \"") &&
                 Contains("(move \"connection\" in front of \""));
  CHECK_THAT(findingsOf("authentication, connection, password_file, " + kRest),
             Contains("error: \"connection\" stands behind \"authentication\", which works with "
                      "the clients that it lets in"));
  CHECK_THAT(findingsOf("authorization, acl_file, connection, " + kRest),
             Contains("error: \"connection\" stands behind \"authorization\""));
  CHECK_THAT(findingsOf("keep_alive, connection, last_will, memory_backend, session_manager, "
                        "subscription_manager, inbound_manager, outbound_manager"),
             Contains("error: \"connection\" stands behind \"keep_alive\""));
}

TEST_CASE("who only stops or watches a callback does not answer it", "[pipeline_check]") {
  CHECK(findingsOf("connection, authorization, acl_file, keep_alive, last_will, memory_backend, "
                   "session_manager, subscription_manager, retain_manager, inbound_manager") ==
        "error: \"memory_backend\" executes forwardMessage, and nothing in pipeline \"default\" "
        "handles it (add outbound_manager)\n"
        "error: \"retain_manager\" executes forwardMessage, and nothing in pipeline \"default\" "
        "handles it (add outbound_manager)\n");
}

TEST_CASE("callbacks that one middleware could answer are missed together", "[pipeline_check]") {
  const std::string problems = findingsOf(
      "connection, keep_alive, last_will, session_manager, subscription_manager, "
      "retain_manager, inbound_manager, outbound_manager");
  CHECK_THAT(problems, Contains("error: \"session_manager\" executes openSession, suspendSession, "
                                "storeSubscription, removeSubscription, clearSubscriptions, "
                                "lookupSubscriptions, clearOfflineMessages, and nothing in "
                                "pipeline \"default\" handles them (add one of: memory_backend, "
                                "sqlite_backend)\n"));
  CHECK(std::count(problems.begin(), problems.end(), '\n') == 6);
}

TEST_CASE("a broker without subscribing or publishing is warned of", "[pipeline_check]") {
  CHECK(findingsOf("connection, keep_alive, memory_backend, session_manager, retain_manager, "
                   "inbound_manager, outbound_manager") ==
        "warning: nothing in pipeline \"default\" answers SUBSCRIBE: a client that sends one is "
        "closed (add subscription_manager, unless this is meant)\n"
        "warning: nothing in pipeline \"default\" answers UNSUBSCRIBE: a client that sends one is "
        "closed (add subscription_manager, unless this is meant)\n");
  CHECK(findingsOf("connection, memory_backend, session_manager, subscription_manager, "
                   "outbound_manager") ==
        "warning: nothing in pipeline \"default\" answers PUBLISH: a client that sends one is "
        "closed (add inbound_manager, unless this is meant)\n"
        "warning: nothing in pipeline \"default\" answers PINGREQ: a client that sends one is "
        "closed (add keep_alive, unless this is meant)\n");
}

TEST_CASE("certificates that nobody asks for let nobody in", "[pipeline_check]") {
  CHECK(findingsOf(kOpen + "authentication, client_certificate, " + kRest) ==
        "warning: pipeline \"default\" lets clients in by their certificates only, and listener "
        "\"127.0.0.1:1883\" asks for none (add client_certificates = \"required\" to its tls, or "
        "list another authenticator, for example \"password_file\")\n");
  CHECK(findingsOf(kOpen + "authentication, client_certificate, password_file, " + kRest) == "");
}

TEST_CASE("two stores have not one file", "[pipeline_check]") {
  const auto members = [](const std::string& backend) {
    return "\nother = [\"connection\", \"keep_alive\", \"" + backend +
           "\", \"session_manager\", \"subscription_manager\", \"inbound_manager\", "
           "\"outbound_manager\"]\n";
  };
  const std::string usual =
      "connection, keep_alive, sqlite_backend, session_manager, subscription_manager, "
      "inbound_manager, outbound_manager";
  const std::string listener = "[[listener]]\nbind = \"127.0.0.1:1884\"\npipeline = \"other\"\n";
  const auto withPaths = [&](const std::string& one, const std::string& two) {
    return findingsOf(usual,
                      members("second") + "[middleware.sqlite_backend]\npath = \"" + one +
                          "\"\n[middleware.second]\nuse = \"sqlite_backend\"\npath = \"" + two +
                          "\"\n",
                      listener);
  };
  CHECK(withPaths("a.db", "b.db") == "");
  CHECK(withPaths("a.db", "./a.db") ==
        "error: \"sqlite_backend\" and \"second\" would have the same file (give one of them "
        "another path, or let both pipelines list the same one)\n");
  CHECK(findingsOf(usual, members("sqlite_backend"), listener) == "");
}

TEST_CASE("a store is checked for a directory that it can be made in", "[pipeline_check]") {
  const std::string usual =
      "connection, keep_alive, sqlite_backend, session_manager, subscription_manager, "
      "inbound_manager, outbound_manager";
  const std::string path = "[middleware.sqlite_backend]\npath = \"nowhere/a.db\"\n";
  CHECK(findingsOf(usual, path) == "");  // start() will tell
  CHECK_THAT(findingsOf(usual, path, "", Daemon::Purpose::check),
             Contains("error: cannot make ") && Contains("nowhere\" does not exist; make it, "));
}

TEST_CASE("rules about a listener that there is not are warned of", "[pipeline_check]") {
  const auto findings = [](const std::string& acl) {
    return findingsOf(kOpen + "authorization, acl_file, " + kRest, "", "name = \"lan\"\n",
                      Daemon::Purpose::run, acl);
  };
  CHECK(findings("listener lan\ntopic a\nwhen listener=lan user=a\ntopic a\n") == "");
  CHECK(findings("listener lna\ntopic deny a\nwhen listener=lna user=a\ntopic deny a\n") ==
        "warning: \"acl_file\" has rules about listener \"lna\", and there is none of that name "
        "(did you mean \"lan\"?)\n");
  CHECK_THAT(findings("when listener=internet address=local\ntopic deny #\n"),
             Contains("about listener \"internet\"") && Contains("(there are: lan)"));
}
