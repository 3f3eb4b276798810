#include "app/file_watch.hpp"

#include <chrono>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/support/manual_clock.hpp"

using namespace mqttstack;
using namespace std::chrono_literals;

namespace {

/// A watch on "a" and "b" of a directory that looks every two seconds.
struct Watching {
  Watching() {
    directory.write("a", "one");
    watch.add(
        [this] {
          return FileWatch::Files{directory.path() / "a", directory.path() / "b"};
        },
        [this] {
          ++told;
          return !refuses;
        });
    watch.start();
  }
  TemporaryDirectory directory;
  test::ManualScheduler scheduler;
  FileWatch watch{scheduler, 2s};
  int told = 0;
  bool refuses = false;
};

}  // namespace

TEST_CASE("files that stay as they are are no news", "[file_watch]") {
  Watching scene;
  scene.scheduler.advance(60s);
  CHECK(scene.told == 0);
}

TEST_CASE("a change is told once, when it has been quiet for an interval", "[file_watch]") {
  Watching scene;
  scene.directory.write("a", "another");
  scene.scheduler.advance(3s);
  CHECK(scene.told == 0);
  scene.scheduler.advance(2s);
  CHECK(scene.told == 1);
  scene.scheduler.advance(60s);
  CHECK(scene.told == 1);
}

TEST_CASE("two files that change one after the other are told once", "[file_watch]") {
  Watching scene;
  scene.directory.write("a", "another");
  scene.scheduler.advance(3s);
  scene.directory.write("b", "new");
  scene.scheduler.advance(2s);
  CHECK(scene.told == 0);
  scene.scheduler.advance(2s);
  CHECK(scene.told == 1);
}

TEST_CASE("a file that appears, vanishes or is replaced by one of the same size is news",
          "[file_watch]") {
  Watching scene;
  const auto file = scene.directory.path() / "a";
  SECTION("appears") { scene.directory.write("b", "new"); }
  SECTION("vanishes") { std::filesystem::remove(file); }
  SECTION("replaced") {
    scene.directory.write("new", "two");
    std::filesystem::last_write_time(scene.directory.path() / "new",
                                     std::filesystem::last_write_time(file));
    std::filesystem::rename(scene.directory.path() / "new", file);
  }
  SECTION("another mode") { std::filesystem::permissions(file, std::filesystem::perms{0640}); }
  scene.scheduler.advance(6s);
  CHECK(scene.told == 1);
}

TEST_CASE("a link that is turned to another directory is news", "[file_watch]") {
  TemporaryDirectory directory;
  for (const char* name : {"old", "new"}) {
    std::filesystem::create_directory(directory.path() / name);
    directory.write(std::string{name} + "/key", "same");
  }
  const auto link = directory.path() / "current";
  std::filesystem::create_directory_symlink("old", link);
  test::ManualScheduler scheduler;
  FileWatch watch{scheduler, 2s};
  int told = 0;
  watch.add([&] { return FileWatch::Files{link / "key"}; }, [&] { return ++told > 0; });
  watch.start();
  std::filesystem::remove(link);
  std::filesystem::create_directory_symlink("new", link);
  scheduler.advance(6s);
  CHECK(told == 1);
}

TEST_CASE("what was settled is no news, and after stop nothing is", "[file_watch]") {
  Watching scene;
  scene.directory.write("a", "another");
  scene.watch.settle();
  scene.scheduler.advance(60s);
  CHECK(scene.told == 0);
  scene.directory.write("a", "a third");
  scene.watch.stop();
  scene.scheduler.advance(60s);
  CHECK(scene.told == 0);
}

TEST_CASE("a change that could not be taken over is tried again, and less and less often",
          "[file_watch]") {
  Watching scene;
  scene.refuses = true;
  scene.directory.write("a", "half of it");
  scene.scheduler.advance(5s);
  REQUIRE(scene.told == 1);
  scene.scheduler.advance(2s);
  CHECK(scene.told == 2);
  scene.scheduler.advance(2s);
  CHECK(scene.told == 2);
  scene.scheduler.advance(2s);
  CHECK(scene.told == 3);
  scene.scheduler.advance(600s);
  CHECK(scene.told > 10);
  CHECK(scene.told < 20);

  SECTION("until it can be, though no file has changed") {
    scene.refuses = false;
    scene.scheduler.advance(64s);
    const int told = scene.told;
    scene.scheduler.advance(600s);
    CHECK(scene.told == told);
  }
  SECTION("another change is tried as soon as any") {
    scene.refuses = false;
    scene.told = 0;
    scene.directory.write("a", "the whole of it");
    scene.scheduler.advance(5s);
    CHECK(scene.told == 1);
    scene.scheduler.advance(600s);
    CHECK(scene.told == 1);
  }
}

TEST_CASE("what was settled too early is told", "[file_watch]") {
  Watching scene;
  scene.directory.write("a", "another");
  scene.watch.settle();
  scene.watch.unsettle();
  scene.scheduler.advance(5s);
  CHECK(scene.told == 1);
  scene.scheduler.advance(60s);
  CHECK(scene.told == 1);
}
