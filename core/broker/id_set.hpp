#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace mqttstack::broker {

/// What is known about 16-bit identifiers, in bits: a Word for every 64
/// neighbours of which something is known, so the few sequential identifiers of
/// a typical session take one or two of them. What the bits mean is the user's
/// affair.
///
/// Word has a constructor from its `number` (identifier / 64), and empty().
template <class Word>
class IdWords {
public:
  static constexpr std::uint16_t numberOf(std::uint16_t id) noexcept {
    return static_cast<std::uint16_t>(id / 64U);
  }
  static constexpr std::uint64_t bitOf(std::uint16_t id) noexcept {
    return std::uint64_t{1} << (id % 64U);
  }

  /// The word that the identifier belongs to, or null.
  const Word* find(std::uint16_t id) const noexcept {
    const std::size_t i = position(numberOf(id));
    return i < words_.size() && words_[i].number == numberOf(id) ? &words_[i] : nullptr;
  }
  Word* find(std::uint16_t id) noexcept { return const_cast<Word*>(std::as_const(*this).find(id)); }
  /// The same, made if it isn't there. Valid until the next change.
  Word& get(std::uint16_t id) {
    const std::size_t i = position(numberOf(id));
    if (i == words_.size() || words_[i].number != numberOf(id))
      words_.insert(words_.begin() + static_cast<std::ptrdiff_t>(i), Word{numberOf(id)});
    return words_[i];
  }
  /// To be called when bits of a word were cleared.
  void dropIfEmpty(Word& word) noexcept {
    if (!word.empty()) return;
    words_.erase(words_.begin() + (&word - words_.data()));
    constexpr std::size_t kKeptWords = 8;
    if (words_.capacity() > kKeptWords && words_.size() < words_.capacity() / 4)
      words_.shrink_to_fit();
  }
  void clear() noexcept { words_ = {}; }

  auto begin() const noexcept { return words_.begin(); }
  auto end() const noexcept { return words_.end(); }

private:
  /// Of the word with that number, or of the one that it would stand before.
  std::size_t position(std::uint16_t number) const noexcept {
    // Identifiers are mostly used in turn: there is one word, or two.
    constexpr std::size_t kFew = 4;
    std::size_t i = 0;
    if (words_.size() > kFew) return search(number);
    while (i < words_.size() && words_[i].number < number) ++i;
    return i;
  }
  std::size_t search(std::uint16_t number) const noexcept {
    const auto place = std::lower_bound(
        words_.begin(), words_.end(), number,
        [](const Word& word, std::uint16_t wanted) { return word.number < wanted; });
    return static_cast<std::size_t>(place - words_.begin());
  }

  std::vector<Word> words_;  // ascending by number, none empty
};

/// Calls `visit(std::uint16_t)` for each identifier whose bit is set.
template <class Visitor>
void forEachId(std::uint16_t number, std::uint64_t bits, Visitor&& visit) {
  for (unsigned bit = 0; bit < 64; ++bit)
    if ((bits >> bit & 1U) != 0) visit(static_cast<std::uint16_t>(number * 64U + bit));
}

/// A set of 16-bit identifiers.
class IdSet {
public:
  /// False if it was in the set already.
  bool insert(std::uint16_t id) {
    Word& word = words_.get(id);
    if ((word.bits & Words::bitOf(id)) != 0) return false;
    word.bits |= Words::bitOf(id);
    ++size_;
    return true;
  }
  /// False if it was not in the set.
  bool erase(std::uint16_t id) noexcept {
    Word* const word = words_.find(id);
    if (!word || (word->bits & Words::bitOf(id)) == 0) return false;
    word->bits &= ~Words::bitOf(id);
    --size_;
    words_.dropIfEmpty(*word);
    return true;
  }
  bool contains(std::uint16_t id) const noexcept {
    const Word* const word = words_.find(id);
    return word && (word->bits & Words::bitOf(id)) != 0;
  }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  /// Calls `visit(std::uint16_t)` for each in ascending order.
  template <class Visitor>
  void forEach(Visitor&& visit) const {
    for (const Word& word : words_) forEachId(word.number, word.bits, visit);
  }

private:
  struct Word {
    explicit Word(std::uint16_t theNumber) noexcept : number{theNumber} {}
    bool empty() const noexcept { return bits == 0; }

    std::uint16_t number;
    std::uint64_t bits = 0;
  };
  using Words = IdWords<Word>;

  Words words_;
  std::uint32_t size_ = 0;
};

}  // namespace mqttstack::broker
