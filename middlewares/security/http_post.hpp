#pragma once

#include <atomic>
#include <chrono>
#include <string>

namespace mqttstack {

/// How a service is talked to.
struct HttpSettings {
  std::chrono::milliseconds timeout{5000};  ///< for all of it, from the name to the last byte
  std::string caFile;                       ///< who vouches for it; empty: who the system trusts
  std::string authorization;                ///< value of the header Authorization; empty: none
};

struct HttpReply {
  long status = 0;    ///< 0 if there is none, and then
  std::string error;  ///< says why
  std::string body;
};

/// Posts a JSON text and waits for the answer: for threads that may wait, each
/// of which keeps its connection for the next time. Knows HTTP and HTTPS, follows
/// no redirections, uses no proxy, and reads no more than 64 KiB. Gives up early
/// when `cancelled` becomes true.
HttpReply postJson(const std::string& url, const std::string& document,
                   const HttpSettings& settings, const std::atomic<bool>& cancelled);

/// Whether text is a URL that postJson() can use, and where it leads. One with user or
/// password is not: no option holds a secret.
enum class UrlKind { invalid, https, httpLocal, httpRemote };
UrlKind kindOfUrl(const std::string& url);

/// A URL as the log may have it: without what stands behind the path, which may be a
/// secret, and printable.
std::string nameOfUrl(const std::string& url);

}  // namespace mqttstack
