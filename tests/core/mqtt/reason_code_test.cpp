#include "core/mqtt/reason_code.hpp"

#include <string>

#include <catch2/catch.hpp>

#include "core/mqtt/packet_rules.hpp"
#include "tests/support/packet_parts.hpp"

using namespace mqttstack;
using namespace mqttstack::mqtt;

TEST_CASE("a reason code is an error code and comes back out of it", "[reason_code]") {
  const std::error_code error = ReasonCode::packetTooLarge;
  CHECK(error);
  CHECK(error == ReasonCode::packetTooLarge);
  CHECK(error.message() == "Packet too large");
  CHECK(std::string{error.category().name()} == "mqtt");
  CHECK(reasonOf(error) == ReasonCode::packetTooLarge);
  CHECK(reasonOf(make_error_code(ReasonCode::disconnectWithWill)) ==
        ReasonCode::disconnectWithWill);
  CHECK(!make_error_code(ReasonCode::success));
}

TEST_CASE("an error of another kind is unspecified, and none is success", "[reason_code]") {
  CHECK(reasonOf({}) == ReasonCode::success);
  CHECK(reasonOf(std::make_error_code(std::errc::no_space_on_device)) ==
        ReasonCode::unspecifiedError);
}

TEST_CASE("failures begin at 0x80", "[reason_code]") {
  CHECK(!isFailure(ReasonCode::success));
  CHECK(!isFailure(ReasonCode::reAuthenticate));
  CHECK(isFailure(ReasonCode::unspecifiedError));
  CHECK(isFailure(ReasonCode::wildcardSubscriptionsNotSupported));
}

TEST_CASE("every code that the standard knows has a name, and no other", "[reason_code]") {
  std::string known;
  for (const test::LegalCodes& legal : test::legalCodes()) known += legal.codes;
  for (unsigned code = 0; code < 0x100; ++code) {
    INFO(code);
    const bool named = toString(static_cast<ReasonCode>(code)) != "Unknown reason";
    CHECK(named == (known.find(static_cast<char>(code)) != std::string::npos));
  }
}

TEST_CASE("CONNACK return codes 1 to 5 stand for the reasons that fit [v311:3.2.2-6]",
          "[reason_code]") {
  const std::pair<unsigned, unsigned> expected[] = {{0x84, 1}, {0x85, 2}, {0x88, 3}, {0x89, 3},
                                                    {0x97, 3}, {0x9C, 3}, {0x9D, 3}, {0x9F, 3},
                                                    {0x86, 4}, {0x87, 5}, {0x8A, 5}, {0x8C, 5}};
  for (unsigned code = 0; code < 0x100; ++code) {
    unsigned returnCode = 0;
    for (const auto& [reason, mapped] : expected) {
      if (reason == code) returnCode = mapped;
    }
    INFO(code);
    CHECK(toConnackReturnCode(static_cast<ReasonCode>(code)) == returnCode);
  }
}

TEST_CASE("a code is legal in the packets and directions of its table [v5:3.14.2-1]",
          "[reason_code]") {
  for (const test::LegalCodes& legal : test::legalCodes()) {
    for (unsigned code = 0; code < 0x100; ++code) {
      const bool expected = legal.codes.find(static_cast<char>(code)) != std::string::npos;
      CHECK(isLegalReason(legal.type, static_cast<ReasonCode>(code), legal.sender) == expected);
    }
  }
  CHECK(!isLegalReason(PacketType::connack, ReasonCode::success, Sender::client));
  CHECK(!isLegalReason(PacketType::publish, ReasonCode::success, Sender::client));
}

TEST_CASE("refusals that a developer may puzzle over are explained, success is not",
          "[reason_code]") {
  CHECK(explain(ReasonCode::sessionTakenOver) == "another connection uses this client identifier");
  CHECK(explain(ReasonCode::packetTooLarge).find("maximum packet size") != std::string_view::npos);
  CHECK(explain(ReasonCode::success).empty());
  CHECK(explain(ReasonCode::badUserNameOrPassword).empty());  // no hints for who guesses
}
