#include "middlewares/security/http_post.hpp"

#include <array>
#include <curl/curl.h>
#include <memory>
#include <optional>
#include <string_view>

#include "core/mqtt/text.hpp"

namespace mqttstack {
namespace {

constexpr std::size_t kLongestReply = 64 * 1024;

struct EndEasy {
  void operator()(CURL* handle) const noexcept { curl_easy_cleanup(handle); }
};
struct EndList {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};
struct EndUrl {
  void operator()(CURLU* url) const noexcept { curl_url_cleanup(url); }
};
using Headers = std::unique_ptr<curl_slist, EndList>;

void initOnce() {
  static const CURLcode kDone = curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(kDone);
}

/// This thread's, with the connection that it keeps.
CURL* handleOfThread() {
  initOnce();
  thread_local const std::unique_ptr<CURL, EndEasy> handle{curl_easy_init()};
  if (handle) curl_easy_reset(handle.get());
  return handle.get();
}

std::size_t receive(char* bytes, std::size_t, std::size_t count, void* reply) {
  std::string& body = static_cast<HttpReply*>(reply)->body;
  if (body.size() + count > kLongestReply) return 0;  // fails the transfer
  body.append(bytes, count);
  return count;
}

int progress(void* cancelled, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::atomic<bool>*>(cancelled)->load(std::memory_order_relaxed) ? 1 : 0;
}

bool append(Headers& headers, const std::string& line) {
  curl_slist* const longer = curl_slist_append(headers.get(), line.c_str());
  if (!longer) return false;
  static_cast<void>(headers.release());
  headers.reset(longer);
  return true;
}

/// A text taken apart; one that is no URL has no parts.
class Url {
public:
  explicit Url(const std::string& text) {
    initOnce();
    url_.reset(curl_url());
    if (url_ && curl_url_set(url_.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) url_.reset();
  }
  std::string part(CURLUPart which) const { return get(which).value_or(""); }
  /// Whether there is such a part, be it empty.
  bool has(CURLUPart which) const { return get(which).has_value(); }

private:
  std::optional<std::string> get(CURLUPart which) const {
    char* value = nullptr;
    if (!url_ || curl_url_get(url_.get(), which, &value, 0) != CURLUE_OK) return std::nullopt;
    std::string result{value};
    curl_free(value);
    return result;
  }

  std::unique_ptr<CURLU, EndUrl> url_;
};

}  // namespace

HttpReply postJson(const std::string& url, const std::string& document,
                   const HttpSettings& settings, const std::atomic<bool>& cancelled) {
  HttpReply reply;
  CURL* const handle = handleOfThread();
  Headers headers;
  if (!handle || !append(headers, "Content-Type: application/json") ||
      !append(headers, "Accept: application/json") || !append(headers, "Expect:") ||
      (!settings.authorization.empty() &&
       !append(headers, "Authorization: " + settings.authorization))) {
    reply.error = "libcurl has no memory";
    return reply;
  }
  std::array<char, CURL_ERROR_SIZE> why{};
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, why.data());
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(handle, CURLOPT_PROXY, "");
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!settings.caFile.empty()) curl_easy_setopt(handle, CURLOPT_CAINFO, settings.caFile.c_str());
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(settings.timeout.count()));
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(document.size()));
  curl_easy_setopt(handle, CURLOPT_POSTFIELDS, document.data());
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, receive);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &reply);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, progress);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &cancelled);
  const CURLcode result = curl_easy_perform(handle);
  // Nothing of this call may be looked at by the next one.
  if (result == CURLE_OK)
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &reply.status);
  else
    reply.error = why[0] != '\0' ? why.data() : curl_easy_strerror(result);
  curl_easy_reset(handle);
  return reply;
}

UrlKind kindOfUrl(const std::string& text) {
  const Url url{text};
  const std::string scheme = url.part(CURLUPART_SCHEME);
  const std::string host = url.part(CURLUPART_HOST);
  if (host.empty() || url.has(CURLUPART_USER) || url.has(CURLUPART_PASSWORD))
    return UrlKind::invalid;
  if (scheme == "https") return UrlKind::https;
  if (scheme != "http") return UrlKind::invalid;
  const bool local = host == "localhost" || host == "[::1]" || host.starts_with("127.");
  return local ? UrlKind::httpLocal : UrlKind::httpRemote;
}

std::string nameOfUrl(const std::string& text) {
  const Url url{text};
  const std::string port = url.part(CURLUPART_PORT);
  return mqtt::printable(url.part(CURLUPART_SCHEME) + "://" + url.part(CURLUPART_HOST) +
                         (port.empty() ? "" : ":" + port) + url.part(CURLUPART_PATH));
}

}  // namespace mqttstack
