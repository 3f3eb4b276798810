#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "middlewares/backends/sqlite_store.hpp"
#include "tests/middlewares/backends/row_store.hpp"

/// A store in a file, and what to put into it.
namespace mqttstack::test {

/// A directory of its own for a database.
class StoreDirectory {
public:
  StoreDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "store-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error{"no temporary directory"};
    path_ = name;
  }
  ~StoreDirectory() { std::filesystem::remove_all(path_); }
  std::filesystem::path database() const { return path_ / "x.db"; }

private:
  std::filesystem::path path_;
};

/// Reads a store back into rows.
class RowReader final : public StoreReader {
public:
  void clock(const StoreClock::Setting& stored, StoreTime latest) override {
    clock_.emplace(clock_source_, "boot", stored, latest);
  }
  const StoreClock& clock() const override { return *clock_; }
  void session(PutSession row) override { rows.sessions.emplace(row.key, std::move(row)); }
  void subscription(PutSubscription row) override {
    rows.subscriptions.emplace(std::pair{row.session, row.filter}, row);
  }
  void incoming(PutIncoming row) override { rows.incoming.insert({row.session, row.packetId}); }
  void delivery(PutDelivery row) override { rows.queue.emplace(row.number, std::move(row)); }
  void retained(broker::MessagePtr message) override {
    rows.retained.emplace(message->topic(), message);
  }
  void will(PutWill row) override { rows.wills.emplace(row.session, std::move(row)); }

  Rows rows;

private:
  ManualClock clock_source_;
  std::optional<StoreClock> clock_;
};

/// A store, opened, with what it had.
struct OpenedStore {
  explicit OpenedStore(const std::filesystem::path& path, const char* vfs = nullptr,
                       Durability durability = Durability::sync)
      : store{path, durability, vfs},
        wrong{store.open(reading, warnings)} {}
  CommitResult commit(std::vector<Operation> operations) {
    std::vector<StoreUnit> units{{static_cast<std::uint32_t>(operations.size())}};
    return store.commit(operations, units);
  }
  RowReader reading;
  std::vector<std::string> warnings;
  SqliteStore store;
  std::string wrong;
};

inline broker::IdentityPtr someIdentity(std::string clientId = "dev\tice\\7\n") {
  broker::IdentityFields fields;
  fields.principal = "alice";
  fields.clientId = std::move(clientId);
  fields.address = "::1";
  fields.listener = "lan";
  fields.certificateName = "CN";
  fields.groups = {"one", "t\\two"};
  return broker::makeIdentity(std::move(fields));
}

inline broker::MessagePtr message(std::string_view topic, std::string_view payload = "x") {
  broker::MessageFields fields;
  fields.topic = topic;
  fields.payload = payload;
  fields.qos = mqtt::Qos::atLeastOnce;
  fields.author = someIdentity();
  return broker::Message::create(std::move(fields));
}

inline Operation session(std::uint64_t key, std::string clientId) {
  auto put = std::make_unique<PutSession>();
  put->key = key;
  put->clientId = std::move(clientId);
  put->owner = put->identity = someIdentity();
  put->pipeline = "default";
  put->expiryInterval = 100;
  put->disconnectedAt = 5;
  return put;
}

inline Operation delivery(std::uint64_t number, std::uint64_t session, broker::MessagePtr message) {
  return PutDelivery{number,
                     session,
                     std::move(message),
                     {},
                     0,
                     mqtt::Qos::atLeastOnce,
                     broker::DeliveryState::queued,
                     false};
}

template <class... Rest>
std::vector<Operation> list(Operation first, Rest... rest) {
  std::vector<Operation> all;
  all.push_back(std::move(first));
  (all.push_back(std::move(rest)), ...);
  return all;
}

}  // namespace mqttstack::test
