#include "core/broker/match_cache.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>

namespace mqttstack::broker {

namespace {

std::string_view firstLevel(std::string_view text) { return text.substr(0, text.find('/')); }

}  // namespace

MatchCache::MatchCache(std::size_t maxEntries) : maxEntries_{maxEntries} {
  assert((maxEntries & (maxEntries - 1)) == 0);
}

MatchCache::~MatchCache() { clear(); }

void MatchCache::clear() noexcept {
  for (Place& place : places_) drop(place);
  places_ = {};
  displaced_ = 0;
}

void MatchCache::outdate(std::string_view filter, const TextHash& hash) noexcept {
  const std::string_view level = firstLevel(filter);
  if (level == "+" || level == "#")
    ++globalEpoch_;
  else
    ++levelEpochs_[hash(level) % levelEpochs_.size()];
}

// Both epochs only ever grow, so the sum tells whether one of them did.
std::uint64_t MatchCache::stampFor(std::string_view topic, const TextHash& hash) const noexcept {
  return globalEpoch_ + levelEpochs_[hash(firstLevel(topic)) % levelEpochs_.size()];
}

bool MatchCache::find(std::string_view topic, std::uint64_t topicHash, const TextHash& hash,
                      std::vector<TopicFilter*>& matched) noexcept {
  if (places_.empty()) return false;
  const Place& place = placeOf(topicHash);
  if (place.block == nullptr || place.hash != topicHash || place.stamp != stampFor(topic, hash) ||
      place.block->topic() != topic)
    return false;
  const std::span<TopicFilter* const> filters = place.block->filters();
  matched.insert(matched.end(), filters.begin(), filters.end());
  return true;
}

void MatchCache::offer(std::string_view topic, std::uint64_t topicHash, const TextHash& hash,
                       std::span<TopicFilter* const> matched) {
  if (maxEntries_ == 0 || topic.size() > kMaxTopicBytes || matched.size() > kMaxMatches) return;
  if (places_.empty() || (displaced_ > places_.size() / 2 && places_.size() < maxEntries_)) grow();
  Place& place = placeOf(topicHash);
  const bool known = place.block != nullptr && place.hash == topicHash;
  if (!known && place.candidate != topicHash) {
    place.candidate = topicHash;
    return;
  }
  // Mostly the filter that outdated it was about other topics.
  if (known && place.block->topic() == topic &&
      std::equal(matched.begin(), matched.end(), place.block->filters().begin(),
                 place.block->filters().end())) {
    place.stamp = stampFor(topic, hash);
    return;
  }
  if (place.block != nullptr && !known) ++displaced_;
  drop(place);
  place.block = Block::create(topic, matched);
  place.hash = topicHash;
  place.stamp = stampFor(topic, hash);
  place.candidate = 0;
  ++used_;
}

void MatchCache::drop(Place& place) noexcept {
  if (place.block == nullptr) return;
  ::operator delete(place.block);
  place.block = nullptr;
  --used_;
}

void MatchCache::grow() {
  constexpr std::size_t kFirstPlaces = 1024;
  std::vector<Place> old(places_.empty() ? std::min(kFirstPlaces, maxEntries_)
                                         : places_.size() * 2);
  old.swap(places_);
  displaced_ = 0;
  for (const Place& place : old)
    if (place.block != nullptr) placeOf(place.hash) = place;
}

MatchCache::Block* MatchCache::Block::create(std::string_view topic,
                                             std::span<TopicFilter* const> matched) {
  auto* const block = new (::operator new(sizeof(Block) + matched.size_bytes() + topic.size()))
      Block{static_cast<std::uint32_t>(matched.size()), static_cast<std::uint32_t>(topic.size())};
  char* const tail = reinterpret_cast<char*>(block + 1);
  if (!matched.empty()) std::memcpy(tail, matched.data(), matched.size_bytes());
  std::memcpy(tail + matched.size_bytes(), topic.data(), topic.size());
  return block;
}

}  // namespace mqttstack::broker
