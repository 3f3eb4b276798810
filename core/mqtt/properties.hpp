#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/mqtt/protocol.hpp"
#include "core/util/expected.hpp"

namespace mqttstack::mqtt {

/// The identifiers of MQTT 5 properties. [v5:2.2.2.2]
enum class PropertyId : std::uint8_t {
  payloadFormatIndicator = 0x01,
  messageExpiryInterval = 0x02,
  contentType = 0x03,
  responseTopic = 0x08,
  correlationData = 0x09,
  subscriptionIdentifier = 0x0B,
  sessionExpiryInterval = 0x11,
  assignedClientIdentifier = 0x12,
  serverKeepAlive = 0x13,
  authenticationMethod = 0x15,
  authenticationData = 0x16,
  requestProblemInformation = 0x17,
  willDelayInterval = 0x18,
  requestResponseInformation = 0x19,
  responseInformation = 0x1A,
  serverReference = 0x1C,
  reasonString = 0x1F,
  receiveMaximum = 0x21,
  topicAliasMaximum = 0x22,
  topicAlias = 0x23,
  maximumQos = 0x24,
  retainAvailable = 0x25,
  userProperty = 0x26,
  maximumPacketSize = 0x27,
  wildcardSubscriptionAvailable = 0x28,
  subscriptionIdentifierAvailable = 0x29,
  sharedSubscriptionAvailable = 0x2A,
};

/// One decoded property. `number` holds bytes, two- and four-byte integers and
/// variable byte integers; `text` strings and binary data; a user property has
/// its name in `name` and its value in `text`.
struct Property {
  PropertyId id;
  std::uint32_t number = 0;
  std::string_view name{};
  std::string_view text{};
};

/// The properties of one packet: a view of their encoded bytes, without the
/// length in front. Decoding a packet validates them once; reading one walks
/// the few bytes there are, so a packet without properties costs nothing.
///
/// The bytes belong to whoever made the view: the read buffer for a decoded
/// packet, a PropertyWriter for one that is about to be sent.
class Properties {
public:
  constexpr Properties() = default;
  /// REQUIRES: `encoded` came out of validateProperties() or a PropertyWriter.
  constexpr explicit Properties(std::string_view encoded) : encoded_{encoded} {}

  bool empty() const noexcept { return encoded_.empty(); }
  std::string_view encoded() const noexcept { return encoded_; }

  /// The number of a numeric property that may stand only once.
  std::optional<std::uint32_t> number(PropertyId id) const noexcept {
    return empty() ? std::nullopt : findNumber(id);
  }
  /// The text or bytes of a property that may stand only once.
  std::optional<std::string_view> text(PropertyId id) const noexcept {
    return empty() ? std::nullopt : findText(id);
  }

  /// Goes through all properties in their order on the wire.
  class Iterator {
  public:
    using value_type = Property;
    using difference_type = std::ptrdiff_t;

    Iterator() = default;
    const Property& operator*() const noexcept { return current_; }
    const Property* operator->() const noexcept { return &current_; }
    Iterator& operator++() noexcept {
      advance();
      return *this;
    }
    void operator++(int) noexcept { advance(); }
    friend bool operator==(const Iterator& a, const Iterator& b) noexcept {
      return a.atEnd_ == b.atEnd_ && (a.atEnd_ || a.rest_.data() == b.rest_.data());
    }
    /// The encoded bytes of the current property, identifier included.
    std::string_view encoded() const noexcept { return encoded_; }

  private:
    friend class Properties;
    explicit Iterator(std::string_view all) noexcept : rest_{all}, atEnd_{false} { advance(); }
    void advance() noexcept;

    std::string_view rest_;
    std::string_view encoded_;
    Property current_{};
    bool atEnd_ = true;
  };
  Iterator begin() const noexcept { return empty() ? Iterator{} : Iterator{encoded_}; }
  Iterator end() const noexcept { return {}; }

private:
  std::optional<std::uint32_t> findNumber(PropertyId id) const noexcept;
  std::optional<std::string_view> findText(PropertyId id) const noexcept;

  std::string_view encoded_;
};

/// Where a property section stands: the packet's type, or the will properties
/// inside CONNECT.
enum class PropertyPlace : std::uint8_t {
  connect = 1,
  connack = 2,
  publish = 3,
  puback = 4,
  pubrec = 5,
  pubrel = 6,
  pubcomp = 7,
  subscribe = 8,
  suback = 9,
  unsubscribe = 10,
  unsuback = 11,
  disconnect = 14,
  auth = 15,
  will = 16,
};

/// Judges an encoded section (without its length): every identifier known and
/// legal in `place`, every value complete and in range, strings valid UTF-8,
/// nothing twice that may stand once. Fails with malformedPacket or
/// protocolError as the standard has it. Direction (client or server) is the
/// decoder's business.
Result<Properties> validateProperties(std::string_view encoded, PropertyPlace place) noexcept;

/// Encodes properties, in the order of the calls, into memory of its own: a
/// small inline buffer, the heap beyond that.
///
/// REQUIRES of every call: the value is legal for that property (strings no
/// longer than 65 535 bytes, numbers within the property's type).
class PropertyWriter {
public:
  PropertyWriter& add(PropertyId id, std::uint32_t number);
  PropertyWriter& add(PropertyId id, std::string_view text);
  PropertyWriter& addUserProperty(std::string_view name, std::string_view value);
  /// Appends properties that are encoded already.
  PropertyWriter& append(Properties properties);

  /// A view of what was written so far; invalid after the next call.
  Properties properties() const noexcept { return Properties{bytes_}; }
  bool empty() const noexcept { return bytes_.empty(); }

private:
  std::string bytes_;
};

/// `properties` without those of the given kinds, appended to `out`.
void copyPropertiesExcept(Properties properties, std::initializer_list<PropertyId> without,
                          std::string& out);

}  // namespace mqttstack::mqtt
