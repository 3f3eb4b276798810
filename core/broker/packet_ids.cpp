#include "core/broker/packet_ids.hpp"

#include <algorithm>
#include <bit>

namespace mqttstack::broker {

namespace {

constexpr std::uint64_t bitOf(std::uint16_t id) { return std::uint64_t{1} << (id % 64U); }
constexpr std::uint16_t numberOf(std::uint16_t id) { return static_cast<std::uint16_t>(id / 64U); }

}  // namespace

std::size_t IdSet::find(std::uint16_t number) const noexcept {
  // Mostly there is one word, or the last is meant.
  if (!words_.empty() && words_.back().number <= number)
    return words_.back().number == number ? words_.size() - 1 : words_.size();
  const auto place =
      std::lower_bound(words_.begin(), words_.end(), number,
                       [](const Word& word, std::uint16_t wanted) { return word.number < wanted; });
  return static_cast<std::size_t>(place - words_.begin());
}

bool IdSet::insert(std::uint16_t id) {
  const std::size_t i = find(numberOf(id));
  if (i == words_.size() || words_[i].number != numberOf(id))
    words_.insert(words_.begin() + static_cast<std::ptrdiff_t>(i), Word{numberOf(id), 0});
  if ((words_[i].bits & bitOf(id)) != 0) return false;
  words_[i].bits |= bitOf(id);
  ++size_;
  return true;
}

bool IdSet::erase(std::uint16_t id) noexcept {
  const std::size_t i = find(numberOf(id));
  if (i == words_.size() || words_[i].number != numberOf(id) || (words_[i].bits & bitOf(id)) == 0)
    return false;
  words_[i].bits &= ~bitOf(id);
  --size_;
  if (words_[i].bits == 0) {
    words_.erase(words_.begin() + static_cast<std::ptrdiff_t>(i));
    constexpr std::size_t kKeptWords = 8;
    if (words_.capacity() > kKeptWords && words_.size() < words_.capacity() / 4)
      words_.shrink_to_fit();
  }
  return true;
}

bool IdSet::contains(std::uint16_t id) const noexcept {
  const std::size_t i = find(numberOf(id));
  return i < words_.size() && words_[i].number == numberOf(id) && (words_[i].bits & bitOf(id)) != 0;
}

void IdSet::clear() noexcept {
  words_ = {};
  size_ = 0;
}

std::uint16_t IdSet::firstAbsent(std::uint16_t from) const noexcept {
  constexpr std::uint32_t kEnd = 65'536;
  const auto absentFrom = [this](std::uint32_t id, std::uint32_t end) {
    for (std::size_t i = find(numberOf(static_cast<std::uint16_t>(id))); id < end; ++i) {
      if (i == words_.size() || words_[i].number != id / 64U) return id;
      const std::uint64_t absent = ~words_[i].bits >> (id % 64U);
      if (absent != 0) return id + static_cast<std::uint32_t>(std::countr_zero(absent));
      id = (id / 64U + 1) * 64U;
    }
    return end;
  };
  const std::uint32_t start = std::max<std::uint32_t>(from, 1);
  std::uint32_t id = absentFrom(start, kEnd);
  if (id >= kEnd) {
    id = absentFrom(1, start);
    if (id >= start) return 0;
  }
  return static_cast<std::uint16_t>(id);
}

std::uint16_t PacketIds::allocate() {
  const std::uint16_t id = used_.firstAbsent(next_);
  if (id == 0) return 0;
  used_.insert(id);
  next_ = id == 65'535 ? std::uint16_t{1} : static_cast<std::uint16_t>(id + 1);
  return id;
}

bool PacketIds::reserve(std::uint16_t id) {
  if (id == 0 || !used_.insert(id)) return false;
  next_ = id == 65'535 ? std::uint16_t{1} : static_cast<std::uint16_t>(id + 1);
  return true;
}

}  // namespace mqttstack::broker
