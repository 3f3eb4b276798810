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
#include "core/util/expected.hpp"
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
/// Allowing a login may add `"user"` (and has to if the client gave no user
/// name), `"groups"`, and `"expires_in"`, after so many seconds the client is cut
/// off. Status 401 and 403 deny. Anything else is
/// a failure: denied, unless `on_error` says otherwise.
///
/// What a client reads is decided when it subscribes: a delivery is allowed if
/// the service has allowed the identity a filter that matches. Nothing is known of
/// an identity that has not been asked about yet: what comes for its session
/// meanwhile waits.
///
/// A retained message's author was asked about when it was published. Where other
/// middlewares judge deliveries as well, the message is allowed only if it was the
/// service that allowed it; of one from before the start that is not known any
/// more, and it is allowed if nobody in front denies it.
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

  using MayExecute = Callbacks<LookupSubscriptions>;

  HttpAuth(Setup& setup, const Options& options, Diagnostics& diagnostics);
  ~HttpAuth() override;

  void start(Diagnostics& diagnostics) override;
  void stop() override;

  /// Reads authorization_file again. Questions that wait go out as they are.
  bool reload(Diagnostics& diagnostics) override;

  std::optional<Severity> unasked(std::string_view callback) const override;
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
  /// What the service has allowed somebody.
  struct Rights {
    using Names = std::set<std::string, std::less<>>;
    bool mayRead(std::string_view topic) const;
    bool mayReadAll(std::string_view filter) const;

    broker::IdentityPtr identity;
    Names topics;    // to be read
    Names filters;   // the same, with wildcards
    Names retained;  // topics published to, with the flag
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
  void learn(const AuthorizePacket& allowed);
  void keepSubscribed(Rights& rights, const broker::Session& session) const;

  static constexpr std::size_t kRemembered = 10'000;
  static constexpr std::size_t kRetained = 100'000;  // of one author

  Options options_;
  std::shared_ptr<const HttpSettings> http_;  // with each question on its way
  Digest key_;
  std::unordered_map<Digest, Remembered, DigestHash> remembered_;
  std::unordered_map<const broker::Identity*, Rights> rights_;
  std::uint64_t firstOwn_ = 0;  // messages with lower numbers are from before the start
  std::size_t sweepAt_ = 1024;
  Metric& failures_;
  LineLimit lines_{"failures"};
  std::atomic<bool> stopping_{false};
  LoopExecutor& loop_;
  std::shared_ptr<HttpAuth*> self_;  // null for what is posted and comes too late
  Worker worker_;
};

}  // namespace mqttstack
