#include "core/util/chunk_queue.hpp"

#include <algorithm>
#include <deque>
#include <memory>
#include <random>

#include <catch2/catch.hpp>

namespace mqttstack {
namespace {

/// Owns memory, so that one that is never destroyed, or twice, is found.
struct Item {
  explicit Item(int number) : value{std::make_unique<int>(number)} {}
  Item(const Item&) = delete;
  Item& operator=(const Item&) = delete;
  std::unique_ptr<int> value;
};

std::deque<int> contentOf(ChunkQueue<Item>& queue) {
  std::deque<int> content;
  for (Item& item : queue) content.push_back(*item.value);
  return content;
}

TEST_CASE("a queue in chunks does what a deque does", "[chunk_queue]") {
  ChunkQueue<Item> queue;
  std::deque<int> model;
  std::mt19937 random{1};
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 100 < 55) {
      CHECK(*queue.emplaceBack(step).value == step);
      model.push_back(step);
    } else {
      const std::size_t count = std::min<std::size_t>(random() % 60, model.size());
      queue.dropFront(count);
      model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(count));
    }
    REQUIRE(queue.size() == model.size());
    if (!model.empty()) REQUIRE(*queue.front().value == model.front());
    if (step % 50 == 0) REQUIRE(contentOf(queue) == model);
  }
}

TEST_CASE("an empty queue in chunks holds no memory", "[chunk_queue]") {
  ChunkQueue<Item> queue;
  CHECK(queue.capacity() == 0);
  for (int i = 0; i < 100; ++i) queue.emplaceBack(i);
  CHECK(queue.capacity() >= 100);
  queue.dropFront(99);
  CHECK(queue.capacity() < 100);
  queue.dropFront();
  CHECK(queue.capacity() == 0);
  CHECK(contentOf(queue).empty());
  queue.emplaceBack(7);
  CHECK(contentOf(queue) == std::deque<int>{7});
  queue.clear();
  CHECK(queue.capacity() == 0);
}

TEST_CASE("elements of a queue in chunks stay where they are", "[chunk_queue]") {
  ChunkQueue<Item> queue;
  const Item& last = (queue.emplaceBack(0), queue.emplaceBack(1));
  for (int i = 0; i < 1'000; ++i) queue.emplaceBack(i);
  queue.dropFront();
  CHECK(&queue.front() == &last);
}

}  // namespace
}  // namespace mqttstack
