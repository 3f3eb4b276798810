#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <sys/mount.h>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

namespace {

std::string durableConfig(const std::string& path = "store.db") {
  return "[log]\nlevel = \"info\"\n[[listener]]\nbind = \"127.0.0.1:0\"\n[pipeline]\n"
         "default = [\"connection\", \"keep_alive\", \"last_will\", \"sqlite_backend\", "
         "\"session_manager\", \"subscription_manager\", \"retain_manager\", \"inbound_manager\", "
         "\"outbound_manager\"]\n[middleware.sqlite_backend]\npath = \"" +
         path + "\"\n";
}

/// A durable session that is subscribed to `filter`, and not there.
void leaveSession(const DaemonProcess& daemon, Version version, const std::string& name,
                  const std::string& filter, unsigned qos) {
  RawClient client{daemon.endpoint(), version};
  client.connect(durable(version, name));
  client.subscribe({{filter, qos}});
  client.disconnect();
}

}  // namespace

TEST_CASE("what was acknowledged is there after the broker was killed", "[durability]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  const unsigned qos = GENERATE(1U, 2U);
  const TemporaryDirectory directory;
  // One under way at a time, so that the answers come in between.
  const std::string config = durableConfig() + "[middleware.outbound_manager]\nmax_inflight = 1\n";
  {
    DaemonProcess daemon{config, directory.path()};
    leaveSession(daemon, version, "offline", "t/#", 2);
    RawClient publisher{daemon.endpoint(), version};
    publisher.connect(durable(version, "publisher"));
    for (unsigned i = 1; i <= 50; ++i)
      publisher.publishFully({.topic = "t/a", .payload = std::to_string(i), .qos = qos, .id = i});
    publisher.publishFully(
        {.topic = "kept", .payload = "retained", .qos = 1, .id = 60, .retain = true});
    daemon.signal(SIGKILL);
    daemon.wait();
  }
  DaemonProcess daemon{config, directory.path()};
  RawClient client{daemon.endpoint(), version};
  CHECK(client.connect(durable(version, "offline")).sessionPresent);
  for (unsigned i = 1; i <= 50; ++i)
    client.expectPublishFully({.topic = "t/a", .payload = std::to_string(i), .qos = qos});
  client.subscribe({{"kept", 1}});
  client.expectPublishFully({.topic = "kept", .payload = "retained", .qos = 1, .retain = true});
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
}

TEST_CASE("a second broker on the same file refuses to start, and the first goes on",
          "[durability]") {
  const TemporaryDirectory directory;
  DaemonProcess daemon{durableConfig(), directory.path()};
  const auto config = directory.write("second.toml", durableConfig());
  const CommandResult second = runDaemon({"--config", config.string()});
  CHECK(second.exitCode == 74);
  CHECK_THAT(second.output, Catch::Contains("another process has") &&
                                Catch::Contains(std::to_string(daemon.pid())));
  const CommandResult checked = runDaemon({"check", config.string()});
  CHECK(checked.exitCode == 0);
  RawClient client{daemon.endpoint()};
  client.connect();
  client.settle();
}

TEST_CASE("a store in a directory that does not exist is told with what to do", "[durability]") {
  const TemporaryDirectory directory;
  const auto config = directory.write("config.toml", durableConfig("missing/store.db"));
  const std::string remedy = "the directory \"" + (directory.path() / "missing").string() +
                             "\" does not exist; make it, owned by the broker's user, or correct";
  const auto checked = runDaemon({"check", config.string()});
  CHECK(checked.exitCode == 78);
  CHECK_THAT(checked.output, Catch::Contains(remedy));
  const auto run = runDaemon({"--config", config.string()});
  CHECK(run.exitCode == 74);
  CHECK_THAT(run.output, Catch::Contains("missing/store.db.lock") && Catch::Contains(remedy));
}

TEST_CASE("a damaged file never ends the broker by a signal, and check tells beforehand",
          "[durability]") {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "store.db";
  {
    DaemonProcess daemon{durableConfig(), directory.path()};
    leaveSession(daemon, Version::v5, "offline", "#", 1);
    RawClient publisher{daemon.endpoint(), Version::v5};
    publisher.connect();
    for (unsigned i = 1; i <= 200; ++i)
      publisher.publishFully({.topic = "t", .payload = std::string(i * 3, 'x'), .qos = 1, .id = i});
    daemon.signal(SIGTERM);
    REQUIRE(daemon.wait() == 0);
  }
  std::ifstream in{file, std::ios::binary};
  const std::string whole{std::istreambuf_iterator<char>{in}, {}};
  const auto config = directory.write("config.toml", durableConfig());
  std::mt19937 random{3};
  unsigned told = 0;
  for (int i = 0; i < 12; ++i) {
    std::string damaged = whole;
    if (i % 3 == 0)
      damaged.resize(1 + random() % (damaged.size() - 1));
    else
      for (int bit = 0; bit < 200; ++bit)
        damaged[random() % damaged.size()] ^= static_cast<char>(1U << random() % 8);
    std::ofstream{file, std::ios::binary | std::ios::trunc} << damaged;
    const CommandResult checked = runDaemon({"check", config.string()});
    CHECK((checked.exitCode == 0 || checked.exitCode == 78));
    if (checked.exitCode != 0) {
      ++told;
      CHECK_THAT(checked.output, Catch::Contains("store.db"));
    }
    try {
      DaemonProcess daemon{durableConfig(), directory.path()};
      daemon.signal(SIGTERM);
      CHECK(daemon.wait() == 0);
    } catch (const std::exception& error) {
      CHECK_THAT(error.what(), Catch::Contains("exit code 74"));
      CHECK_THAT(error.what(), Catch::Contains("store.db"));
    }
  }
  CHECK(told >= 4);
}

namespace {

/// A file system of four MiB.
class SmallDisk {
public:
  SmallDisk() {
    mounted_ = ::geteuid() == 0 &&
               ::mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=4m,mode=0700") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(directory_.path().c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  std::string path() const { return directory_.path().string(); }

private:
  TemporaryDirectory directory_;
  bool mounted_ = false;
};

}  // namespace

TEST_CASE("a full disk: what cannot be stored is not acknowledged, and all else goes on",
          "[durability]") {
  const SmallDisk disk;
  if (!disk.mounted()) {
    WARN("skipped: a small file system can only be mounted by root");
    return;
  }
  DaemonProcess daemon{durableConfig(disk.path() + "/store.db")};
  std::ofstream{disk.path() + "/filler"} << std::string(1'500'000, 'x');
  leaveSession(daemon, Version::v5, "offline", "t", 1);

  RawClient subscriber{daemon.endpoint(), Version::v5};
  subscriber.connect({.clientId = "live"});
  subscriber.subscribe({{"u", 1}});

  RawClient publisher{daemon.endpoint(), Version::v5};
  publisher.connect({.clientId = "publisher"});
  unsigned acknowledged = 0;
  const auto publish = [&](unsigned id) {
    publisher.publish({.topic = "t", .payload = std::string(4000, 'x'), .qos = 1, .id = id});
    return readAck(Version::v5, publisher.receive()).reason;
  };
  unsigned id = 1;
  while (publish(id) == 0 && id < 2000) ++id, ++acknowledged;
  CHECK(id < 2000);
  CHECK(publish(++id) == 0x97);

  RawClient old{daemon.endpoint(), Version::v311};
  old.connect({.clientId = "old"});
  old.publish({.topic = "t", .payload = std::string(40'000, 'x'), .qos = 1, .id = 1});
  old.expectClosed();

  publisher.publishFully({.topic = "u", .payload = "all is well", .qos = 1, .id = ++id});
  subscriber.expectPublishFully({.topic = "u", .payload = "all is well", .qos = 1});

  std::filesystem::remove(disk.path() + "/filler");
  CHECK(publish(++id) == 0);
  ++acknowledged;
  daemon.signal(SIGKILL);
  daemon.wait();

  DaemonProcess again{durableConfig(disk.path() + "/store.db")};
  RawClient offline{again.endpoint(), Version::v5};
  CHECK(offline.connect(durable(Version::v5, "offline")).sessionPresent);
  for (unsigned i = 0; i < acknowledged; ++i)
    offline.expectPublishFully({.topic = "t", .payload = std::string(4000, 'x'), .qos = 1});
}

TEST_CASE("a full disk gets room by what is delivered, with or without a restart", "[durability]") {
  const SmallDisk disk;
  if (!disk.mounted()) {
    WARN("skipped: a small file system can only be mounted by root");
    return;
  }
  const std::string config = durableConfig(disk.path() + "/store.db");
  auto daemon = std::make_unique<DaemonProcess>(config);
  leaveSession(*daemon, Version::v5, "offline", "t", 1);
  auto publisher = std::make_unique<RawClient>(daemon->endpoint(), Version::v5);
  publisher->connect({.clientId = "publisher"});
  unsigned id = 0;
  const auto publish = [&] {
    publisher->publish({.topic = "t", .payload = std::string(2000, 'x'), .qos = 1, .id = ++id});
    return readAck(Version::v5, publisher->receive()).reason;
  };
  unsigned acknowledged = 0;
  while (id < 5000 && publish() == 0) ++acknowledged;
  REQUIRE(id < 5000);
  if (GENERATE(false, true)) {
    publisher.reset();
    daemon->signal(GENERATE(SIGTERM, SIGKILL));
    daemon->wait();
    daemon = std::make_unique<DaemonProcess>(config);
    publisher = std::make_unique<RawClient>(daemon->endpoint(), Version::v5);
    publisher->connect({.clientId = "publisher"});
  }
  RawClient offline{daemon->endpoint(), Version::v5};
  CHECK(offline.connect(durable(Version::v5, "offline")).sessionPresent);
  for (unsigned i = 0; i < acknowledged; ++i)
    offline.expectPublishFully({.topic = "t", .payload = std::string(2000, 'x'), .qos = 1});
  offline.settle();
  offline.disconnect();
  // The last ones may still be on their way out of the store.
  unsigned refused = 0;
  while (refused < 100 && publish() != 0) {
    ++refused;
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
  }
  CHECK(refused < 100);
  for (int i = 0; i < 50; ++i) CHECK(publish() == 0);
}

TEST_CASE("a limit of the size of files never ends the broker by a signal", "[durability]") {
  DaemonProcess daemon{durableConfig()};
  leaveSession(daemon, Version::v5, "offline", "t", 1);
  RawClient publisher{daemon.endpoint(), Version::v5};
  publisher.connect({.clientId = "publisher"});
  unsigned id = 0;
  const auto publish = [&] {
    publisher.publish({.topic = "t", .payload = std::string(20'000, 'x'), .qos = 1, .id = ++id});
    return readAck(Version::v5, publisher.receive()).reason;
  };
  const rlimit little{2'000'000, RLIM_INFINITY};
  REQUIRE(::prlimit(daemon.pid(), RLIMIT_FSIZE, &little, nullptr) == 0);
  unsigned reason = 0;
  while (reason == 0 && id < 1000) reason = publish();
  // The log has met the limit, which is the end of the store and of the broker, or
  // the database has.
  CHECK((reason == 0x80 || reason == 0x97));
  if (reason == 0x97) daemon.signal(SIGTERM);
  CHECK(daemon.wait() == (reason == 0x80 ? 74 : 0));
}

TEST_CASE("when the store has failed, nothing is acknowledged, and the exit code says why",
          "[durability]") {
  const TemporaryDirectory directory;
  DaemonProcess daemon{durableConfig(), directory.path()};
  leaveSession(daemon, Version::v5, "offline", "t", 1);
  RawClient publisher{daemon.endpoint(), Version::v5};
  publisher.connect({.clientId = "publisher"});
  const auto publish = [&](unsigned id) {
    publisher.publish({.topic = "t", .payload = "x", .qos = 1, .id = id});
    return readAck(Version::v5, publisher.receive()).reason;
  };
  CHECK(publish(1) == 0);
  std::filesystem::remove(directory.path() / "store.db");
  CHECK(publish(2) == 0x80);
  CHECK(daemon.wait() == 74);
  CHECK_THAT(daemon.log(), Catch::Contains("store.db") && Catch::Contains("moved or deleted"));
}
