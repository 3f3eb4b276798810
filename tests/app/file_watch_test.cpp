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
        [this] { ++told; });
    watch.start();
  }
  TemporaryDirectory directory;
  test::ManualScheduler scheduler;
  FileWatch watch{scheduler, 2s};
  int told = 0;
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
  watch.add([&] { return FileWatch::Files{link / "key"}; }, [&] { ++told; });
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
