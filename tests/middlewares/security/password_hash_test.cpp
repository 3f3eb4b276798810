#include "middlewares/security/password_hash.hpp"

#include <crypt.h>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>

using namespace mqttstack;

namespace {

std::string crypted(const std::string& password, const char* setting) {
  crypt_data data{};
  return crypt_r(password.c_str(), setting, &data);
}

// What mosquitto_passwd 2.0.11 wrote for "secret", and libargon2 as newer ones do.
constexpr const char* kMosquittoSha512 =
    "$6$m12HI1Y4RJ0kxOoI$ZP3hftSvInxz6qfIgEKF27q7DZBU6SzUcrA1rLPP"
    "tqDIHXBvs8/fo9pnTDwrlDrDHFXSawHpNTZGvkZN4b8t9w==";
constexpr const char* kMosquittoPbkdf2 =
    "$7$101$dybuEGIkffmiY8eM$6yiTO/7/vUZZv21oGqv+7TVGx659V6BQKUkD"
    "L5a0FSMeIc/V0GM4UzLADQB+PYusFwWTS2xQqWVg10ZRHjeRmA==";
constexpr const char* kMosquittoPbkdf2Slow =
    "$7$5000$kIfKmGz9JdN1f20z$3aZ8MpcJc3NTDGwKDhZoMM5icZ6ickmsgD/"
    "Iwx1lc+lgnmFyo2Q3u1IOVOfDJX5hv2cSZi54acHj+5T4G38dDg==";
constexpr const char* kArgon2 =
    "$argon2id$v=19$m=256,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$noNiBlbm"
    "U6iPzRYq2zYtUrsdN9ARPK3rjByMmBRPYZY";

/// All that is not "secret", and almost.
void checkThatNothingElseVerifies(const std::string& hash) {
  for (const std::string& wrong :
       {std::string{}, std::string{"Secret"}, std::string{"secret "}, std::string{"secre"},
        std::string{"secret\0", 7}, std::string{"secret\0x", 8}, std::string(600, 'x'), hash})
    CHECK_FALSE(verifyPassword(wrong, hash));
}

}  // namespace

TEST_CASE("each kind of hash that is accepted verifies its password only", "[password_hash]") {
  SECTION("of crypt(3)") {
    const auto setting = GENERATE(as<std::string>{}, "$6$rounds=1000$salt$", "$5$rounds=1000$salt$",
                                  "$2b$04$abcdefghijklmnopqrstuu", "$y$j75$salt");
    const std::string hash = crypted("secret", setting.c_str());
    CAPTURE(hash);
    CHECK_FALSE(problemOfHash(hash).any());
    CHECK(verifyPassword("secret", hash));
    checkThatNothingElseVerifies(hash);
  }
  SECTION("of our own making") {
    const auto method = GENERATE(HashMethod::yescrypt, HashMethod::scramSha256, HashMethod::bcrypt,
                                 HashMethod::sha512);
    const auto hash = makeHash("secret", method, costOf(method).least);
    REQUIRE(hash);
    CAPTURE(*hash);
    CHECK_FALSE(problemOfHash(*hash).any());
    CHECK(verifyPassword("secret", *hash));
    checkThatNothingElseVerifies(*hash);
    CHECK(makeHash("secret", method, costOf(method).least) != hash);  // salted
  }
}

TEST_CASE("the usual cost of a method is in its range, and works", "[password_hash]") {
  for (const HashMethod method :
       {HashMethod::yescrypt, HashMethod::scramSha256, HashMethod::bcrypt, HashMethod::sha512}) {
    const HashCost cost = costOf(method);
    CHECK(cost.least <= cost.usual);
    CHECK(cost.usual <= cost.most);
    const auto hash = makeHash("secret", method, cost.usual);
    REQUIRE(hash);
    CHECK(verifyPassword("secret", *hash));
  }
}

TEST_CASE("a hash of the empty password verifies it", "[password_hash]") {
  const std::string hash = crypted("", "$6$rounds=1000$salt$");
  CHECK(verifyPassword({}, hash));
  CHECK_FALSE(verifyPassword(std::string_view{"\0", 1}, hash));
}

TEST_CASE("a hash that is none verifies nothing", "[password_hash]") {
  const std::string hash =
      GENERATE(as<std::string>{}, "", "*", "*0", "!", "x", "$6$", "plain", "SCRAM-SHA-256$",
               "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$$", "mosquitto-pbkdf2$",
               "mosquitto-sha512$$", "mosquitto-pbkdf2$0$AAAA$AAAA");
  CHECK(problemOfHash(hash).any());
  CHECK_FALSE(verifyPassword("", hash));
  CHECK_FALSE(verifyPassword("*0", hash));
  CHECK_FALSE(verifyPassword("plain", hash));
}

TEST_CASE("a password that a method would cut short is not hashed", "[password_hash]") {
  CHECK_FALSE(makeHash(std::string_view{"a\0b", 3}, HashMethod::yescrypt, 1));
  CHECK_FALSE(makeHash(std::string(512, 'x'), HashMethod::yescrypt, 1));
  CHECK(makeHash(std::string(511, 'x'), HashMethod::yescrypt, 1));
  CHECK_FALSE(makeHash(std::string(73, 'x'), HashMethod::bcrypt, 5));
  CHECK(makeHash(std::string(72, 'x'), HashMethod::bcrypt, 5));
}

TEST_CASE("each kind of mosquitto's hashes is imported, and verifies its password only",
          "[password_hash]") {
  const auto [theirs, prefix] = GENERATE(table<const char*, const char*>({
      {kMosquittoSha512, "mosquitto-sha512$"},
      {kMosquittoPbkdf2, "mosquitto-pbkdf2$101$"},
      {kMosquittoPbkdf2Slow, "mosquitto-pbkdf2$5000$"},
      {kArgon2, "$argon2id$"},
  }));
  const auto ours = importMosquittoHash(theirs);
  REQUIRE(ours);
  CHECK(ours->starts_with(prefix));
  CHECK_FALSE(problemOfHash(*ours).any());
  CHECK(verifyPassword("secret", *ours));
  checkThatNothingElseVerifies(*ours);
}

TEST_CASE("mosquitto's $6$ and $7$ are not taken for those of crypt(3)", "[password_hash]") {
  // crypt(3) means 5,000 rounds by $6$, and scrypt by $7$; both in another alphabet.
  for (const char* theirs : {kMosquittoSha512, kMosquittoPbkdf2}) {
    CHECK(problemOfHash(theirs).remedy.find("--import") != std::string::npos);
    CHECK_FALSE(verifyPassword("secret", theirs));
  }
  CHECK_FALSE(importMosquittoHash(crypted("secret", "$6$rounds=1000$salt$")));
}

TEST_CASE("what is no hash of mosquitto is not imported", "[password_hash]") {
  for (const char* wrong :
       {"", "plain", "$6$", "$6$$", "$6$AAAA$AAAA", "$7$101$AAAA$AAAA", "$7$0$AAAA$AAAA",
        "$y$j75$salt$x", "$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
        "$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", "$argon2i$v=19$m=64,t=1,p=1$x$y"})
    CHECK_FALSE(importMosquittoHash(wrong));
}
