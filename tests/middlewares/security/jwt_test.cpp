#include "middlewares/security/jwt.hpp"

#include <chrono>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/middlewares/security/jwt_issuer.hpp"

using namespace mqttstack;
using namespace std::chrono_literals;
using test::KeyIssuer;
using test::SecretIssuer;

namespace {

const std::string kSecret = "a secret that has 32 bytes or so";
const auto kNow = std::chrono::system_clock::time_point{1'700'000'000s};
const std::string kHs256 = R"({"alg":"HS256","typ":"JWT"})";

const KeyIssuer& rsaIssuer() {
  static const KeyIssuer issuer = KeyIssuer::rsa();
  return issuer;
}
const KeyIssuer& curveIssuer() {
  static const KeyIssuer issuer = KeyIssuer::curve();
  return issuer;
}

std::vector<JwtKey> secretKeys() { return {*JwtKey::fromSecret(kSecret)}; }

/// What is wrong with a token that is signed well; empty if nothing is.
std::string problemOf(const std::string& claims, const JwtRules& rules = {},
                      const std::string& header = kHs256) {
  const auto result =
      verifyJwt(SecretIssuer{kSecret}.token(header, claims), secretKeys(), rules, kNow);
  return result ? std::string{} : result.error();
}

const std::string kGood = R"({"sub":"alice","exp":1700000001})";

}  // namespace

TEST_CASE("a token is verified by the key that signed it", "[jwt]") {
  struct Case {
    const char* algorithm;
    std::string token;
    JwtKey key;
  };
  const auto token = [](const test::JwtIssuer& issuer, const char* algorithm) {
    return issuer.token(std::string{R"({"alg":")"} + algorithm + "\"}", kGood);
  };
  const std::vector<Case> cases = {
      {"HS256", token(SecretIssuer{kSecret}, "HS256"), *JwtKey::fromSecret(kSecret)},
      {"RS256", token(rsaIssuer(), "RS256"), *JwtKey::fromPem(rsaIssuer().publicPem())},
      {"ES256", token(curveIssuer(), "ES256"), *JwtKey::fromPem(curveIssuer().publicPem())}};
  for (const Case& each : cases) {
    CAPTURE(each.algorithm);
    const auto claims = verifyJwt(each.token, {each.key}, {}, kNow);
    REQUIRE(claims);
    CHECK(claims->user == "alice");
    CHECK(claims->expiry == kNow + 1s);
    CHECK_FALSE(claims->grants);
    CHECK(looksLikeJwt(each.token));

    // Not by others, not when a byte has changed, not under another algorithm's name.
    for (const Case& other : cases)
      if (&other != &each) CHECK_FALSE(verifyJwt(each.token, {other.key}, {}, kNow));
    for (std::size_t at = 0; at < each.token.size(); at += 7) {
      std::string changed = each.token;
      changed[at] = changed[at] == 'A' ? 'B' : 'A';
      CHECK_FALSE(verifyJwt(changed, {each.key}, {}, kNow));
    }
    CHECK_FALSE(verifyJwt(each.token, {}, {}, kNow));
  }
}

TEST_CASE("a public key is not taken for a secret, nor no signature for one", "[jwt]") {
  const std::string pem = rsaIssuer().publicPem();
  const std::vector<JwtKey> keys{*JwtKey::fromPem(pem)};
  CHECK_FALSE(verifyJwt(SecretIssuer{pem}.token(kHs256, kGood), keys, {}, kNow));
  for (const char* none : {R"({"alg":"none"})", R"({"alg":"None"})", R"({"alg":""})", "{}",
                           R"({"alg":5})", R"({"alg":"HS512"})"}) {
    const std::string unsigned_ = test::base64Url(none) + "." + test::base64Url(kGood) + ".";
    CHECK_FALSE(verifyJwt(unsigned_, secretKeys(), {}, kNow));
  }
}

TEST_CASE("text that is no token is not verified", "[jwt]") {
  for (const char* wrong : {"", ".", "..", "...", "a.b", "a.b.c", "password", "e30.e30.e30",
                            "eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9.e30.\xff"}) {
    CAPTURE(wrong);
    CHECK_FALSE(verifyJwt(wrong, secretKeys(), {}, kNow));
  }
  CHECK_FALSE(looksLikeJwt("password"));
  CHECK_FALSE(looksLikeJwt("a.b.c"));
  CHECK_FALSE(looksLikeJwt("e30.e30.e30"));  // {}
  CHECK(looksLikeJwt(SecretIssuer{kSecret}.token(kHs256, "{}")));
  CHECK_FALSE(problemOf(std::string(50'000, '[')).empty());
  CHECK_FALSE(problemOf("{\"sub\":" + std::string(50'000, '[')).empty());
}

TEST_CASE("a token counts from when to when it says", "[jwt]") {
  JwtRules rules;
  CHECK(problemOf(R"({"sub":"a","exp":1700000001})", rules).empty());
  CHECK(problemOf(R"({"sub":"a","exp":1700000000.5})", rules).empty());
  CHECK(problemOf(R"({"sub":"a","exp":1700000000})", rules) == "it has expired");
  CHECK(problemOf(R"({"sub":"a","exp":0})", rules) == "it has expired");
  CHECK(problemOf(R"({"sub":"a","exp":1e300})", rules).empty());
  CHECK(problemOf(R"({"sub":"a","exp":-1})", rules) == "its expiry is no date");
  CHECK(problemOf(R"({"sub":"a","exp":"1700000001"})", rules) == "its expiry is no date");
  CHECK(problemOf(R"({"sub":"a"})", rules) == "it never expires");
  CHECK(problemOf(R"({"sub":"a","exp":1800000000,"nbf":1700000000})", rules).empty());
  CHECK(problemOf(R"({"sub":"a","exp":1800000000,"nbf":1700000001})", rules) ==
        "it is not valid yet");
  CHECK(problemOf(R"({"sub":"a","exp":1800000000,"nbf":[]})", rules) == "its beginning is no date");
  rules.leeway = 10s;
  CHECK(problemOf(R"({"sub":"a","exp":1699999991})", rules).empty());
  CHECK(problemOf(R"({"sub":"a","exp":1699999990})", rules) == "it has expired");
  CHECK(problemOf(R"({"sub":"a","exp":1800000000,"nbf":1700000010})", rules).empty());
  rules.needsExpiry = false;
  CHECK(problemOf(R"({"sub":"a"})", rules).empty());
}

TEST_CASE("a token is from the issuer and for the audience that are asked for", "[jwt]") {
  JwtRules rules;
  rules.issuer = "https://issuer";
  rules.audience = "broker";
  const auto with = [](const std::string& more) {
    return R"({"sub":"a","exp":1800000000)" + more + "}";
  };
  CHECK(problemOf(with(R"(,"iss":"https://issuer","aud":"broker")"), rules).empty());
  CHECK(problemOf(with(R"(,"iss":"https://issuer","aud":["x","broker"])"), rules).empty());
  for (const char* wrong :
       {"", R"(,"aud":"broker")", R"(,"iss":"https://issuer")",
        R"(,"iss":"https://issuer/","aud":"broker")", R"(,"iss":["https://issuer"],"aud":"broker")",
        R"(,"iss":"https://issuer","aud":["x"])", R"(,"iss":"https://issuer","aud":{"broker":1})",
        R"(,"iss":"https://issuer","aud":["broker",1])"})
    CHECK_FALSE(problemOf(with(wrong), rules).empty());
}

TEST_CASE("a token names the user, the groups and the rights", "[jwt]") {
  JwtRules rules;
  rules.userClaim = "name";
  const auto claims = verifyJwt(
      SecretIssuer{kSecret}.token(kHs256, R"({"name":"alice","exp":1800000000,"groups":["a","b"],
                      "acl":{"publish":"out/#","subscribe":["in/+","$SYS/#"]}})"),
      secretKeys(), rules, kNow);
  REQUIRE(claims);
  CHECK(claims->user == "alice");
  CHECK(claims->groups == std::vector<std::string>{"a", "b"});
  REQUIRE(claims->grants);
  REQUIRE(claims->grants->size() == 3);
  CHECK((*claims->grants)[0].filter == "out/#");
  CHECK((*claims->grants)[0].publish);
  CHECK_FALSE((*claims->grants)[0].subscribe);
  CHECK((*claims->grants)[2].filter == "$SYS/#");
  CHECK((*claims->grants)[2].subscribe);
}

TEST_CASE("a token that says something wrong is no good", "[jwt]") {
  const auto with = [](const std::string& more) { return R"({"exp":1800000000,)" + more + "}"; };
  for (const char* wrong :
       {R"("subject":"a")", R"("sub":"")", R"("sub":5)", R"("sub":"a","groups":5)",
        R"("sub":"a","groups":[1])", R"("sub":"a","acl":[])", R"("sub":"a","acl":{"publish":1})",
        R"("sub":"a","acl":{"publish":["a#"]})", R"("sub":"a","acl":{"subscribe":["$share/g/a"]})",
        R"("sub":"a","acl":{"subscribe":[""]})"}) {
    CAPTURE(wrong);
    CHECK_FALSE(problemOf(with(wrong)).empty());
  }
  CHECK_FALSE(problemOf("[]").empty());
  CHECK_FALSE(problemOf("").empty());
  CHECK(problemOf(kGood, {}, R"({"alg":"HS256","crit":["x"],"x":1})") ==
        "it has critical extensions");
}

TEST_CASE("only keys that are strong enough count", "[jwt]") {
  CHECK_FALSE(JwtKey::fromSecret("thirty-one bytes, and not more."));
  CHECK_FALSE(JwtKey::fromPem(KeyIssuer::rsa(1024).publicPem()));
  CHECK_FALSE(JwtKey::fromPem(KeyIssuer::curve("P-384").publicPem()));
  CHECK_FALSE(JwtKey::fromPem(""));
  CHECK_FALSE(JwtKey::fromPem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"));
}

TEST_CASE("a key set has keys by their names", "[jwt]") {
  const std::string json = R"({"keys":[)" + rsaIssuer().jwk(R"(,"kid":"one","use":"sig")") + "," +
                           curveIssuer().jwk(R"(,"kid":"two","alg":"ES256")") + "," +
                           rsaIssuer().jwk(R"(,"use":"enc")") + "," +
                           rsaIssuer().jwk(R"(,"alg":"PS256")") + R"(,{"kty":"OKP"},{}]})";
  const auto keys = JwtKey::fromJwks(json);
  REQUIRE(keys);
  REQUIRE(keys->size() == 2);
  CHECK((*keys)[0].id() == "one");
  CHECK((*keys)[1].algorithm() == JwtAlgorithm::es256);
  const auto good = [&](const test::JwtIssuer& issuer, const std::string& header) {
    return verifyJwt(issuer.token(header, kGood), *keys, {}, kNow).has_value();
  };
  CHECK(good(rsaIssuer(), R"({"alg":"RS256","kid":"one"})"));
  CHECK(good(rsaIssuer(), R"({"alg":"RS256"})"));
  CHECK(good(curveIssuer(), R"({"alg":"ES256","kid":"two"})"));
  CHECK_FALSE(good(rsaIssuer(), R"({"alg":"RS256","kid":"two"})"));
  CHECK_FALSE(good(rsaIssuer(), R"({"alg":"RS256","kid":"three"})"));
}

TEST_CASE("what is no key set is reported", "[jwt]") {
  for (const char* wrong :
       {"", "[]", "{}", R"({"keys":{}})", R"({"keys":[]})", R"({"keys":[5]})",
        R"({"keys":[{"kty":"RSA","n":"AA","e":"AQAB"}]})", R"({"keys":[{"kty":"RSA","n":5}]})",
        R"({"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]})",
        R"({"keys":[{"kty":"EC","crv":256,"x":"AA","y":"AA"}]})",
        R"({"keys":[{"kty":"EC","crv":null,"x":"AA","y":"AA"}]})",
        R"({"keys":[{"kty":["EC"],"use":1,"kid":{},"alg":2}]})",
        R"({"keys":[{"kty":"oct","k":"c2hvcnQ"}]})"}) {
    CAPTURE(wrong);
    CHECK_FALSE(JwtKey::fromJwks(wrong));
  }
}
