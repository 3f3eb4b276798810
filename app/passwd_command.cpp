#include "app/passwd_command.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <fstream>
#include <functional>
#include <istream>
#include <iterator>
#include <ostream>
#include <set>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <openssl/crypto.h>

#include "app/ask_password.hpp"
#include "app/edit_file.hpp"
#include "app/password_lines.hpp"
#include "core/mqtt/text.hpp"
#include "middlewares/security/password_table.hpp"

namespace mqttstack {
namespace {

/// A password on its way to its hash; wiped afterwards.
class Secret {
public:
  explicit Secret(std::string text) : text_{std::move(text)} {}
  Secret(Secret&&) = default;
  Secret& operator=(Secret&&) = default;
  ~Secret() { OPENSSL_cleanse(text_.data(), text_.size()); }
  const std::string& text() const { return text_; }

private:
  std::string text_;
};

/// The next line, however its end is written.
bool readLine(std::istream& in, std::string& line) {
  if (!std::getline(in, line)) return false;
  if (line.ends_with('\r')) line.pop_back();
  return true;
}

std::string howMany(std::size_t users) {
  return users == 1 ? "1 user was" : fmt::format("{} users were", users);
}

/// What keeps a text from being a password file, with the line; empty if it is one.
std::string problemOfFile(const std::string& text) {
  std::string first;
  PasswordTable::parse(text, [&](std::size_t line, const std::string& problem, const auto&) {
    if (first.empty()) first = fmt::format("{}: {}", line, problem);
  });
  return first;
}

/// One run of the command.
class Passwd {
public:
  Passwd(const PasswdArguments& arguments, int terminal, std::istream& in, std::ostream& out,
         std::ostream& err)
      : arguments_{arguments},
        terminal_{terminal},
        in_{in},
        out_{out},
        err_{err} {}

  ExitCode run() {
    if (!chooseMethod() || !isSensible()) return ExitCode::usage;
    if (arguments_.batch) return batch();
    if (!arguments_.importedFile.empty()) return import();
    return arguments_.remove ? remove(*arguments_.user) : set(*arguments_.user);
  }

private:
  bool complain(const std::string& problem) {
    err_ << "mqtt-stackd: " << problem << '\n';
    return false;
  }

  bool chooseMethod() {
    const auto& methods = passwdMethods();
    const auto found = std::find_if(methods.begin(), methods.end(), [this](const auto& each) {
      return each.first == arguments_.method;
    });
    if (found == methods.end())
      return complain("there is no hash method \"" + mqtt::printable(arguments_.method) + '"');
    method_ = found->second;
    const HashCost cost = costOf(method_);
    cost_ = arguments_.cost.value_or(cost.usual);
    if (cost_ >= cost.least && cost_ <= cost.most) return true;
    return complain(
        fmt::format("the cost of {} goes from {} to {}", found->first, cost.least, cost.most));
  }

  bool isSensible() {
    const int tasks = static_cast<int>(arguments_.batch) +
                      static_cast<int>(!arguments_.importedFile.empty()) +
                      static_cast<int>(arguments_.user.has_value());
    if (tasks != 1) return complain("give one of: a user, --batch, --import FILE");
    if (arguments_.remove && !arguments_.user) return complain("--delete needs a user");
    if (!arguments_.user) return true;
    const std::string problem = problemOfUserName(*arguments_.user);
    return problem.empty() || complain(problem);
  }

  /// What comes of it has to be a password file, so that no other is written into.
  ExitCode edit(const std::function<bool(PasswordLines&)>& change) {
    std::string problem;
    const std::error_code error = editFile(arguments_.file, [&](std::string& text) {
      PasswordLines lines{text};
      if (!change(lines)) return false;
      text = lines.text();
      problem = problemOfFile(text);
      return problem.empty();
    });
    if (!problem.empty()) {
      complain(fmt::format("{}:{}; this is no password file, nothing was changed",
                           arguments_.file.string(), problem));
      return ExitCode::badData;
    }
    if (!error) return ExitCode::success;
    complain(fmt::format(
        "cannot change {}: {}", arguments_.file.string(),
        error == std::errc::invalid_argument ? "it is no regular file" : error.message()));
    return error == std::errc::permission_denied ? ExitCode::permission : ExitCode::io;
  }

  /// The hash of a password, or nothing and why.
  std::optional<std::string> hashOf(const std::string& user, const Secret& password,
                                    std::string& problem) {
    if (password.text().empty()) {
      problem = "the password of \"" + mqtt::printable(user) + "\" is empty";
      return std::nullopt;
    }
    auto hash = makeHash(password.text(), method_, cost_);
    if (!hash)
      problem = fmt::format("the password of \"{}\" is too long for {}, or has a NUL in it",
                            mqtt::printable(user), arguments_.method);
    return hash;
  }

  /// Twice from the terminal, or once from who pipes it in.
  std::optional<Secret> askPassword(const std::string& user, std::string& problem) {
    if (::isatty(terminal_) == 0) {
      std::string line;
      if (readLine(in_, line)) return Secret{std::move(line)};
      problem = "there is no password on standard input";
      return std::nullopt;
    }
    problem = "no password was given";
    auto first = mqttstack::askPassword(terminal_, "Password for " + mqtt::printable(user) + ": ");
    if (!first) return std::nullopt;
    Secret password{std::move(*first)};
    auto second = mqttstack::askPassword(terminal_, "The same again: ");
    if (!second) return std::nullopt;
    const Secret repeated{std::move(*second)};
    if (password.text() == repeated.text()) return password;
    problem = "the two are not the same";
    return std::nullopt;
  }

  ExitCode set(const std::string& user) {
    std::string problem;
    const auto password = askPassword(user, problem);
    const auto hash = password ? hashOf(user, *password, problem) : std::nullopt;
    if (!hash) {
      complain(problem + "; nothing was changed");
      return ExitCode::usage;
    }
    return edit([&](PasswordLines& lines) {
      lines.set(user, *hash);
      return true;
    });
  }

  ExitCode remove(const std::string& user) {
    bool removed = false;
    const ExitCode code = edit([&](PasswordLines& lines) { return removed = lines.remove(user); });
    if (code != ExitCode::success || removed) return code;
    complain("there is no user \"" + mqtt::printable(user) + '"');
    return ExitCode::badData;
  }

  /// All of the lines or none.
  ExitCode batch() {
    std::vector<std::pair<std::string, std::string>> users;
    std::set<std::string> names;
    std::size_t number = 0;
    for (std::string line; readLine(in_, line);) {
      ++number;
      if (line.empty()) continue;
      const std::size_t colon = line.find(':');
      std::string user = line.substr(0, colon);
      const Secret password{colon == std::string::npos ? "" : line.substr(colon + 1)};
      OPENSSL_cleanse(line.data(), line.size());
      std::string problem = colon == std::string::npos ? "there is no \":\" behind the user name"
                                                       : problemOfUserName(user);
      auto hash = problem.empty() ? hashOf(user, password, problem) : std::nullopt;
      if (!hash) {
        complain(fmt::format("standard input:{}: {}; nothing was changed", number, problem));
        return ExitCode::badData;
      }
      names.insert(user);
      users.emplace_back(std::move(user), std::move(*hash));
    }
    const ExitCode code = edit([&](PasswordLines& lines) {
      for (const auto& [user, hash] : users) lines.set(user, hash);
      return !users.empty();
    });
    if (code == ExitCode::success) out_ << howMany(names.size()) << " set\n";
    return code;
  }

  /// Users who are there already stay as they are.
  ExitCode import() {
    std::ifstream theirs{arguments_.importedFile, std::ios::binary};
    theirs.peek();
    if (!theirs.is_open() || theirs.bad()) {
      const std::error_code error{errno, std::generic_category()};
      complain(
          fmt::format("cannot read {}: {}", arguments_.importedFile.string(), error.message()));
      return error == std::errc::permission_denied ? ExitCode::permission : ExitCode::io;
    }
    std::vector<std::pair<std::string, std::string>> users;
    bool good = true;
    std::size_t number = 0;
    for (std::string line; readLine(theirs, line);) {
      ++number;
      if (line.empty() || line.front() == '#') continue;
      const std::size_t colon = line.find(':');
      const std::string user = line.substr(0, colon);
      const auto hash =
          colon == std::string::npos ? std::nullopt : importMosquittoHash(line.substr(colon + 1));
      const std::string problem = problemOfUserName(user);
      if (hash && problem.empty())
        users.emplace_back(user, *hash);
      else
        good = complain(fmt::format("{}:{}: {}", arguments_.importedFile.string(), number,
                                    problem.empty() ? "no hash that mosquitto makes" : problem));
    }
    if (!good) {
      complain("nothing was changed");
      return ExitCode::badData;
    }
    std::size_t kept = 0;
    const ExitCode code = edit([&](PasswordLines& lines) {
      for (const auto& [user, hash] : users) {
        if (lines.has(user)) {
          ++kept;
          out_ << fmt::format("user \"{}\" is there already, and stays as it is\n",
                              mqtt::printable(user));
        } else {
          lines.set(user, hash);
        }
      }
      return kept < users.size();
    });
    if (code == ExitCode::success) out_ << howMany(users.size() - kept) << " brought in\n";
    return code;
  }

  const PasswdArguments& arguments_;
  int terminal_;
  std::istream& in_;
  std::ostream& out_;
  std::ostream& err_;
  HashMethod method_ = HashMethod::yescrypt;
  unsigned cost_ = 0;
};

}  // namespace

const std::vector<std::pair<std::string, HashMethod>>& passwdMethods() {
  static const std::vector<std::pair<std::string, HashMethod>> kMethods = {
      {"yescrypt", HashMethod::yescrypt},
      {"scram-sha-256", HashMethod::scramSha256},
      {"bcrypt", HashMethod::bcrypt},
      {"sha512", HashMethod::sha512}};
  return kMethods;
}

ExitCode runPasswd(const PasswdArguments& arguments, int terminal, std::istream& in,
                   std::ostream& out, std::ostream& err) {
  return Passwd{arguments, terminal, in, out, err}.run();
}

}  // namespace mqttstack
