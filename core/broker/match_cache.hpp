#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/broker/text_hash.hpp"

namespace mqttstack::broker {

struct TopicFilter;

/// Remembers which wildcard filters match a topic. A part of TopicIndex.
///
/// It knows filters, never subscribers, so it stays valid while clients come and
/// go; only a distinct wildcard filter that appears or disappears outdates the
/// topics of its first level (all, if that level is a wildcard). Bounded: one
/// entry per place, short topics with few matches only, and a topic gets in at
/// its second miss in a row, so topics seen once don't push others out.
class MatchCache {
public:
  static constexpr std::size_t kMaxTopicBytes = 256;
  static constexpr std::size_t kMaxMatches = 64;
  static constexpr std::size_t kDefaultEntries = 16'384;

  /// `maxEntries` is a power of two, or 0 for no cache at all.
  explicit MatchCache(std::size_t maxEntries = kDefaultEntries);
  MatchCache(const MatchCache&) = delete;
  MatchCache& operator=(const MatchCache&) = delete;
  ~MatchCache();

  /// A distinct wildcard filter has appeared or is about to disappear.
  void outdate(std::string_view filter, const TextHash& hash) noexcept;

  /// The filters that match, if known: appends them and returns true.
  bool find(std::string_view topic, std::uint64_t topicHash, const TextHash& hash,
            std::vector<TopicFilter*>& matched) noexcept;
  /// What find() didn't know. May or may not be kept.
  void offer(std::string_view topic, std::uint64_t topicHash, const TextHash& hash,
             std::span<TopicFilter* const> matched);

  std::size_t entries() const noexcept { return used_; }
  /// Forgets everything and frees the memory.
  void clear() noexcept;

private:
  /// Behind it stand the filters, then the topic's text.
  struct Block {
    static Block* create(std::string_view topic, std::span<TopicFilter* const> matched);
    std::span<TopicFilter* const> filters() const noexcept {
      return {reinterpret_cast<TopicFilter* const*>(this + 1), matches};
    }
    std::string_view topic() const noexcept {
      return {reinterpret_cast<const char*>(this + 1) + matches * sizeof(TopicFilter*), topicSize};
    }

    std::uint32_t matches;
    std::uint32_t topicSize;
  };
  struct Place {
    std::uint64_t hash = 0;
    std::uint64_t stamp = 0;
    Block* block = nullptr;
    std::uint64_t candidate = 0;  // hash of the last topic that missed here
  };

  std::uint64_t stampFor(std::string_view topic, const TextHash& hash) const noexcept;
  Place& placeOf(std::uint64_t hash) noexcept { return places_[hash & (places_.size() - 1)]; }
  void drop(Place& place) noexcept;
  void grow();

  std::size_t maxEntries_;
  std::vector<Place> places_;
  std::size_t used_ = 0;
  std::size_t displaced_ = 0;  // live entries pushed out since the last growth
  std::array<std::uint64_t, 256> levelEpochs_{};
  std::uint64_t globalEpoch_ = 0;
};

}  // namespace mqttstack::broker
