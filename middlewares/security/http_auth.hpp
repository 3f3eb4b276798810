#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/reloadable.hpp"
#include "core/util/line_limit.hpp"
#include "core/util/timer_wheel.hpp"
#include "core/util/worker.hpp"
#include "middlewares/security/http_post.hpp"

namespace mqttstack {

struct Metric;

/// Answers authenticateConnection and authorizePacket by asking a service over
/// HTTP or HTTPS, each if it has a URL for it. A question is a JSON object that
/// is posted:
///
///     {"action": "authenticate", "client_id": "…", "user": "…", "password": "…",
///      "address": "…", "listener": "…", "certificate_name": "…"}
///     {"action": "publish", "client_id": "…", "user": "…", "groups": […],
///      "anonymous": false, "address": "…", "listener": "…",
///      "topic": "…", "qos": 1, "retain": false}
///
/// (the second also with "subscribe" and "will"), and the answer is status 200
/// with `{"result": "allow"}`, `"deny"` or `"ignore"`, which is no opinion.
/// Allowing a login may add `"user"`, `"groups"`, and `"expires_in"`, after so
/// many seconds the client is cut off. Status 401 and 403 deny. Anything else is
/// a failure: denied, unless `on_error` says otherwise.
///
/// What a client reads is decided when it subscribes: a delivery is allowed if
/// the service has allowed the identity a filter that matches. A retained
/// message's author was asked about when it was published.
///
/// Questions are put by threads of its own, addresses in turn; answers other
/// than failures are remembered for `cache`.
class HttpAuth final : public Middleware,
                       public Reloadable,
                       public Handles<AuthenticateConnection>,
                       public Handles<AuthorizePacket>,
                       public Handles<AuthorizeDelivery>,
                       public Handles<AuthorizeReception> {
public:
  static constexpr std::string_view kName = "http_auth";
  static constexpr std::string_view kSummary =
      "Asks a service over HTTP who clients are and what they may do.";

  enum class OnError : std::uint8_t { deny, allow };
  struct Options {
    std::string authenticateUrl;
    std::string authorizeUrl;
    TimeSpan timeout = std::chrono::seconds{5};
    TimeSpan cache = std::chrono::seconds{10};
    OnError onError = OnError::deny;
    std::filesystem::path caFile;
    std::filesystem::path authorizationFile;
    std::uint16_t threads = 8;
    std::uint32_t queue = 1000;

    static void declare(OptionTable<Options>& table);
  };

  HttpAuth(Setup& setup, const Options& options, Diagnostics& diagnostics);
  ~HttpAuth() override;

  void start(Diagnostics& diagnostics) override;
  void stop() override;

  /// Reads authorization_file again. Questions that wait go out as they are.
  bool reload(Diagnostics& diagnostics) override;

  Flow on(AuthenticateConnection& login, Next next, Done done) override;
  Flow on(AuthorizePacket& question, Next next, Done done) override;
  Flow on(AuthorizeDelivery& question, SyncNext next, Done done) override;
  Flow on(AuthorizeReception& question, SyncNext next, Done done) override;

private:
  class Question;

  /// What the service has said.
  struct Answer {
    Opinion opinion = Opinion::none;
    std::string user;
    std::vector<std::string> groups;
    std::optional<std::chrono::seconds> expiresIn;
  };
  static Expected<Answer, std::string> read(const HttpReply& reply);

  using Digest = std::array<unsigned char, 32>;
  struct DigestHash {
    std::size_t operator()(const Digest& digest) const noexcept;
  };
  struct Remembered {
    Answer answer;
    TimePoint asked;
  };
  /// The filters that somebody may read.
  struct Reader {
    broker::IdentityPtr identity;
    std::vector<std::string> filters;
  };

  void check(const char* option, const std::string& url, Diagnostics& diagnostics) const;
  template <class Callback>
  Flow ask(Callback& callback, const std::string& url, std::string json, Next next, Done done);
  Flow failed(AuthenticateConnection& login, Next next, Done done);
  Flow failed(AuthorizePacket& question, Next next, Done done);
  Flow conclude(AuthenticateConnection& login, const Answer& answer, TimePoint asked, Next next,
                Done done);
  Flow conclude(AuthorizePacket& question, const Answer& answer, TimePoint asked, Next next,
                Done done);

  Digest digestOf(std::string_view json) const;
  const Remembered* recall(const Digest& digest) const;
  void remember(const Digest& digest, const Answer& answer, TimePoint asked);
  void learn(const broker::Identity& reader, std::string_view filter);

  static constexpr std::size_t kRemembered = 10'000;

  Options options_;
  std::shared_ptr<const HttpSettings> http_;  // with each question on its way
  Digest key_;
  std::unordered_map<Digest, Remembered, DigestHash> remembered_;
  std::unordered_map<const broker::Identity*, Reader> readers_;
  std::size_t sweepAt_ = 1024;
  Metric& failures_;
  LineLimit lines_{"failures"};
  std::atomic<bool> stopping_{false};
  Worker worker_;
};

}  // namespace mqttstack
