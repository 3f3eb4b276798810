#include "middlewares/security/password_table.hpp"

#include <crypt.h>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

using namespace mqttstack;

namespace {

std::string hashed(const std::string& password, const char* setting) {
  crypt_data data{};
  return crypt_r(password.c_str(), setting, &data);
}

constexpr const char* kCheap = "$6$rounds=1000$salt$";

using Problems = std::vector<std::pair<std::size_t, std::string>>;

PasswordTable parse(std::string_view text, Problems* problems = nullptr) {
  Problems found;
  auto table = PasswordTable::parse(text, [&](std::size_t line, std::string problem, std::string) {
    found.emplace_back(line, std::move(problem));
  });
  if (problems)
    *problems = found;
  else
    CHECK(found.empty());
  return table;
}

Problems problemsOf(std::string_view text) {
  Problems problems;
  parse(text, &problems);
  return problems;
}

}  // namespace

TEST_CASE("a password table has the users of its file", "[password_table]") {
  const std::string one = hashed("one", kCheap);
  const std::string two = hashed("two", "$5$rounds=1000$salt$");
  const auto table = parse("# our users\n\nalice:" + one + "\r\nzo\xc3\xab the second:" + two);
  CHECK(table.size() == 2);
  REQUIRE(table.find("alice"));
  CHECK(*table.find("alice") == one);
  REQUIRE(table.find("zo\xc3\xab the second"));
  CHECK(*table.find("zo\xc3\xab the second") == two);
  CHECK_FALSE(table.find("Alice"));
  CHECK_FALSE(table.find(""));
}

TEST_CASE("every bad line of a password file is reported", "[password_table]") {
  const std::string good = hashed("x", kCheap);
  const std::string text = "alice:" + good +
                           "\n"
                           "bob\n"                 // 2
                           "carol:\n"              // 3
                           "dave:abJnggxhB/yWI\n"  // 4: DES
                           ":" +
                           good +
                           "\n"                                     // 5
                           "erin:$1$salt$qJH7.N4xYta3aEG/dfqo/0\n"  // 6: MD5
                           "alice:" +
                           good +
                           "\n"  // 7
                           "frank:" +
                           good.substr(0, good.size() - 1) +
                           "\n"                               // 8: cut short
                           "gail:$7$101$c2FsdA==$aGFzaA==\n"  // 9: mosquitto
                           "heidi:secret\n"                   // 10
                           "i\xff:" +
                           good +
                           "\n"  // 11
                           "judy: " +
                           good + "\n";  // 12
  const Problems problems = problemsOf(text);
  REQUIRE(problems.size() == 11);
  for (std::size_t i = 0; i < problems.size(); ++i) CHECK(problems[i].first == i + 2);
  CHECK(problems[0].second == "there is no \":\" between user name and hash");
  CHECK(problems[5].second == "user \"alice\" has a line already");
}

TEST_CASE("no report shows a hash or a password", "[password_table]") {
  for (const auto& [line, problem] : problemsOf("alice:topsecret\nbob:$9$topsecret\ntopsecret\n"))
    CHECK(problem.find("topsecret") == std::string::npos);
}

TEST_CASE("there is a hash for somebody who is not in the table", "[password_table]") {
  const auto empty = parse("");
  CHECK(empty.size() == 0);
  CHECK_FALSE(verifyPassword("", empty.anyHash(0)));
  const auto table = parse("alice:" + hashed("x", kCheap));
  CHECK(table.anyHash(12345) == *table.find("alice"));
}

TEST_CASE("whose hash stands for an unknown name goes by the order of the file",
          "[password_table]") {
  const std::string hash = hashed("x", kCheap);
  std::string text;
  for (int i = 0; i < 100; ++i) text += "user" + std::to_string(i) + ":" + hash + "\n";
  auto parsed = parse(text);
  const PasswordTable table = std::move(parsed);
  for (std::size_t i = 0; i < 100; ++i) {
    const std::string& found = table.anyHash(i);
    CHECK(&found == table.find("user" + std::to_string(i)));
    CHECK(&table.anyHash(i + 300) == &found);
  }
}

TEST_CASE("a table has SCRAM keys for everybody if it has any", "[password_table]") {
  CHECK_FALSE(parse("alice:" + hashed("x", kCheap)).knowsScram());
  const auto keys = ScramKeys::derive("x", "some salt", 4096);
  const auto table = parse("bob:" + keys.text() + "\nalice:" + hashed("x", kCheap));
  CHECK(table.knowsScram());
  CHECK(table.scramKeysOf("bob").storedKey == keys.storedKey);
  for (const char* other : {"alice", "mallory", ""}) {
    CHECK(table.scramKeysOf(other).salt == table.scramKeysOf(other).salt);
    CHECK(table.scramKeysOf(other).storedKey != keys.storedKey);
    CHECK(table.scramKeysOf(other).iterations == 4096);
  }
}
