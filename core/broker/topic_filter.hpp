#pragma once

#include <cstdint>
#include <string_view>

#include "core/broker/compact_vector.hpp"
#include "core/mqtt/packet.hpp"

namespace mqttstack::broker {

class Session;
struct TopicFilter;

/// One subscriber in the list of a filter or of a shared group.
class Subscriber {
public:
  Subscriber() = default;
  Subscriber(Session& session, std::uint32_t identifier, const mqtt::SubscriptionOptions& options,
             std::uint32_t slot) noexcept
      : session_{&session} {
    setDetails(identifier, options);
    setSlot(slot);
  }

  /// A session can have this many subscriptions.
  static constexpr std::uint32_t kMaxSlots = 1U << 26U;

  Session& session() const noexcept { return *session_; }
  std::uint32_t identifier() const noexcept { return identifier_; }
  mqtt::SubscriptionOptions options() const noexcept {
    return {static_cast<mqtt::Qos>(packed_ & 3U), (packed_ & 4U) != 0, (packed_ & 8U) != 0,
            static_cast<mqtt::RetainHandling>(packed_ >> 4U & 3U)};
  }
  void setDetails(std::uint32_t identifier, const mqtt::SubscriptionOptions& options) noexcept {
    identifier_ = identifier;
    packed_ = (packed_ & ~0x3fU) | static_cast<std::uint32_t>(options.qos) |
              (options.noLocal ? 4U : 0U) | (options.retainAsPublished ? 8U : 0U) |
              static_cast<std::uint32_t>(options.retainHandling) << 4U;
  }
  /// The position in the session's list that points back here.
  std::uint32_t slot() const noexcept { return packed_ >> 6U; }
  void setSlot(std::uint32_t slot) noexcept { packed_ = (packed_ & 0x3fU) | slot << 6U; }

private:
  Session* session_ = nullptr;
  std::uint32_t identifier_ = 0;
  std::uint32_t packed_ = 0;  // slot, retain handling, retain as published, no local, QoS
};

/// The subscribers of a filter, or of one shared group.
struct SubscriberList : CompactVector<Subscriber> {
  explicit SubscriberList(bool isGroup) noexcept : group{isGroup} {}
  bool group;  ///< this is the base of a SharedGroup rather than of a TopicFilter
};

/// One place of a session in a subscriber list.
struct SubscriptionSlot {
  SubscriberList* list;
  std::uint32_t position;
};

/// All subscriptions of one session: a member of Session that only TopicIndex
/// touches.
using SubscriptionSlots = CompactVector<SubscriptionSlot>;

/// The members of `$share/{name}/{filter}`; the name stands behind the object.
///
/// In front stand those that may be connected. One whose turn comes and that is
/// not goes behind them, and comes back when it connects: so finding the next
/// takes a few steps however many members are away.
struct SharedGroup : SubscriberList {
  static SharedGroup* create(TopicFilter& filter, std::string_view name, std::uint64_t hash);
  static void destroy(SharedGroup* group) noexcept;
  std::string_view name() const noexcept {
    return {reinterpret_cast<const char*>(this + 1), nameSize};
  }

  TopicFilter* filter;
  std::uint64_t hash;               ///< of filter and name
  SharedGroup* next = nullptr;      ///< the next group of the same filter
  SharedGroup* previous = nullptr;  ///< the one before
  std::uint32_t turn = 0;           ///< the position whose turn it is
  std::uint32_t awake = 0;          ///< members from here on are not connected
  std::uint16_t nameSize;

private:
  SharedGroup(TopicFilter& owner, std::uint64_t keyHash, std::uint16_t size) noexcept
      : SubscriberList{true},
        filter{&owner},
        hash{keyHash},
        nameSize{size} {}
};

/// One distinct filter and who is subscribed to it; the text stands behind the
/// object. Made and destroyed by TopicIndex.
struct TopicFilter : SubscriberList {
  static constexpr std::uint32_t kNoNode = 0xffffffffU;

  static TopicFilter* create(std::string_view text, std::uint64_t hash);
  static void destroy(TopicFilter* filter) noexcept;
  std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(this + 1), textSize};
  }

  SharedGroup* groups = nullptr;
  std::uint64_t hash;
  std::uint32_t node = kNoNode;  ///< where it hangs in the trie, if it has wildcards
  std::uint16_t textSize;

private:
  TopicFilter(std::uint64_t textHash, std::uint16_t size) noexcept
      : SubscriberList{false},
        hash{textHash},
        textSize{size} {}
};

}  // namespace mqttstack::broker
