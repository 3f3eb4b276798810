#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/reloadable.hpp"
#include "core/util/timer_wheel.hpp"
#include "core/util/worker.hpp"
#include "middlewares/security/password_table.hpp"

namespace mqttstack {

/// Answers authenticateConnection from a file of user names and password hashes
/// (see PasswordTable for what it looks like), which `mqtt-stackd passwd` edits.
///
/// A user of the file with the right password is allowed, with a wrong one or
/// without one denied; about others it has no opinion, so that the pipeline may
/// list another authenticator behind it. Nobody can tell these apart from
/// outside, not even by the time they take.
///
/// Hashes are made by threads of its own, since one takes 33 ms. `queue` logins
/// wait for them, addresses in turn; beyond that a login is denied as "server
/// busy". A login that was verified is remembered for `cache`, as an HMAC under
/// a key that never leaves the process, so that clients which all reconnect at
/// once don't queue up.
///
/// Where users of the file have SCRAM keys, it answers continueAuthentication
/// for the method SCRAM-SHA-256 as well. That takes microseconds and is done at
/// once. A user whose entry is of another kind fails in it like an unknown one.
class PasswordFile final : public Middleware,
                           public Reloadable,
                           public Handles<AuthenticateConnection>,
                           public Handles<ContinueAuthentication> {
public:
  static constexpr std::string_view kName = "password_file";
  static constexpr std::string_view kSummary =
      "Checks user names and passwords against a file of password hashes.";

  struct Options {
    std::filesystem::path path;
    TimeSpan cache = std::chrono::seconds{60};
    std::uint16_t threads = 1;
    std::uint32_t queue = 64;

    static void declare(OptionTable<Options>& table);
  };

  PasswordFile(Setup& setup, const Options& options, Diagnostics& diagnostics);
  ~PasswordFile() override;

  void start(Diagnostics& diagnostics) override;
  void stop() override;

  /// Reads the file again. What it says takes the place of what was known if all
  /// of it is good; otherwise that is reported, nothing changes, and it returns
  /// false.
  bool reload(Diagnostics& diagnostics) override;

  Flow on(AuthenticateConnection& login, Next next, Done done) override;
  Flow on(ContinueAuthentication& step, Next next, Done done) override;

private:
  class Verification;
  class ScramExchange;
  using Digest = std::array<unsigned char, 32>;
  struct DigestHash {
    std::size_t operator()(const Digest& digest) const noexcept;
  };

  Flow decide(AuthenticateConnection& login, bool known, bool right, const Digest& digest,
              Next next, Done done);

  bool stillSays(std::string_view user, const std::string& hash) const;
  Digest digestOf(std::string_view user, std::string_view password) const;
  bool isRemembered(const Digest& digest) const;
  void remember(const Digest& digest);

  static constexpr std::size_t kRemembered = 10'000;

  std::filesystem::path path_;
  std::shared_ptr<const PasswordTable> users_;  // with each login that is being verified
  TimeSpan cacheFor_;
  Digest key_;
  std::unordered_map<Digest, TimePoint, DigestHash> verified_;  // until when
  Worker worker_;
};

}  // namespace mqttstack
