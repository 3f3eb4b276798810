#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mqttstack::broker {

/// A set of 16-bit identifiers. Keeps one word for every 64 neighbours of which
/// some are in it, so the few sequential identifiers of a typical session take
/// one or two words, and all 65 535 take 16 KiB.
class IdSet {
public:
  /// False if it was in the set already.
  bool insert(std::uint16_t id);
  /// False if it was not in the set.
  bool erase(std::uint16_t id) noexcept;
  bool contains(std::uint16_t id) const noexcept;
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  void clear() noexcept;

  /// The first identifier not in the set, from `from` upwards, then from 1 to
  /// `from`; 0 if all of 1 to 65 535 are in it.
  std::uint16_t firstAbsent(std::uint16_t from) const noexcept;

  /// Calls `visit(std::uint16_t)` for each in ascending order.
  template <class Visitor>
  void forEach(Visitor&& visit) const {
    for (const Word& word : words_)
      for (unsigned bit = 0; bit < 64; ++bit)
        if ((word.bits >> bit & 1U) != 0)
          visit(static_cast<std::uint16_t>(word.number * 64U + bit));
  }

private:
  struct Word {
    std::uint16_t number;
    std::uint64_t bits;
  };
  std::size_t find(std::uint16_t number) const noexcept;

  std::vector<Word> words_;  // ascending by number, none empty
  std::uint32_t size_ = 0;
};

/// Gives out the packet identifiers of one direction of one session: 1 to
/// 65 535 in turn, never one in use. [v311:2.3.1-2] [v5:2.2.1-3]
class PacketIds {
public:
  /// The next free identifier, now in use; 0 if all are.
  std::uint16_t allocate();
  /// Takes a particular one (a session being restored). False if in use.
  bool reserve(std::uint16_t id);
  /// Gives it back; false if it was not in use.
  bool release(std::uint16_t id) noexcept { return used_.erase(id); }

  bool inUse(std::uint16_t id) const noexcept { return used_.contains(id); }
  std::size_t size() const noexcept { return used_.size(); }
  bool full() const noexcept { return used_.size() == 65'535; }

private:
  IdSet used_;
  std::uint16_t next_ = 1;
};

}  // namespace mqttstack::broker
