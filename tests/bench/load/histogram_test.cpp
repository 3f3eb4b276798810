#include "tests/bench/load/histogram.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

namespace mqttstack::load {
namespace {

TEST_CASE("percentiles of an empty histogram are 0", "[histogram]") {
  const Histogram histogram;
  CHECK(histogram.count() == 0);
  CHECK(histogram.percentile(0.5) == 0);
  CHECK(histogram.longest() == 0);
}

TEST_CASE("short durations are kept exactly", "[histogram]") {
  Histogram histogram;
  for (std::uint64_t value = 1; value <= 100; ++value) histogram.add(value);
  CHECK(histogram.count() == 100);
  CHECK(histogram.percentile(0) == 1);
  CHECK(histogram.percentile(0.5) == 50);
  CHECK(histogram.percentile(0.99) == 99);
  CHECK(histogram.percentile(0.991) == 100);
  CHECK(histogram.percentile(1) == 100);
}

TEST_CASE("a percentile is the smallest duration that so many don't exceed", "[histogram]") {
  Histogram histogram;
  for (int i = 0; i < 999; ++i) histogram.add(10);
  histogram.add(100);
  CHECK(histogram.percentile(0.999) == 10);
  CHECK(histogram.percentile(0.9991) == 100);
}

TEST_CASE("percentiles are within 1 % of those of the sorted durations", "[histogram]") {
  std::mt19937_64 random{7};
  std::lognormal_distribution<double> distribution{10, 3};  // nanoseconds to seconds
  Histogram histogram;
  std::vector<std::uint64_t> all;
  for (int i = 0; i < 100'000; ++i) {
    all.push_back(static_cast<std::uint64_t>(distribution(random)));
    histogram.add(all.back());
  }
  std::sort(all.begin(), all.end());
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999, 0.9999}) {
    const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(all.size())));
    const auto truth = static_cast<double>(all[rank - 1]);
    CAPTURE(share, truth);
    CHECK(histogram.percentile(share) == Approx(truth).epsilon(0.01).margin(1));
  }
  CHECK(histogram.longest() == all.back());
  CHECK(histogram.percentile(1) == static_cast<double>(all.back()));
}

TEST_CASE("the longest durations that there are have a place", "[histogram]") {
  Histogram histogram;
  histogram.add(UINT64_MAX);
  histogram.add(UINT64_MAX / 2);
  CHECK(histogram.count() == 2);
  CHECK(histogram.percentile(0.5) == Approx(static_cast<double>(UINT64_MAX / 2)).epsilon(0.01));
  CHECK(histogram.longest() == UINT64_MAX);
}

}  // namespace
}  // namespace mqttstack::load
