#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "middlewares/backends/durable_backend.hpp"
#include "tests/middlewares/protocol_broker.hpp"

/// A durable broker whose store is a few maps and whose disk a test works by hand.
namespace mqttstack::test {

/// What a store has kept. Outlives the brokers of a test.
struct Rows {
  std::map<std::uint64_t, PutSession> sessions{};
  std::map<std::pair<std::uint64_t, std::string>, PutSubscription> subscriptions{};
  std::map<std::uint64_t, PutDelivery> queue{};
  std::set<std::pair<std::uint64_t, unsigned>> incoming{};
  std::map<std::string, broker::MessagePtr> retained{};
  std::map<std::uint64_t, PutWill> wills{};
  StoreClock::Setting clock{};

  /// All that matters of it, as text: for comparing states.
  std::string digest() const;
};

/// A Store in memory. Each commit is asked for by `judge`, if there is one.
class RowStore final : public Store {
public:
  enum class Verdict : std::uint8_t { store, refuse, fail };

  explicit RowStore(Rows& rows) : rows_{rows} {}

  std::string open(StoreReader& reader, std::vector<std::string>& warnings) override;
  CommitResult commit(std::span<const Operation> operations, std::span<StoreUnit> units) override;

  /// What becomes of a unit, of which it is told the operations.
  std::function<Verdict(std::span<const Operation>)> judge{};
  std::size_t commits = 0;
  std::size_t operations = 0;

private:
  void apply(const Operation& operation);
  Rows& rows_;
};

/// A disk that does nothing until it is told.
class StepCommitter final : public Committer {
public:
  explicit StepCommitter(Store& store) : store_{store} {}

  void start(Client& client) override { client_ = &client; }
  void commit(std::unique_ptr<Batch> batch) override { batch_ = std::move(batch); }
  void remindAt(TimePoint) override { reminderDue_ = true; }
  std::unique_ptr<Batch> stop() override {
    if (batch_) commitNow(*batch_);
    return std::move(batch_);
  }
  void commitNow(Batch& batch) override {
    batch.result = store_.commit(batch.operations, batch.units);
  }

  bool pending() const noexcept { return batch_ != nullptr; }
  /// Commits what is there, or lets the time pass that somebody waits for.
  bool step() {
    if (batch_) {
      auto batch = std::move(batch_);
      commitNow(*batch);
      client_->committed(std::move(batch));
      return true;
    }
    if (!std::exchange(reminderDue_, false)) return false;
    client_->reminded();
    return true;
  }
  /// The process is killed: what was not committed never will be.
  void drop() { batch_.reset(); }

private:
  Store& store_;
  Client* client_ = nullptr;
  std::unique_ptr<Batch> batch_;
  bool reminderDue_ = false;
};

/// A durable backend over rows.
class RowBackend final : public DurableBackend {
public:
  static constexpr std::string_view kName = "row_backend";
  struct Options : BackendLimits {
    Rows* rows = nullptr;
    std::string bootId = "boot";
    JournalPace pace{std::chrono::milliseconds{0}};
  };
  RowBackend(Setup& setup, const Options& options)
      : DurableBackend{setup, options},
        options_{options},
        store{*options.rows} {}
  ~RowBackend() override { stop(); }

  void start(Diagnostics&) override {
    auto made = std::make_unique<StepCommitter>(store);
    committer = made.get();
    static_cast<void>(startWith(store, std::move(made), options_.pace, options_.bootId));
  }

private:
  Options options_;

public:
  RowStore store;
  StepCommitter* committer = nullptr;
};

/// The built-in pipeline with such a backend.
class DurableBroker : public TestBroker {
public:
  explicit DurableBroker(Rows& rows, const Parts& parts = {}, RowBackend::Options options = {}) {
    options.rows = &rows;
    static_cast<BackendLimits&>(options) = parts.backend;
    use<Connection>(parts.connection);
    use<KeepAlive>(parts.keepAlive);
    use<LastWill>();
    backend_ = &use<RowBackend>(options);
    use<SessionManager>(parts.sessions);
    use<SubscriptionManager>(parts.subscriptions);
    use<RetainManager>(parts.retain);
    use<InboundManager>(parts.inbound);
    use<OutboundManager>(parts.outbound);
  }
  /// Ends as a process that is killed does: what waits is not stored any more.
  ~DurableBroker() {
    backend_->store.judge = [](auto) { return RowStore::Verdict::fail; };
  }

  RowBackend& backend() noexcept { return *backend_; }
  RowStore& store() noexcept { return backend_->store; }

  /// The disk stores one batch, and the broker does what follows.
  bool commit() {
    run();
    const bool any = backend_->committer && backend_->committer->step();
    run();
    return any;
  }
  /// The disk keeps up.
  void commitAll() {
    for (int i = 0; commit(); ++i)
      if (i == 1000) throw std::runtime_error{"the journal never comes to rest"};
  }
  /// A client whose CONNECT was answered; what it is owed has been stored.
  Peer joinStored(Version version, const mqttstack::Connect& connect) {
    Peer peer = dial(*this, version, connect);
    commitAll();
    const Lines lines = said(peer);
    if (lines.empty() || !lines.front().starts_with("CONNACK 0"))
      throw std::runtime_error{"the client was not accepted"};
    return peer;
  }
  /// It subscribes, and that is stored.
  void subscribeStored(Peer& peer, const std::string& filter, unsigned options) {
    peer.send(subscribePacket(versionOf(peer), 1, {{filter, options}}));
    commitAll();
    said(peer);
  }

private:
  RowBackend* backend_;
};

}  // namespace mqttstack::test
