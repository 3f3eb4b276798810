#include "app/user_access.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <system_error>

namespace mqttstack {
namespace {

namespace fs = std::filesystem;

/// One right, as the three digits of a mode have it.
struct Right {
  mode_t owner;
  mode_t group;
  mode_t others;
};
constexpr Right kRead{S_IRUSR, S_IRGRP, S_IROTH};
constexpr Right kEnter{S_IXUSR, S_IXGRP, S_IXOTH};

bool hasAccessList(const fs::path& path) {
  return ::getxattr(path.c_str(), "system.posix_acl_access", nullptr, 0) > 0;
}

/// True also if it can't be told.
bool may(const UserIdentity& user, const fs::path& path, const Right& right) {
  struct stat status;
  if (user.user == 0 || ::stat(path.c_str(), &status) != 0) return true;
  // The first class that the user is in decides, even if a later one could do more.
  const bool inGroup =
      std::find(user.groups.begin(), user.groups.end(), status.st_gid) != user.groups.end();
  const mode_t bit = status.st_uid == user.user ? right.owner
                     : inGroup                  ? right.group
                                                : right.others;
  return (status.st_mode & bit) != 0 || hasAccessList(path);
}

std::optional<AccessObstacle> findOnPath(const UserIdentity& user, const fs::path& file) {
  fs::path directory;
  for (const fs::path& part : file.parent_path()) {
    directory /= part;
    if (!may(user, directory, kEnter)) return AccessObstacle{directory, true};
  }
  if (!may(user, file, kRead)) return AccessObstacle{file, false};
  return std::nullopt;
}

}  // namespace

std::optional<UserIdentity> findUser(const std::string& name) {
  std::array<char, 16 * 1024> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || !found)
    return std::nullopt;
  UserIdentity user{name, found->pw_uid, {}};
  int count = 64;
  user.groups.resize(static_cast<std::size_t>(count));
  if (::getgrouplist(name.c_str(), found->pw_gid, user.groups.data(), &count) < 0) {
    user.groups.resize(static_cast<std::size_t>(count));
    ::getgrouplist(name.c_str(), found->pw_gid, user.groups.data(), &count);
  }
  user.groups.resize(static_cast<std::size_t>(count));
  return user;
}

std::optional<AccessObstacle> findAccessObstacle(const UserIdentity& user, const fs::path& file) {
  std::error_code error;
  const fs::path named = fs::absolute(file, error);
  if (error) return std::nullopt;
  const fs::path real = fs::canonical(named, error);
  if (error) return std::nullopt;
  if (auto obstacle = findOnPath(user, named)) return obstacle;
  return real == named ? std::nullopt : findOnPath(user, real);
}

std::string remedyFor(const AccessObstacle& obstacle, const UserIdentity& user) {
  std::array<char, 4096> buffer{};
  group entry{};
  group* found = nullptr;
  std::string ownGroup = user.name;  // by custom the user's own has its name
  if (!user.groups.empty() &&
      ::getgrgid_r(user.groups.front(), &entry, buffer.data(), buffer.size(), &found) == 0 && found)
    ownGroup = found->gr_name;
  const std::string path = obstacle.path.string();
  return fmt::format("chgrp {} '{}' && chmod {} '{}'{}", ownGroup, path,
                     obstacle.directory ? "g+x" : "g+r", path,
                     obstacle.directory ? ", or keep the file elsewhere" : "");
}

}  // namespace mqttstack
