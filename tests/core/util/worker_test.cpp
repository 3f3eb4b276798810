#include "core/util/worker.hpp"

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/manual_loop.hpp"

using namespace mqttstack;
using test::ManualLoop;

namespace {

/// Holds up the worker's thread until it is opened.
class Gate {
public:
  void open() {
    const std::lock_guard lock{mutex_};
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock{mutex_};
    reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void awaitReached() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return reached_; });
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  bool reached_ = false;
};

struct Record {
  std::vector<std::string> run;  // by the worker's thread; read when it is at rest
  std::vector<std::string> finished;
  std::vector<std::string> refused;
  std::vector<std::string> destroyed;
  std::thread::id worker;
  std::thread::id loop;
};

class TestJob final : public Job {
public:
  TestJob(Record& record, std::string name, Gate* gate = nullptr)
      : record_{record},
        name_{std::move(name)},
        gate_{gate} {}
  ~TestJob() override { record_.destroyed.push_back(name_); }
  void run() noexcept override {
    if (gate_) gate_->pass();
    record_.run.push_back(name_);
    record_.worker = std::this_thread::get_id();
  }
  void finish() override {
    record_.finished.push_back(name_);
    record_.loop = std::this_thread::get_id();
  }
  void refuse() override { record_.refused.push_back(name_); }

private:
  Record& record_;
  std::string name_;
  Gate* gate_;
};

using Names = std::vector<std::string>;

/// A worker that is busy with a job "busy" until the gate opens.
struct BusyWorker {
  explicit BusyWorker(std::size_t capacity) : worker{loop, capacity} {
    worker.start();
    submit("busy", "busy", &gate);
    gate.awaitReached();
  }
  ~BusyWorker() { gate.open(); }
  void submit(std::string_view lane, std::string name, Gate* at = nullptr) {
    worker.submit(lane, std::make_unique<TestJob>(record, std::move(name), at));
  }
  void finish(std::size_t jobs) {
    gate.open();
    while (record.finished.size() < jobs) loop.await();
  }

  Record record;
  Gate gate;
  ManualLoop loop;
  Worker worker;
};

}  // namespace

TEST_CASE("a job is run by the worker's thread and finished by the loop's", "[worker]") {
  Record record;
  ManualLoop loop;
  Worker worker{loop, 4};
  worker.start();
  worker.submit("a", std::make_unique<TestJob>(record, "one"));
  loop.await();
  CHECK(record.finished == Names{"one"});
  CHECK(record.destroyed == Names{"one"});
  CHECK(record.loop == std::this_thread::get_id());
  CHECK(record.worker != std::this_thread::get_id());
}

TEST_CASE("jobs of one lane keep their order and lanes are served in turn", "[worker]") {
  BusyWorker busy{8};
  for (const auto* name : {"a1", "a2", "a3"}) busy.submit("a", name);
  busy.submit("b", "b1");
  busy.finish(5);
  CHECK(busy.record.finished == Names{"busy", "a1", "b1", "a2", "a3"});
}

TEST_CASE("a full worker refuses the youngest job of the longest lane", "[worker]") {
  BusyWorker busy{3};
  for (const auto* name : {"a1", "a2", "a3"}) busy.submit("a", name);
  CHECK(busy.record.refused.empty());

  SECTION("a newcomer of that lane itself") {
    busy.submit("a", "a4");
    CHECK(busy.record.refused == Names{"a4"});
    CHECK(busy.record.destroyed == Names{"a4"});
  }
  SECTION("another lane's job takes the place") {
    busy.submit("b", "b1");
    CHECK(busy.record.refused == Names{"a3"});
    busy.finish(4);
    CHECK(busy.record.finished == Names{"busy", "a1", "b1", "a2"});
  }
  SECTION("among lanes of equal length it is the newcomer") {
    busy.submit("b", "b1");
    busy.submit("c", "c1");
    busy.submit("d", "d1");
    CHECK(busy.record.refused == Names{"a3", "a2", "d1"});
  }
}

TEST_CASE("a worker that is not running refuses", "[worker]") {
  Record record;
  ManualLoop loop;
  Worker worker{loop, 4};
  worker.submit("a", std::make_unique<TestJob>(record, "one"));
  CHECK(record.refused == Names{"one"});
}

TEST_CASE("stopping waits for the running job and destroys the rest unfinished", "[worker]") {
  BusyWorker busy{4};
  busy.submit("a", "a1");
  std::thread opener{[&] { busy.gate.open(); }};
  busy.worker.stop();
  opener.join();
  busy.loop.poll();
  CHECK(busy.record.destroyed.size() == 2);
  CHECK(busy.record.finished.empty());

  busy.worker.start();  // and it can be started again
  busy.submit("a", "a2");
  busy.finish(1);
  CHECK(busy.record.finished == Names{"a2"});
}

TEST_CASE("a worker with several threads runs as many jobs at the same time", "[worker]") {
  Record first;
  Record second;
  Gate firstGate;
  Gate secondGate;
  ManualLoop loop;
  Worker worker{loop, 4, 2};
  worker.start();
  worker.submit("a", std::make_unique<TestJob>(first, "one", &firstGate));
  worker.submit("a", std::make_unique<TestJob>(second, "two", &secondGate));
  firstGate.awaitReached();
  secondGate.awaitReached();
  secondGate.open();
  while (second.finished.empty()) loop.await();
  CHECK(first.finished.empty());
  firstGate.open();
  while (first.finished.empty()) loop.await();
  CHECK(first.worker != second.worker);
}
