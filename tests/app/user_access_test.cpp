#include "app/user_access.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"

using namespace mqttstack;
using std::filesystem::perms;
namespace fs = std::filesystem;

namespace {

/// Somebody who is neither the owner of the test's files nor in their group.
const UserIdentity kStranger{"stranger", 54'321, {54'321}};
/// Somebody in the group of the test's files.
UserIdentity member() { return {"member", 54'322, {54'322, ::getegid()}}; }

struct Tree {
  Tree() {
    fs::permissions(directory.path(), perms{0755});
    fs::create_directory(inner);
    fs::permissions(inner, perms{0755});
    directory.write("inner/file", "x", perms{0644});
  }
  TemporaryDirectory directory;
  fs::path inner = directory.path() / "inner";
  fs::path file = inner / "file";
};

/// What is in the way, as a path; empty if nothing is.
fs::path obstacle(const UserIdentity& user, const fs::path& file) {
  const auto found = findAccessObstacle(user, file);
  return found ? found->path : fs::path{};
}

}  // namespace

TEST_CASE("a file is read by the rights of the first class that a user is in", "[user_access]") {
  const Tree tree;
  CHECK(obstacle(kStranger, tree.file).empty());
  fs::permissions(tree.file, perms{0640});
  CHECK(obstacle(kStranger, tree.file) == tree.file);
  CHECK(obstacle(member(), tree.file).empty());
  fs::permissions(tree.file, perms{0604});
  CHECK(obstacle(kStranger, tree.file).empty());
  CHECK(obstacle(member(), tree.file) == tree.file);
  fs::permissions(tree.file, perms{0044});
  CHECK(obstacle({"owner", ::geteuid() == 0 ? 1 : ::geteuid(), {}}, tree.file).empty() ==
        (::geteuid() == 0));
}

TEST_CASE("each directory on the way has to let the user in", "[user_access]") {
  const Tree tree;
  fs::permissions(tree.inner, perms{0750});
  CHECK(obstacle(kStranger, tree.file) == tree.inner);
  CHECK(obstacle(member(), tree.file).empty());
  fs::permissions(tree.directory.path(), perms{0700});
  const auto found = findAccessObstacle(kStranger, tree.file);
  REQUIRE(found);
  CHECK(found->path == tree.directory.path());
  CHECK(found->directory);
}

TEST_CASE("a link is followed, and the directories behind it count", "[user_access]") {
  const Tree tree;
  const fs::path link = tree.directory.path() / "link";
  fs::create_symlink("inner/file", link);
  CHECK(obstacle(kStranger, link).empty());
  fs::permissions(tree.inner, perms{0700});
  CHECK(obstacle(kStranger, link) == fs::canonical(tree.inner));
}

TEST_CASE("root may read everything, and nobody is kept from what is not there", "[user_access]") {
  const Tree tree;
  fs::permissions(tree.file, perms{0000});
  CHECK(obstacle({"root", 0, {}}, tree.file).empty());
  CHECK(obstacle(kStranger, tree.inner / "other").empty());
}

TEST_CASE("the remedy is a command for the thing in the way", "[user_access]") {
  const UserIdentity user{"svc", 54'321, {}};
  CHECK(remedyFor({"/a/key", false}, user) == "chgrp svc '/a/key' && chmod g+r '/a/key'");
  CHECK(remedyFor({"/a", true}, user) ==
        "chgrp svc '/a' && chmod g+x '/a', or keep the file elsewhere");
}

TEST_CASE("users are found with their groups", "[user_access]") {
  const auto root = findUser("root");
  REQUIRE(root);
  CHECK(root->user == 0);
  CHECK_FALSE(root->groups.empty());
  CHECK_FALSE(findUser("no-such-user-here"));
}
