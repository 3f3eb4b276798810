#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace mqttstack {

/// A user of this machine with all groups that it is in.
struct UserIdentity {
  std::string name;
  uid_t user = 0;
  std::vector<gid_t> groups;
};

/// Nothing if there is no such user.
std::optional<UserIdentity> findUser(const std::string& name);

/// What keeps a user from reading a file: the file itself, or one of the
/// directories on the way to it.
struct AccessObstacle {
  std::filesystem::path path;
  bool directory;
};

/// Works out from owners, groups and modes whether a user could read a file, on
/// its way through symbolic links too. Nothing if it could, and also if that
/// can't be told: the file is missing, or an access control list decides.
/// Whoever asks has to be able to look at all of the path, as root is.
std::optional<AccessObstacle> findAccessObstacle(const UserIdentity& user,
                                                 const std::filesystem::path& file);

/// What to do about it.
std::string remedyFor(const AccessObstacle& obstacle, const UserIdentity& user);

}  // namespace mqttstack
