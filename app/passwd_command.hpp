#pragma once

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/exit_codes.hpp"
#include "middlewares/security/password_hash.hpp"

namespace mqttstack {

/// What `mqtt-stackd passwd` was asked to do with a password file. A password is
/// never an argument: anybody on the machine sees those.
struct PasswdArguments {
  std::filesystem::path file{};
  std::optional<std::string> user{};
  bool remove = false;                   ///< takes the user out
  bool batch = false;                    ///< "name:password" lines from standard input
  std::filesystem::path importedFile{};  ///< one of mosquitto's
  std::string method = "yescrypt";       ///< a name of passwdMethods()
  std::optional<unsigned> cost{};
};

/// The names of the hash methods that it can use.
const std::vector<std::pair<std::string, HashMethod>>& passwdMethods();

/// Does it. Asks for the password at the terminal; if `terminal` is none, reads
/// it as the first line of `in`.
ExitCode runPasswd(const PasswdArguments& arguments, int terminal, std::istream& in,
                   std::ostream& out, std::ostream& err);

}  // namespace mqttstack
