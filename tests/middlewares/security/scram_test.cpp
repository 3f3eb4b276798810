#include "middlewares/security/scram.hpp"

#include <array>
#include <string>

#include <catch2/catch.hpp>

#include "middlewares/security/base64.hpp"
#include "tests/support/scram_client.hpp"

using namespace mqttstack;
using test::ScramClient;

namespace {

// The example of RFC 7677, section 3.
constexpr const char* kSalt = "W22ZaJ0SNY7soEsUEjb6gQ==";
constexpr const char* kServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr const char* kClientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr const char* kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr const char* kWithoutProof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr const char* kProof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr const char* kServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

ScramKeys keysOfExample() { return ScramKeys::derive("pencil", *decodeBase64(kSalt), 4096); }

std::string clientFinal(const std::string& proof = kProof) {
  return std::string{kWithoutProof} + ",p=" + proof;
}

}  // namespace

TEST_CASE("the example of RFC 7677 comes out", "[scram]") {
  ScramServer scram;
  CHECK(scram.begin(kClientFirst) == "user");
  CHECK(scram.challenge(keysOfExample(), kServerNonce) == kServerFirst);
  CHECK(scram.finish(clientFinal()) == kServerFinal);
}

TEST_CASE("keys survive being written down", "[scram]") {
  const ScramKeys keys = keysOfExample();
  const std::string text = keys.text();
  CHECK(text.starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"));
  const auto read = ScramKeys::parse(text);
  REQUIRE(read);
  CHECK(read->iterations == 4096);
  CHECK(read->salt == keys.salt);
  CHECK(read->storedKey == keys.storedKey);
  CHECK(read->serverKey == keys.serverKey);
}

TEST_CASE("keys that are damaged are none", "[scram]") {
  const std::string good = keysOfExample().text();
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_FALSE(ScramKeys::parse(good.substr(0, size)));
  CHECK_FALSE(ScramKeys::parse(good + "="));
  CHECK_FALSE(ScramKeys::parse("SCRAM-SHA-1" + good.substr(13)));
  const auto withIterations = [&](const char* count) {
    return "SCRAM-SHA-256$" + std::string{count} + good.substr(good.find(':'));
  };
  CHECK(ScramKeys::parse(withIterations("4096")));
  for (const char* count :
       {"", "0", "4095", "-4096", "+4096", " 4096", "4096 ", "10000001", "99999999999", "4096x"})
    CHECK_FALSE(ScramKeys::parse(withIterations(count)));
}

TEST_CASE("a name may have commas and equals signs in it", "[scram]") {
  ScramServer scram;
  CHECK(scram.begin("n,,n=a=2Cb=3Dc,r=x") == "a,b=c");
  CHECK(scram.begin("n,a=a=2Cb,n=a=2Cb,r=x") == "a,b");
  CHECK(scram.begin("y,,n=z\xc3\xab,r=x,t=extension") == "z\xc3\xab");
}

TEST_CASE("a first message that RFC 5802 does not allow fails", "[scram]") {
  for (const char* wrong : {"",
                            "n",
                            "n,",
                            "n,,",
                            "n,,n=user",
                            "n,,n=user,",
                            "n,,n=user,r=",
                            "n,,r=x,n=user",
                            "n,,n=,r=x",
                            "n,,m=ext,n=user,r=x",
                            "p=tls-unique,,n=user,r=x",
                            "x,,n=user,r=x",
                            ",,n=user,r=x",
                            "n,a=other,n=user,r=x",
                            "n,a=,n=user,r=x",
                            "n,b,n=user,r=x",
                            "n,,n=us=er,r=x",
                            "n,,n=us=2c,r=x",
                            "n,,n=user=,r=x",
                            "n,,n=us\xff,r=x",
                            "n,,n=user,r=a b",
                            "n,,n=user,r=\x01"}) {
    CAPTURE(wrong);
    ScramServer scram;
    CHECK_FALSE(scram.begin(wrong));
  }
}

TEST_CASE("a last message that proves nothing fails", "[scram]") {
  ScramServer scram;
  REQUIRE(scram.begin(kClientFirst));
  const std::string proof = GENERATE(as<std::string>{}, "", "AAAA", "x");
  scram.challenge(keysOfExample(), kServerNonce);
  CHECK_FALSE(scram.finish(clientFinal(proof)));
  CHECK_FALSE(scram.finish(""));
  CHECK_FALSE(scram.finish(kWithoutProof));
  CHECK_FALSE(scram.finish(std::string{"p="} + kProof));
  CHECK_FALSE(scram.finish(clientFinal() + "="));
  CHECK_FALSE(scram.finish(clientFinal() + ",x=y"));
  // Somebody else's nonce, or a shorter one, or another binding than was agreed.
  std::string other = clientFinal();
  other[other.find("r=") + 3] ^= 1;
  CHECK_FALSE(scram.finish(other));
  CHECK_FALSE(scram.finish("c=biws,r=rOprNGfwEbeRWgbNEkqO,p=" + std::string{kProof}));
  CHECK_FALSE(scram.finish("c=eSws" + clientFinal().substr(6)));
  // Each byte of the proof counts.
  for (std::size_t at = 0; at < 32; ++at) {
    std::string bytes = *decodeBase64(kProof);
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    CHECK_FALSE(scram.finish(clientFinal(encodeBase64(bytes))));
  }
}

TEST_CASE("keys that are made up look real, stay the same, and nobody knows them", "[scram]") {
  const ScramKeys real = keysOfExample();
  const ScramKeys mallory = real.madeUpFor("mallory");
  CHECK(mallory.iterations == real.iterations);
  CHECK(mallory.salt.size() == real.salt.size());
  CHECK(mallory.salt != real.salt);
  CHECK(mallory.salt == real.madeUpFor("mallory").salt);
  CHECK(mallory.salt != real.madeUpFor("eve").salt);
  // They tell nothing of whose keys they stand beside, who could compute them else.
  CHECK(mallory.salt == ScramKeys::derive("other", real.salt, 4096).madeUpFor("mallory").salt);

  ScramServer server;
  ScramClient client{"mallory", "pencil"};
  REQUIRE(server.begin(client.first()) == "mallory");
  CHECK_FALSE(server.finish(client.last(server.challenge(mallory, "nonce"))));
}

TEST_CASE("a client that knows the password convinces the server, and is convinced", "[scram]") {
  const std::string user = GENERATE(as<std::string>{}, "alice", "a,b=c", "z\xc3\xab");
  ScramServer server;
  ScramClient client{user, "wonderland"};
  REQUIRE(server.begin(client.first()) == user);
  const auto keys = ScramKeys::derive("wonderland", "some salt", 4096);
  const auto last = server.finish(client.last(server.challenge(keys, "nonce")));
  REQUIRE(last);
  CHECK(client.believes(*last));
}
