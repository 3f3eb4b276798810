#include "tests/bench/load/sequence_checker.hpp"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

namespace mqttstack::load {
namespace {

using Arrival = SequenceChecker::Arrival;

TEST_CASE("numbers in their order are in order, and nothing is missing", "[sequence]") {
  SequenceChecker checker;
  for (std::uint32_t i = 1; i <= 3 * SequenceChecker::kReach; ++i) {
    const auto seen = checker.see(i);
    REQUIRE(seen.arrival == Arrival::inOrder);
    REQUIRE(seen.skipped == 0);
  }
  CHECK(checker.missing() == 0);
}

TEST_CASE("a gap is missing until it is filled, which is late", "[sequence]") {
  SequenceChecker checker;
  checker.see(1);
  const auto jump = checker.see(4);
  CHECK(jump.arrival == Arrival::inOrder);
  CHECK(jump.skipped == 2);
  CHECK(checker.missing() == 2);
  CHECK(checker.see(3).arrival == Arrival::late);
  CHECK(checker.see(2).arrival == Arrival::late);
  CHECK(checker.missing() == 0);
}

TEST_CASE("what has been seen comes again, whether it came in order or late", "[sequence]") {
  SequenceChecker checker;
  checker.see(1);
  checker.see(3);
  CHECK(checker.see(3).arrival == Arrival::again);
  CHECK(checker.see(1).arrival == Arrival::again);
  checker.see(2);
  CHECK(checker.see(2).arrival == Arrival::again);
  CHECK(checker.missing() == 0);
}

TEST_CASE("a beginning that is left out is missing", "[sequence]") {
  SequenceChecker checker;
  CHECK(checker.see(3).skipped == 2);
  CHECK(checker.missing() == 2);
}

TEST_CASE("0, which nobody sends, is not taken for one of the others", "[sequence]") {
  SequenceChecker checker;
  CHECK(checker.see(0).arrival == Arrival::again);
  checker.see(1);
  CHECK(checker.see(0).arrival == Arrival::again);
}

TEST_CASE("a gap wider than the reach forgets what was seen before", "[sequence]") {
  SequenceChecker checker;
  checker.see(1);
  const std::uint32_t far = 2 * SequenceChecker::kReach;
  CHECK(checker.see(far).skipped == far - 2);
  CHECK(checker.see(far - 1).arrival == Arrival::late);
  CHECK(checker.see(far - 1).arrival == Arrival::again);
  CHECK(checker.missing() == far - 3);
}

TEST_CASE("beyond the reach, what comes is late if anything is missing, and else comes again",
          "[sequence]") {
  SequenceChecker checker;
  for (std::uint32_t i = 1; i <= 1'000; ++i)
    if (i != 10) checker.see(i);
  CHECK(checker.see(10).arrival == Arrival::late);
  CHECK(checker.see(10).arrival == Arrival::again);
}

TEST_CASE("losses, repetitions and overtaking within the reach are counted exactly", "[sequence]") {
  const auto seed = GENERATE(1U, 2U, 3U, 4U);
  std::mt19937 random{seed};
  constexpr std::uint32_t kAll = 20'000;
  std::vector<std::uint32_t> numbers(kAll);
  std::iota(numbers.begin(), numbers.end(), 1U);
  for (std::size_t i = 0; i + 100 < numbers.size(); i += 100)
    std::shuffle(numbers.begin() + static_cast<std::ptrdiff_t>(i),
                 numbers.begin() + static_cast<std::ptrdiff_t>(i) + 100, random);

  SequenceChecker checker;
  std::vector<bool> seen(kAll + 1);
  std::uint32_t newest = 0, lost = 0;
  for (const std::uint32_t number : numbers) {
    if (random() % 50 == 0) {
      ++lost;
      continue;
    }
    const std::uint32_t times = random() % 20 == 0 ? 2 : 1;
    for (std::uint32_t time = 0; time < times; ++time) {
      const Arrival expected = seen[number]      ? Arrival::again
                               : number > newest ? Arrival::inOrder
                                                 : Arrival::late;
      REQUIRE(checker.see(number).arrival == expected);
      seen[number] = true;
      newest = std::max(newest, number);
    }
  }
  CHECK(checker.missing() == lost - (kAll - newest));
}

}  // namespace
}  // namespace mqttstack::load
