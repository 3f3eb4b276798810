#include "middlewares/security/http_auth.hpp"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "core/mqtt/text.hpp"
#include "core/mqtt/topic.hpp"
#include "core/mqtt/utf8.hpp"
#include "core/net/peer_info.hpp"
#include "core/stack/stack.hpp"
#include "core/util/metrics.hpp"
#include "middlewares/security/address_range.hpp"
#include "middlewares/security/option_file.hpp"

namespace mqttstack {

using mqtt::ReasonCode;
using nlohmann::json;

namespace {

/// What every question says of whom it is about.
json describe(const char* action, const broker::Identity& who) {
  return {{"action", action},
          {"client_id", who.clientId()},
          {"address", who.address()},
          {"listener", who.listener()}};
}

const char* nameOf(Action action) {
  return action == Action::publish ? "publish" : action == Action::subscribe ? "subscribe" : "will";
}

}  // namespace

/// One question on its way to the service. What it is about is looked at only
/// while the walk waits for `answer`.
class HttpAuth::Question final : public Job {
public:
  /// Gets null if there is no answer.
  using Settle = std::function<Flow(const Answer*, TimePoint asked)>;

  Question(HttpAuth& middleware, const std::string& url, std::string text, const Digest& digest,
           Settle settle, Deferred deferred)
      : middleware_{middleware},
        url_{url},
        text_{std::move(text)},
        http_{middleware.http_},
        digest_{digest},
        settle_{std::move(settle)},
        deferred_{std::move(deferred)},
        asked_{middleware.scheduler().now()} {}
  ~Question() override { OPENSSL_cleanse(text_.data(), text_.size()); }

  void run() noexcept override {
    answer_ = read(postJson(url_, text_, *http_, middleware_.stopping_));
  }
  void finish() override {
    if (answer_) {
      middleware_.remember(digest_, *answer_, asked_);
    } else {
      middleware_.failures_.add();
      if (middleware_.lines_.admits(middleware_.scheduler().now(), middleware_.log()))
        middleware_.log().warning("{} gave no answer: {}", nameOfUrl(url_),
                                  mqtt::printable(answer_.error()));
    }
    deferred_.settleWith([this] { return settle_(answer_ ? &*answer_ : nullptr, asked_); });
  }
  void refuse() override {
    middleware_.failures_.add();
    deferred_.settleWith([this] { return settle_(nullptr, asked_); });
  }

private:
  HttpAuth& middleware_;
  const std::string& url_;
  std::string text_;
  std::shared_ptr<const HttpSettings> http_;
  Digest digest_;
  Settle settle_;
  Deferred deferred_;
  TimePoint asked_;
  Expected<Answer, std::string> answer_{Answer{}};
};

void HttpAuth::Options::declare(OptionTable<Options>& table) {
  table.add("authenticate_url", &Options::authenticateUrl,
            "Where logins are asked about; empty: not at all.");
  table.add("authorize_url", &Options::authorizeUrl,
            "Where publishing and subscribing is asked about; empty: not at all.");
  table.add("timeout", &Options::timeout, "How long an answer may take.")
      .range(std::chrono::milliseconds{10}, std::chrono::minutes{1});
  table.add("cache", &Options::cache, "How long an answer is remembered; 0 for not at all.")
      .range(TimeSpan{0}, std::chrono::hours{1});
  table.addChoice("on_error", &Options::onError,
                  {{"deny", OnError::deny}, {"allow", OnError::allow}},
                  "What counts when the service gives no answer.");
  table.add("ca_file", &Options::caFile,
            "The certificates (PEM) that vouch for the service; empty: those that the system "
            "trusts.");
  table.add("authorization_file", &Options::authorizationFile,
            "A file whose line is sent as the header Authorization, such as \"Bearer …\".");
  table.add("threads", &Options::threads, "How many questions are asked at the same time.")
      .range(1, 256);
  table
      .add("queue", &Options::queue,
           "How many questions may wait, addresses in turn. Beyond that the service counts as one "
           "that gives no answer.")
      .range(1, 100'000);
}

HttpAuth::HttpAuth(Setup& setup, const Options& options, Diagnostics& diagnostics)
    : Middleware{setup},
      options_{options},
      http_{std::make_shared<HttpSettings>()},
      failures_{
          setup.metrics.counter("http_auth_failures", "questions that the service did not answer")},
      loop_{setup.loop},
      self_{std::make_shared<HttpAuth*>(this)},
      worker_{setup.loop, options.queue, options.threads} {
  if (RAND_bytes(key_.data(), static_cast<int>(key_.size())) != 1)
    diagnostics.error("OpenSSL has no random numbers");
  if (options.authenticateUrl.empty() && options.authorizeUrl.empty())
    diagnostics.error("there is no service to ask", "give authenticate_url or authorize_url");
  check("authenticate_url", options.authenticateUrl, diagnostics);
  check("authorize_url", options.authorizeUrl, diagnostics);
  if (options.onError == OnError::allow)
    diagnostics.warningAt("on_error",
                          "everybody is let in, and may do everything, while the service is down");
  reload(diagnostics);
}

HttpAuth::~HttpAuth() {
  *self_ = nullptr;
  OPENSSL_cleanse(key_.data(), key_.size());
}

void HttpAuth::check(const char* option, const std::string& url, Diagnostics& diagnostics) const {
  if (url.empty()) return;
  const UrlKind kind = kindOfUrl(url);
  if (kind == UrlKind::invalid)
    diagnostics.errorAt(option, "it is no URL that can be used",
                        "for example: https://auth.example.org/mqtt, without user and password");
  if (kind == UrlKind::httpRemote)
    diagnostics.warningAt(option, "what is asked goes over the network in the clear",
                          "use https://");
}

bool HttpAuth::reload(Diagnostics& diagnostics) {
  const std::size_t before = diagnostics.errorCount();
  auto http = std::make_shared<HttpSettings>();
  http->timeout = options_.timeout;
  // The TLS library reads it for each connection; here it is only looked at.
  http->caFile = options_.caFile.string();
  if (!options_.caFile.empty()) readOptionFile("ca_file", options_.caFile, diagnostics);
  const auto& path = options_.authorizationFile;
  if (!path.empty()) {
    if (const auto text = readOptionFile("authorization_file", path, diagnostics)) {
      warnIfPublic("authorization_file", path, diagnostics);
      http->authorization = text->substr(0, text->find_first_of("\r\n"));
    }
  }
  if (diagnostics.errorCount() != before) return false;
  http_ = std::move(http);
  return true;
}

std::optional<Severity> HttpAuth::unasked(std::string_view callback) const {
  const std::string& url =
      callback == AuthenticateConnection::kName ? options_.authenticateUrl : options_.authorizeUrl;
  return url.empty() ? std::nullopt : Middleware::unasked(callback);
}

void HttpAuth::start(Diagnostics&) {
  stopping_ = false;
  worker_.start();
  // Everybody else has started by then, and brought back what was stored.
  loop_.post([self = self_] {
    if (*self) (*self)->firstOwn_ = broker::Message::create(broker::MessageFields{})->sequence();
  });
}

void HttpAuth::stop() {
  stopping_ = true;
  worker_.stop();
}

/// What a reply means, or why it is no answer.
Expected<HttpAuth::Answer, std::string> HttpAuth::read(const HttpReply& reply) {
  const auto wrong = [](std::string why) { return Unexpected{std::move(why)}; };
  Answer answer;
  if (reply.status == 0) return wrong(reply.error);
  if (reply.status == 401 || reply.status == 403) {
    answer.opinion = Opinion::deny;
    return answer;
  }
  const std::string status = "status " + std::to_string(reply.status);
  if (reply.status != 200) return wrong(status);
  const json body = json::parse(reply.body, nullptr, false);
  if (!body.is_object()) return wrong(status + ", but no JSON object");
  const auto result = body.find("result");
  if (result == body.end()) return wrong(status + ", but no \"result\"");
  if (*result == "allow")
    answer.opinion = Opinion::allow;
  else if (*result == "deny")
    answer.opinion = Opinion::deny;
  else if (*result != "ignore")
    return wrong("\"result\" is none of \"allow\", \"deny\" and \"ignore\"");

  if (const auto user = body.find("user"); user != body.end()) {
    if (!user->is_string()) return wrong("\"user\" is no text");
    answer.user = user->get<std::string>();
  }
  if (const auto groups = body.find("groups"); groups != body.end()) {
    const auto isText = [](const json& each) { return each.is_string(); };
    if (!groups->is_array() || !std::all_of(groups->begin(), groups->end(), isText))
      return wrong("\"groups\" is no list of texts");
    answer.groups = groups->get<std::vector<std::string>>();
  }
  if (const auto seconds = body.find("expires_in"); seconds != body.end()) {
    constexpr std::uint64_t kLongest = 1'000'000'000;
    if (!seconds->is_number_unsigned()) return wrong("\"expires_in\" is no number of seconds");
    answer.expiresIn = std::chrono::seconds{std::min(seconds->get<std::uint64_t>(), kLongest)};
  }
  return answer;
}

template <class Callback>
Flow HttpAuth::ask(Callback& callback, const std::string& url, std::string text, Next next,
                   Done done) {
  const Digest digest = digestOf(text);
  if (const Remembered* known = recall(digest)) {
    OPENSSL_cleanse(text.data(), text.size());
    return conclude(callback, known->answer, known->asked, next, done);
  }
  return next.defer([&](Deferred deferred) {
    worker_.submit(laneOf(callback.identity.address()),
                   std::make_unique<Question>(
                       *this, url, std::move(text), digest,
                       [this, &callback, next](const Answer* answer, TimePoint asked) {
                         return answer ? conclude(callback, *answer, asked, next, Done{})
                                       : failed(callback, next, Done{});
                       },
                       std::move(deferred)));
  });
}

// Who it is.

Flow HttpAuth::on(AuthenticateConnection& login, Next next, Done done) {
  if (options_.authenticateUrl.empty()) return next();
  json question = describe("authenticate", login.identity);
  if (login.userName) question["user"] = *login.userName;
  if (login.password) {
    // JSON has no bytes; a password that is no text is nobody's.
    if (!mqtt::isValidUtf8(*login.password)) {
      login.verdict.deny(name(), ReasonCode::badUserNameOrPassword);
      return done();
    }
    question["password"] = *login.password;
  }
  if (login.certificate) question["certificate_name"] = login.identity.certificateName();
  return ask(login, options_.authenticateUrl, question.dump(), next, done);
}

Flow HttpAuth::failed(AuthenticateConnection& login, Next next, Done done) {
  if (options_.onError == OnError::deny) return next(ReasonCode::serverUnavailable);
  login.verdict.allow(name());
  return done();
}

Flow HttpAuth::conclude(AuthenticateConnection& login, const Answer& answer, TimePoint asked,
                        Next next, Done done) {
  if (answer.opinion == Opinion::none) return next();
  if (answer.opinion == Opinion::deny) {
    login.verdict.deny(name(), ReasonCode::badUserNameOrPassword);
    return done();
  }
  login.verdict.allow(name());
  login.principal = answer.user;
  login.groups = answer.groups;
  if (answer.expiresIn) login.validUntil = asked + *answer.expiresIn;
  return done();
}

// What it may do.

Flow HttpAuth::on(AuthorizePacket& question, Next next, Done done) {
  if (options_.authorizeUrl.empty()) return next();
  const broker::Identity& who = question.identity;
  json text = describe(nameOf(question.action), who);
  if (!who.anonymous()) text["user"] = who.principal();
  text["anonymous"] = who.anonymous();
  text["groups"] = who.groups();
  text["topic"] = question.topic;
  text["qos"] = static_cast<int>(question.qos);
  text["retain"] = question.retain;
  return ask(question, options_.authorizeUrl,
             text.dump(-1, ' ', false, json::error_handler_t::replace), next, done);
}

Flow HttpAuth::failed(AuthorizePacket& question, Next next, Done done) {
  if (options_.onError == OnError::deny) return next(std::make_error_code(std::errc::io_error));
  learn(question);
  question.verdict.allow(name());
  return done();
}

Flow HttpAuth::conclude(AuthorizePacket& question, const Answer& answer, TimePoint, Next next,
                        Done done) {
  if (answer.opinion == Opinion::none) return next();
  if (answer.opinion == Opinion::deny) {
    question.verdict.deny(name(), ReasonCode::notAuthorized);
    return done();
  }
  learn(question);
  question.verdict.allow(name());
  return done();
}

Flow HttpAuth::on(AuthorizeDelivery& question, SyncNext next, Done done) {
  if (options_.authorizeUrl.empty()) return next();
  const std::string_view topic = question.message.topic();
  const auto known = rights_.find(&question.identity);
  const bool allowed = question.asAuthor
                           ? question.message.sequence() < firstOwn_ ||
                                 home().handlerCount<AuthorizeDelivery>() == 1 ||
                                 (known != rights_.end() && known->second.retained.contains(topic))
                           : known != rights_.end() && known->second.mayRead(topic);
  // Who comes back, after a restart for example, is asked about again before it is sent
  // anything; until then nothing is known of it.
  question.undecided = !question.asAuthor;
  if (!allowed) return next();
  question.verdict.allow(name());
  return done();
}

/// What the service has allowed once stays allowed for the identity.
Flow HttpAuth::on(AuthorizeReception& question, SyncNext next, Done done) {
  const auto known = rights_.find(&question.identity);
  if (options_.authorizeUrl.empty() || known == rights_.end()) return next();
  question.everything = known->second.mayReadAll(question.filter);
  return question.everything ? done() : next();
}

bool HttpAuth::Rights::mayRead(std::string_view topic) const {
  return topics.contains(topic) ||
         std::any_of(filters.begin(), filters.end(),
                     [&](const auto& each) { return mqtt::matches(each, topic); });
}

bool HttpAuth::Rights::mayReadAll(std::string_view filter) const {
  return topics.contains(filter) ||
         std::any_of(filters.begin(), filters.end(),
                     [&](const auto& each) { return mqtt::contains(each, filter); });
}

/// Keeps what somebody may do, for as long as anybody else knows who that is.
void HttpAuth::learn(const AuthorizePacket& allowed) {
  if (allowed.action != Action::subscribe && !allowed.retain) return;
  if (rights_.size() >= sweepAt_) {
    std::erase_if(rights_, [](const auto& each) { return each.second.identity->owners() == 1; });
    sweepAt_ = std::max<std::size_t>(1024, 2 * rights_.size());
  }
  Rights& rights = rights_[&allowed.identity];
  if (!rights.identity) rights.identity = broker::IdentityPtr{&allowed.identity};
  if (allowed.action != Action::subscribe) {
    if (rights.retained.size() >= kRetained) rights.retained.clear();
    rights.retained.emplace(allowed.topic);
    return;
  }
  if (allowed.session) keepSubscribed(rights, *allowed.session);
  (mqtt::hasWildcard(allowed.topic) ? rights.filters : rights.topics).emplace(allowed.topic);
}

/// Forgets what a session is not subscribed to any more, or never came to be, once
/// there may be much of that.
void HttpAuth::keepSubscribed(Rights& rights, const broker::Session& session) const {
  constexpr std::size_t kSpare = 100;
  const std::size_t known = rights.topics.size() + rights.filters.size();
  if (known <= 2 * std::size_t{session.subscriptions()} + kSpare) return;
  LookupSubscriptions lookup{session, session.clientId()};
  Stack& stack = session.stack() ? *session.stack() : home();
  if (stack.run(lookup) || lookup.subscriptions.size() != session.subscriptions()) return;
  std::set<std::string_view> subscribed;
  for (const StoredSubscription& each : lookup.subscriptions)
    subscribed.insert(mqtt::splitSharedFilter(each.filter).filter);
  const auto gone = [&](const std::string& each) { return !subscribed.contains(each); };
  std::erase_if(rights.topics, gone);
  std::erase_if(rights.filters, gone);
}

// Answers that are remembered.

HttpAuth::Digest HttpAuth::digestOf(std::string_view text) const {
  Digest digest{};
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), nullptr);
  return digest;
}

std::size_t HttpAuth::DigestHash::operator()(const Digest& digest) const noexcept {
  std::size_t bytes = 0;
  std::memcpy(&bytes, digest.data(), sizeof bytes);
  return bytes;
}

const HttpAuth::Remembered* HttpAuth::recall(const Digest& digest) const {
  const auto found = remembered_.find(digest);
  if (found == remembered_.end() || scheduler().now() >= found->second.asked + options_.cache)
    return nullptr;
  return &found->second;
}

void HttpAuth::remember(const Digest& digest, const Answer& answer, TimePoint asked) {
  if (options_.cache <= TimeSpan::zero()) return;
  const TimePoint now = scheduler().now();
  if (remembered_.size() >= kRemembered)
    std::erase_if(remembered_,
                  [&](const auto& each) { return now >= each.second.asked + options_.cache; });
  if (remembered_.size() >= kRemembered) remembered_.clear();
  remembered_[digest] = {answer, asked};
}

}  // namespace mqttstack
