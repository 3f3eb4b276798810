#include "core/net/reactor.hpp"

#include <sys/eventfd.h>

#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <catch2/catch.hpp>

#include "core/net/asio_scheduler.hpp"
#include "tests/core/net/net_fixture.hpp"

using namespace mqttstack;
using namespace mqttstack::net;
using namespace mqttstack::net::test;
using namespace std::chrono_literals;

namespace {

struct Item final : Flushable {
  void flush() override {
    ++flushed;
    if (action) action();
  }
  int flushed = 0;
  std::function<void()> action;
};

struct Target final : EventTarget {
  void onEvents(std::uint32_t) override {
    ++events;
    if (action) action();
  }
  void onSoon() override {
    ++soon;
    if (action) action();
  }
  int events = 0;
  int soon = 0;
  std::function<void()> action;
};

void spin(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

}  // namespace

TEST_CASE("what is scheduled outside of a turn is flushed once, soon", "[reactor]") {
  Net net;
  Item item;
  net.reactor.scheduleFlush(item);
  net.reactor.scheduleFlush(item);
  CHECK(item.flushed == 0);
  net.settle();
  CHECK(item.flushed == 1);
  net.settle();
  CHECK(item.flushed == 1);
}

TEST_CASE("what many connections schedule in a turn is flushed once, at its end", "[reactor]") {
  Net net;
  net.listen();
  Item item;
  int seenBeforeFlush = 0;
  int handled = 0;
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 20; ++i) {
    auto [peer, session] = net.connect();
    session->whenData = [&](Session&) {
      ++handled;
      net.reactor.scheduleFlush(item);
    };
    peers.push_back(std::move(peer));
  }
  item.action = [&] { seenBeforeFlush = handled; };
  for (auto& peer : peers) REQUIRE(peer->send("x"));
  net.settle();
  CHECK(handled == 20);
  CHECK(seenBeforeFlush == 20);
  CHECK(item.flushed == 1);
}

TEST_CASE("when much has been read, it is written before others are read", "[reactor]") {
  Net net;
  net.listen();
  Item item;
  std::vector<std::size_t> seenByFlush;
  std::size_t read = 0;
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 10; ++i) {
    auto [peer, session] = net.connect();
    session->whenData = [&](Session&) {
      read += 100 * 1024;
      net.reactor.countRead(100 * 1024);
      net.reactor.scheduleFlush(item);
    };
    peers.push_back(std::move(peer));
  }
  item.action = [&] { seenByFlush.push_back(read / 1024); };
  for (auto& peer : peers) REQUIRE(peer->send("x"));
  net.settle();
  CHECK(seenByFlush == std::vector<std::size_t>{300, 600, 900, 1000});
}

TEST_CASE("an item leaves the list when destroyed, also by another's flush", "[reactor]") {
  Net net;
  auto doomed = std::make_unique<Item>();
  Item killer;
  killer.action = [&] { doomed.reset(); };
  net.reactor.scheduleFlush(killer);
  net.reactor.scheduleFlush(*doomed);
  {
    Item gone;
    net.reactor.scheduleFlush(gone);
  }
  net.settle();
  CHECK(killer.flushed == 1);
  CHECK_FALSE(doomed);
}

TEST_CASE("an item that schedules itself again waits for the next pass", "[reactor]") {
  Net net;
  Item item;
  item.action = [&] {
    if (item.flushed < 5) net.reactor.scheduleFlush(item);
  };
  net.reactor.scheduleFlush(item);
  net.settle();
  CHECK(item.flushed == 5);
}

TEST_CASE("a flush list that runs out of time keeps its order", "[flush_list]") {
  FlushList list;
  std::vector<int> order;
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < 40; ++i) {
    items.push_back(std::make_unique<Item>());
    items.back()->action = [&order, &list, &items, i] {
      order.push_back(i);
      if (i == 3 && items[3]->flushed == 1) list.add(*items[3]);
    };
    list.add(*items.back());
  }
  for (const std::size_t done : {16U, 32U}) {
    list.beginTurn(FlushList::SteadyTime{});
    CHECK_FALSE(list.run());
    list.endTurn();
    CHECK(order.size() == done);
  }
  CHECK(list.run());
  REQUIRE(order.size() == 41);
  for (int i = 0; i < 40; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
  CHECK(order[40] == 3);
}

TEST_CASE("the item that finds the turn late is the last of it", "[flush_list]") {
  FlushList list;
  Item first;
  Item second;
  first.action = [&] { static_cast<void>(list.late()); };
  CHECK_FALSE(list.late());  // outside of a turn
  list.beginTurn(FlushList::SteadyTime{});
  list.add(first);
  list.add(second);
  CHECK_FALSE(list.knownLate());
  CHECK_FALSE(list.run());
  CHECK(list.knownLate());
  CHECK(second.flushed == 0);
  list.endTurn();
  CHECK(list.run());
  CHECK(second.flushed == 1);
}

TEST_CASE("a busy reactor lets other work of the loop in between", "[reactor]") {
  Net net;
  std::vector<std::unique_ptr<Target>> targets;
  std::vector<Descriptor> descriptors;
  std::vector<Reactor::Token> tokens;
  int told = 0;
  int toldBeforePost = -1;
  for (int i = 0; i < 100; ++i) {
    descriptors.emplace_back(::eventfd(1, EFD_NONBLOCK));
    targets.push_back(std::make_unique<Target>());
    tokens.push_back(net.reactor.add(*targets.back()));
    targets.back()->action = [&] {
      if (told++ == 0) asio::post(net.io, [&] { toldBeforePost = told; });
      spin(1ms);
    };
    REQUIRE_FALSE(net.reactor.watch(tokens.back(), descriptors.back().get(), EPOLLIN));
  }
  REQUIRE(net.until([&] { return told >= 300; }));
  CHECK(toldBeforePost >= 5);
  CHECK(toldBeforePost <= 24);
  // Nobody starves, though no turn reaches the end of its batch.
  for (auto& target : targets) CHECK(target->events >= 1);
  for (const auto token : tokens) net.reactor.remove(token);
}

TEST_CASE("a target that is removed hears nothing more, its successor only its own", "[reactor]") {
  Net net;
  Target first;
  Target second;
  const auto token = net.reactor.add(first);
  net.reactor.callSoon(token);
  net.reactor.remove(token);
  CHECK_FALSE(net.reactor.knows(token));
  const auto successor = net.reactor.add(second);
  CHECK(successor != token);
  net.settle();
  CHECK(first.soon == 0);
  CHECK(second.soon == 0);
  net.reactor.remove(token);  // again: no harm to the successor
  CHECK(net.reactor.knows(successor));
  net.reactor.callSoon(successor);
  net.settle();
  CHECK(second.soon == 1);
}

TEST_CASE("whoever asks to be called soon again is called in the next turn", "[reactor]") {
  Net net;
  Target target;
  const auto token = net.reactor.add(target);
  target.action = [&] {
    if (target.soon < 10) net.reactor.callSoon(token);
  };
  net.reactor.callSoon(token);
  net.settle();
  CHECK(target.soon == 10);
}

TEST_CASE("costly steps are rationed per turn", "[reactor]") {
  Net net;
  Target target;
  const auto token = net.reactor.add(target);
  std::vector<int> granted;
  target.action = [&] {
    int now = 0;
    while (net.reactor.takeCostlyStep()) ++now;
    granted.push_back(now);
    if (granted.size() < 3) net.reactor.callSoon(token);
  };
  net.reactor.callSoon(token);
  net.settle();
  CHECK(granted == std::vector<int>{4, 4, 4});
}

TEST_CASE("a reactor may go while work of it is queued", "[reactor]") {
  asio::io_context io;
  auto reactor = std::make_unique<Reactor>(io);
  Item item;
  Target target;
  reactor->scheduleFlush(item);
  reactor->callSoon(reactor->add(target));
  reactor.reset();
  io.poll();
  CHECK(item.flushed == 0);
  CHECK(target.soon == 0);
}

TEST_CASE("the loop's scheduler fires in time and lets the loop sleep", "[asio_scheduler]") {
  asio::io_context io;
  AsioScheduler scheduler{io};
  struct Witness {
    AsioScheduler& scheduler;
    TimePoint at{};
    void look() { at = scheduler.now(); }
  } late{scheduler}, early{scheduler}, never{scheduler};
  Timer lateTimer = Timer::calling<&Witness::look>(late);
  Timer earlyTimer = Timer::calling<&Witness::look>(early);
  Timer neverTimer = Timer::calling<&Witness::look>(never);
  const TimePoint start = scheduler.now();
  scheduler.start(lateTimer, 60ms);
  scheduler.start(earlyTimer, 20ms);
  scheduler.start(neverTimer, 30ms);
  neverTimer.cancel();
  io.run();  // ends by itself: nothing is left to wait for
  CHECK(early.at >= start + 20ms);
  CHECK(late.at >= start + 60ms);
  CHECK(late.at > early.at);
  CHECK(never.at == TimePoint{});
}

TEST_CASE("a timer of a hundred thousand years is no overflow", "[asio_scheduler]") {
  asio::io_context io;
  AsioScheduler scheduler{io};
  struct Witness {
    void look() {}
  } witness;
  Timer timer = Timer::calling<&Witness::look>(witness);
  scheduler.start(timer, Duration::max());
  io.poll();
  CHECK(timer.running());
}
