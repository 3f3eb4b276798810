#include "app/port_holder.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <optional>
#include <pwd.h>
#include <sstream>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "core/mqtt/text.hpp"

namespace mqttstack {
namespace {

namespace fs = std::filesystem;

struct Listening {
  uid_t user;
  std::uint64_t inode;
};

/// Looks for the port in a table such as /proc/net/tcp.
std::optional<Listening> findIn(const char* table, std::uint16_t port) {
  constexpr std::string_view kListens = "0A";
  const std::string wanted = fmt::format(":{:04X}", port);
  std::ifstream lines{table};
  std::string line;
  std::getline(lines, line);  // the heading
  while (std::getline(lines, line)) {
    std::istringstream fields{line};
    std::string slot, local, remote, state, queues, timer, retransmits;
    unsigned user = 0;
    unsigned timeout = 0;
    std::uint64_t inode = 0;
    fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> user >>
        timeout >> inode;
    if (fields && state == kListens && local.ends_with(wanted)) return Listening{user, inode};
  }
  return std::nullopt;
}

std::string userName(uid_t user) {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) != 0 || !found)
    return std::to_string(user);
  return found->pw_name;
}

bool isNumber(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool holds(const fs::path& process, const std::string& socket) {
  std::error_code error;
  for (fs::directory_iterator each{process / "fd", error}, end; !error && each != end;
       each.increment(error)) {
    std::error_code gone;
    if (fs::read_symlink(each->path(), gone).string() == socket) return true;
  }
  return false;
}

/// "mosquitto (process 812)"; empty if no process that we may look into has it.
std::string processWith(std::uint64_t inode) {
  const std::string socket = fmt::format("socket:[{}]", inode);
  std::error_code error;
  for (fs::directory_iterator each{"/proc", error}, end; !error && each != end;
       each.increment(error)) {
    const std::string pid = each->path().filename().string();
    if (!isNumber(pid) || !holds(each->path(), socket)) continue;
    std::string name;
    std::getline(std::ifstream{each->path() / "comm"}, name);
    return fmt::format("{} (process {})", mqtt::printable(name), pid);
  }
  return {};
}

}  // namespace

std::string describePortHolder(std::uint16_t port) {
  // Not /proc/net: a sandbox that shows processes only (ProcSubset=pid) leaves this.
  auto found = findIn("/proc/self/net/tcp", port);
  if (!found) found = findIn("/proc/self/net/tcp6", port);
  if (!found) return {};
  const std::string process = processWith(found->inode);
  return fmt::format("{} of user \"{}\"", process.empty() ? "a process" : process,
                     mqtt::printable(userName(found->user)));
}

}  // namespace mqttstack
