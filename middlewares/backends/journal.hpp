#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/broker/session.hpp"
#include "core/stack/acknowledgement.hpp"
#include "core/stack/flow.hpp"
#include "core/util/clock.hpp"
#include "middlewares/backends/store.hpp"

namespace mqttstack {

class LoopExecutor;

/// The next packet of a delivery, which waits until the delivery is stored.
struct DeliveryWaiter {
  broker::SessionPtr session;
  std::uint64_t number;
  std::uint16_t packetId;
};
/// Whoever waits for all that was done to a session.
struct SessionWaiter {
  Deferred later;
  std::uint64_t session;
};
/// The session of this client is no more: nothing else must be said of it before.
struct ForgottenWaiter {
  std::string clientId;
};
/// Something that is promised to a client as soon as what came before is stored.
using Waiter =
    std::variant<Acknowledgement, Deferred, DeliveryWaiter, SessionWaiter, ForgottenWaiter>;

/// Operations that are committed together, and who waits for that. Filled by the
/// loop's thread, then in the hands of the journal's thread, then back.
struct Batch {
  struct Waiting {
    std::uint32_t unit;
    Waiter waiter;
  };
  std::vector<Operation> operations;
  std::vector<StoreUnit> units;
  std::vector<Waiting> waiting;
  std::uint64_t firstNumber = 0;         ///< of the deliveries that are put, in turn
  std::vector<std::uint32_t> positions;  ///< where their operations are
  std::size_t live = 0;                  ///< operations that are left to be done
  std::size_t bytes = 0;                 ///< memory that all of it takes
  CommitResult result;

  bool empty() const noexcept { return units.empty(); }
  void clear();
};

/// Who commits batches for a journal: a thread (see journal_thread.hpp), or a test.
class Committer {
public:
  /// Who is told. Both come from the loop, never inside a call to the committer.
  class Client {
  public:
    virtual void committed(std::unique_ptr<Batch> batch) = 0;
    virtual void reminded() = 0;

  protected:
    ~Client() = default;
  };

  virtual ~Committer() = default;
  virtual void start(Client& client) = 0;
  /// Commits a batch; committed() follows. One at a time.
  virtual void commit(std::unique_ptr<Batch> batch) = 0;
  /// Has reminded() called at that time.
  virtual void remindAt(TimePoint when) = 0;
  /// Ends: no call follows. Returns the batch under way, committed, or null.
  virtual std::unique_ptr<Batch> stop() = 0;
  /// Commits a batch before it returns. REQUIRES: stop() was called.
  virtual void commitNow(Batch& batch) = 0;
};

/// What a durable backend does with the outcome.
class JournalOwner {
public:
  /// What this one waited for is stored (or not: then it was undone).
  virtual void settle(Waiter waiter, bool stored) = 0;
  /// There was no room for this operation: whatever it stands for is to be undone.
  virtual void undo(Operation& operation) = 0;
  /// The journal has room again for what publishers bring.
  virtual void roomAgain() = 0;
  /// There was no room for everything. Called once per batch.
  virtual void refused(const std::string& message) = 0;
  /// Nothing can be stored any more.
  virtual void broken(const std::string& message) = 0;

protected:
  ~JournalOwner() = default;
};

/// How often is committed.
struct JournalPace {
  /// How long an operation waits at most for others to be committed with it.
  Duration interval = std::chrono::milliseconds{5};
  /// So many are committed without waiting for more.
  std::size_t operations = 4096;
  /// From so many bytes on, publishers have to wait.
  std::size_t maxBytes = 8 * 1024 * 1024;
};

/// Collects what is to be stored and hands it over in batches, in order; lets go
/// of who waits for it when it is stored. What is put and dropped again before it
/// was handed over is not stored at all.
///
/// A batch is handed over at the end of a turn of the loop, unless one is being
/// committed or the last commit was only just: then it goes on growing, for the
/// interval at most.
///
/// Operations belong to units, of which all or nothing is stored. What has to be
/// stored sooner or later (all but what a client brings and can be refused) is
/// tried again until it is.
class Journal final : private Committer::Client {
public:
  Journal(JournalOwner& owner, const Clock& clock, LoopExecutor& loop,
          std::unique_ptr<Committer> committer, const JournalPace& pace);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  ~Journal();

  /// Commits what there is, and ends. What is added later is lost, and who waits
  /// for it is refused.
  void stop();

  /// What is added between these two is one unit, calls inside included.
  void begin();
  void end();
  /// Whether anything was added since begin(). REQUIRES: between the two.
  bool added() const noexcept { return open_->operations.size() != unitBegin_ || missed_; }

  /// `bytes`: memory that the operation keeps in use.
  void add(Operation operation, std::size_t bytes = 0);
  /// Adds a delivery, and returns the number that it gets.
  std::uint64_t put(PutDelivery delivery);
  void move(const MoveDelivery& move);
  void drop(std::uint64_t number);
  /// The same for what nobody waits for and may be very much: a few go with each
  /// batch, so that others are not held up. What is left of it when the process
  /// ends is still in the store when that is opened again.
  void dropLater(std::uint64_t number);

  /// Lets `waiter` wait for the unit that is being added, or for all that was added.
  void wait(Waiter waiter);

  /// Publishers should wait: until roomAgain().
  bool full() const noexcept { return full_; }
  /// What waits to be stored.
  std::size_t bytes() const noexcept { return open_->bytes + busyBytes_ + retry_->bytes; }
  std::size_t commits() const noexcept { return commits_; }
  std::size_t storedOperations() const noexcept { return storedOperations_; }

  /// Deliveries that are put get higher numbers.
  void continueBehind(std::uint64_t number) noexcept { lastNumber_ = number; }

private:
  enum class State : std::uint8_t { running, broken, stopped };

  void committed(std::unique_ptr<Batch> batch) override;
  void reminded() override;

  Operation* openPut(std::uint64_t number) noexcept;
  void plan();
  void takeLeftovers();
  void handOver();
  void remindAt(TimePoint when);
  void send(std::unique_ptr<Batch>& batch);
  void finish(Batch& batch);
  void finishRefused(Batch& batch);
  void undoFailed(Batch& batch);
  void breakDown(Batch& batch);
  void refuseAll(Batch& batch);
  void recycle(std::unique_ptr<Batch> batch);
  void checkRoom();
  TimePoint due() const;

  JournalOwner& owner_;
  const Clock& clock_;
  LoopExecutor& loop_;
  std::unique_ptr<Committer> committer_;
  JournalPace pace_;

  std::unique_ptr<Batch> open_;   // grows
  std::unique_ptr<Batch> retry_;  // comes before it: there was no room
  std::unique_ptr<Batch> spare_;
  std::vector<std::uint64_t> leftovers_;  // deliveries that are dropped when there is time
  std::size_t busyBytes_ = 0;
  bool busy_ = false;      // a batch is being committed
  bool planned_ = false;   // handOver() is posted
  bool reminded_ = false;  // reminded() will come
  bool loose_ = false;     // the last unit is of operations that nobody waits for
  bool full_ = false;
  bool missed_ = false;  // something was to be added since begin(), and is lost
  State state_ = State::running;
  int depth_ = 0;  // begin() without end()
  std::size_t unitBegin_ = 0;
  std::uint64_t lastNumber_ = 0;
  TimePoint handedOver_{};
  TimePoint committedAt_{};
  TimePoint retryAt_{};
  std::size_t commits_ = 0;
  std::size_t storedOperations_ = 0;
  std::shared_ptr<Journal*> self_;  // null for what is posted and comes too late
};

}  // namespace mqttstack
