#include "core/net/listener.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <utility>

#include "core/net/socket_transport.hpp"
#include "core/net/tls_transport.hpp"

namespace mqttstack::net {
namespace {

constexpr int kBacklog = 4096;
constexpr int kAcceptsPerEvent = 64;
constexpr std::chrono::milliseconds kRest{100};
constexpr std::chrono::seconds kComplaintInterval{1};

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

std::string errorText(int error) { return std::generic_category().message(error); }

std::string remedyFor(int error) {
  switch (error) {
    case EADDRINUSE:
      return "another program listens there; stop it or choose another port";
    case EACCES:
      return "ports below 1024 need the capability CAP_NET_BIND_SERVICE; grant it, have systemd "
             "pass the socket, or choose a higher port";
    case EADDRNOTAVAIL:
      return "no network interface of this machine has that address";
    case EAFNOSUPPORT:
      return "this machine has no such address family (is IPv6 switched off?)";
    case EMFILE:
    case ENFILE:
      return "raise the limit of open files (LimitNOFILE=)";
    default:
      return "";
  }
}

/// "127.0.0.1:1883", or the path of a Unix socket.
std::string describe(const sockaddr* address, socklen_t size) {
  sockaddr_storage storage{};
  std::memcpy(&storage, address, size);
  if (storage.ss_family != AF_UNIX) return PeerAddress::fromSockaddr(storage).text();
  sockaddr_un local{};
  std::memcpy(&local, &storage, std::min<std::size_t>(size, sizeof local));
  std::string path{local.sun_path, size > offsetof(sockaddr_un, sun_path)
                                       ? size - offsetof(sockaddr_un, sun_path)
                                       : 0};
  if (path.empty()) return "local";
  if (path.front() == '\0') return "@" + path.substr(1);
  return path.substr(0, path.find('\0'));
}

void setOption(int descriptor, int level, int option, int value) {
  ::setsockopt(descriptor, level, option, &value, sizeof value);
}

void setPort(sockaddr* address, std::uint16_t port) {
  if (address->sa_family == AF_INET)
    reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(port);
  else
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(port);
}

Descriptor openSpare() { return Descriptor{::open("/dev/null", O_RDONLY | O_CLOEXEC)}; }

/// Options that accepted sockets inherit, which saves system calls for each and
/// every connection. A Unix socket does without.
void prepareForClients(int fd, const ListenerOptions& options) {
  setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (options.tcpKeepAlive.count() > 0) {
    const int idle = static_cast<int>(options.tcpKeepAlive.count());
    setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    setOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle);
    setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, idle / 3));
    setOption(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
  }
  if (options.tcpUserTimeout.count() > 0)
    setOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(options.tcpUserTimeout.count()));
}

/// A listening socket, or the errno of what failed.
Expected<Descriptor, int> listenOn(const addrinfo& where, const ListenerOptions& options) {
  Descriptor socket{::socket(where.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (!socket) return Unexpected{errno};
  const int fd = socket.get();
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (where.ai_family == AF_INET6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  prepareForClients(fd, options);
  if (::bind(fd, where.ai_addr, where.ai_addrlen) != 0) return Unexpected{errno};
  if (::listen(fd, kBacklog) != 0) return Unexpected{errno};
  return socket;
}

}  // namespace

/// One listening socket.
class Listener::Socket final : public EventTarget {
public:
  Socket(Listener& owner, Descriptor socket)
      : owner_{owner},
        socket_{std::move(socket)},
        token_{owner.reactor_.add(*this)} {}
  ~Socket() { owner_.reactor_.remove(token_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  std::error_code watch() { return owner_.reactor_.watch(token_, socket_.get(), EPOLLIN); }
  void setAccepting(bool accepting) {
    const std::uint32_t events = EPOLLIN;
    owner_.reactor_.rewatch(token_, socket_.get(), accepting ? events : 0);
  }
  PeerAddress address() const {
    socklen_t size = 0;
    return PeerAddress::fromSockaddr(name(size));
  }
  std::string text() const {
    socklen_t size = 0;
    const sockaddr_storage where = name(size);
    return describe(reinterpret_cast<const sockaddr*>(&where), size);
  }

  void onEvents(std::uint32_t) override {
    for (int i = 0; i < kAcceptsPerEvent; ++i)
      if (owner_.acceptOne(socket_.get()) != Accepted::one) return;
  }
  void onSoon() override {}

private:
  sockaddr_storage name(socklen_t& size) const {
    sockaddr_storage storage{};
    size = sizeof storage;
    ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&storage), &size);
    return storage;
  }

  Listener& owner_;
  Descriptor socket_;
  Reactor::Token token_;
};

Listener::Listener(Reactor& reactor, ListenerOptions options, OnAccept onAccept,
                   OnTrouble onTrouble)
    : reactor_{reactor},
      options_{std::move(options)},
      name_{std::make_shared<const std::string>(options_.name)},
      onAccept_{std::move(onAccept)},
      onTrouble_{std::move(onTrouble)},
      spare_{openSpare()},
      restTimer_{reactor.io()} {}

Listener::~Listener() = default;

std::string ListenError::text() const {
  return remedy.empty() ? message : message + " (" + remedy + ")";
}

Expected<std::unique_ptr<Listener>, ListenError> Listener::open(Reactor& reactor,
                                                                ListenerOptions options,
                                                                OnAccept onAccept,
                                                                OnTrouble onTrouble) {
  std::unique_ptr<Listener> listener{
      new Listener{reactor, std::move(options), std::move(onAccept), std::move(onTrouble)}};
  if (auto opened = listener->openAll(); !opened) return Unexpected{opened.error()};
  if (auto watched = listener->watchAll(); !watched) return Unexpected{watched.error()};
  return listener;
}

Expected<std::unique_ptr<Listener>, ListenError> Listener::adopt(Reactor& reactor,
                                                                 ListenerOptions options,
                                                                 std::vector<Descriptor> sockets,
                                                                 OnAccept onAccept,
                                                                 OnTrouble onTrouble) {
  std::unique_ptr<Listener> listener{
      new Listener{reactor, std::move(options), std::move(onAccept), std::move(onTrouble)}};
  for (Descriptor& socket : sockets) {
    const int fd = socket.get();
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    prepareForClients(fd, listener->options_);
    listener->sockets_.push_back(std::make_unique<Socket>(*listener, std::move(socket)));
  }
  listener->port_ = listener->sockets_.front()->address().port();
  if (auto watched = listener->watchAll(); !watched) return Unexpected{watched.error()};
  return listener;
}

Expected<void, ListenError> Listener::openAll() {
  const Endpoint& endpoint = options_.endpoint;
  const auto failed = [](std::error_code code, const std::string& address, const std::string& why,
                         std::string remedy) {
    return ListenError{code, address, "cannot listen on " + address + ": " + why,
                       std::move(remedy)};
  };
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(endpoint.port);
  const char* host = endpoint.host == "*" ? nullptr : endpoint.host.c_str();
  if (const int error = ::getaddrinfo(host, port.c_str(), &hints, &found); error != 0)
    return Unexpected{failed(std::make_error_code(std::errc::address_not_available),
                             endpoint.text(), ::gai_strerror(error),
                             "check the name, or write an address such as 127.0.0.1")};
  const AddressList addresses{found, &::freeaddrinfo};

  ListenError problem;
  for (addrinfo* each = found; each; each = each->ai_next) {
    // All addresses of a name share the port that the first one was given.
    if (port_ != 0) setPort(each->ai_addr, port_);
    auto socket = listenOn(*each, options_);
    if (!socket) {
      const int error = socket.error();
      problem = failed({error, std::generic_category()}, describe(each->ai_addr, each->ai_addrlen),
                       errorText(error), remedyFor(error));
      // A name may stand for an address family that this machine lacks.
      if (error == EAFNOSUPPORT || error == EADDRNOTAVAIL) continue;
      return Unexpected{problem};
    }
    auto& added = sockets_.emplace_back(std::make_unique<Socket>(*this, std::move(socket).value()));
    if (port_ == 0) port_ = added->address().port();
  }
  if (sockets_.empty()) return Unexpected{problem};
  return {};
}

Expected<void, ListenError> Listener::watchAll() {
  for (const auto& socket : sockets_)
    if (const auto error = socket->watch())
      return Unexpected{ListenError{error, socket->text(),
                                    "cannot listen on " + socket->text() + ": " + error.message(),
                                    remedyFor(error.value())}};
  return {};
}

std::string Listener::text() const {
  std::string all;
  for (const auto& socket : sockets_) all += (all.empty() ? "" : ", ") + socket->text();
  return all;
}

bool Listener::isLoopback() const {
  return std::all_of(sockets_.begin(), sockets_.end(),
                     [](const auto& socket) { return socket->address().isLoopback(); });
}

Listener::Accepted Listener::acceptOne(int listening) {
  sockaddr_storage from{};
  socklen_t size = sizeof from;
  Descriptor socket{::accept4(listening, reinterpret_cast<sockaddr*>(&from), &size,
                              SOCK_NONBLOCK | SOCK_CLOEXEC)};
  if (!socket) {
    switch (errno) {
      case EAGAIN:
        return Accepted::none;
      case ECONNABORTED:
      case EINTR:
      case EPROTO:
        return Accepted::one;
      default:
        outOfDescriptors(listening, errno);
        return Accepted::none;
    }
  }
  PeerInfo peer{PeerAddress::fromSockaddr(from), name_};
  Admission admission;
  if (options_.admissions) {
    auto admitted = options_.admissions->admit(peer.address(), std::chrono::steady_clock::now());
    if (!admitted) {
      refuse(std::move(socket), peer.address(), admitted.error());
      return Accepted::one;
    }
    admission = std::move(admitted).value();
  }
  std::unique_ptr<SocketTransport> transport;
  if (options_.tls)
    transport =
        std::make_unique<TlsTransport>(reactor_, std::move(socket), std::move(peer), *options_.tls);
  else
    transport = std::make_unique<SocketTransport>(reactor_, std::move(socket), std::move(peer));
  transport->setAdmission(std::move(admission));
  const std::weak_ptr alive{alive_};
  onAccept_(std::move(transport));
  return alive.expired() ? Accepted::gone : Accepted::one;
}

void Listener::outOfDescriptors(int listening, int error) {
  std::uint64_t droppedNow = 0;
  if (error == EMFILE || error == ENFILE)
    while (droppedNow < kAcceptsPerEvent && dropOne(listening)) ++droppedNow;
  dropped_ += droppedNow;
  rest();
  const std::string remedy = remedyFor(error);
  complain("listener \"" + *name_ + "\" cannot accept: " + errorText(error) +
           (remedy.empty() ? "" : " (" + remedy + ")") + "; " + std::to_string(dropped_) +
           " connections dropped so far");
}

// Accepts with the spare descriptor and hangs up, so that the peer need not wait
// for a broker that has no room.
bool Listener::dropOne(int listening) {
  if (!spare_) spare_ = openSpare();
  if (!spare_) return false;
  spare_.reset();
  Descriptor victim{::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC)};
  const bool dropped = static_cast<bool>(victim);
  victim.reset();
  spare_ = openSpare();
  return dropped;
}

// With a reset, which costs no state of a closed connection here.
void Listener::refuse(Descriptor socket, const PeerAddress& from, Refusal refusal) {
  const linger atOnce{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &atOnce, sizeof atOnce);
  socket.reset();
  const std::uint64_t count = ++refused_[static_cast<std::size_t>(refusal)];
  if (onRefused_) onRefused_(refusal);
  complain("listener \"" + *name_ + "\" refuses " + from.host() + ": the limit " +
           std::string{toString(refusal)} +
           " is reached; connections refused for it so far: " + std::to_string(count));
}

void Listener::rest() {
  if (std::exchange(resting_, true)) return;
  for (const auto& socket : sockets_) socket->setAccepting(false);
  restTimer_.expires_after(kRest);
  restTimer_.async_wait([this, alive = std::weak_ptr{alive_}](std::error_code error) {
    if (error || alive.expired()) return;
    resting_ = false;
    for (const auto& socket : sockets_) socket->setAccepting(true);
  });
}

void Listener::complain(std::string_view line) {
  const auto now = std::chrono::steady_clock::now();
  if (!onTrouble_ || now - lastComplaint_ < kComplaintInterval) return;
  lastComplaint_ = now;
  onTrouble_(line);
}

}  // namespace mqttstack::net
