#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/util/timer_wheel.hpp"
#include "core/util/worker.hpp"
#include "middlewares/security/password_table.hpp"

namespace mqttstack {

/// Answers authenticateConnection from a file of user names and password hashes
/// (see PasswordTable for what it looks like). A line is made with
///
///     echo "alice:$(mkpasswd -m yescrypt)" >> passwd     # Debian package whois
///     echo "alice:$(openssl passwd -6)" >> passwd
///
/// A user of the file with the right password is allowed, with a wrong one or
/// without one denied; about others it has no opinion, so that the pipeline may
/// list another authenticator behind it. Nobody can tell these apart from
/// outside, not even by the time they take.
///
/// Hashes are made by a thread of its own, since one takes 33 ms. Up to 64
/// logins wait for it, addresses in turn; beyond that a login is denied as
/// "server busy". A login that was verified is remembered for `cache`, as an
/// HMAC under a key that never leaves the process, so that clients which all
/// reconnect at once don't queue up.
///
/// The file is read once, by the constructor.
class PasswordFile final : public Middleware, public Handles<AuthenticateConnection> {
public:
  static constexpr std::string_view kName = "password_file";
  static constexpr std::string_view kSummary =
      "Checks user names and passwords against a file of password hashes.";

  struct Options {
    std::filesystem::path path;
    TimeSpan cache = std::chrono::seconds{60};

    static void declare(OptionTable<Options>& table);
  };

  PasswordFile(Setup& setup, const Options& options, Diagnostics& diagnostics);
  ~PasswordFile() override;

  void start(Diagnostics& diagnostics) override;
  void stop() override;

  Flow on(AuthenticateConnection& login, Next next, Done done) override;

private:
  class Verification;
  using Digest = std::array<unsigned char, 32>;
  struct DigestHash {
    std::size_t operator()(const Digest& digest) const noexcept;
  };

  void read(const std::filesystem::path& path, Diagnostics& diagnostics);
  Flow decide(AuthenticateConnection& login, bool known, bool right, const Digest& digest,
              Next next, Done done);

  Digest digestOf(std::string_view user, std::string_view password) const;
  bool isRemembered(const Digest& digest) const;
  void remember(const Digest& digest);

  static constexpr std::size_t kQueue = 64;
  static constexpr std::size_t kRemembered = 10'000;

  PasswordTable users_;
  TimeSpan cacheFor_;
  Digest key_;
  std::unordered_map<Digest, TimePoint, DigestHash> verified_;  // until when
  Worker worker_;
};

}  // namespace mqttstack
