#pragma once

#include <type_traits>
#include <utility>

#include "core/util/intrusive_ptr.hpp"

namespace mqttstack {

class Client;

// Client is incomplete wherever a stack is used without one.
void retainClient(Client& client) noexcept;
void releaseClient(Client& client) noexcept;

/// Keeps alive the client that it names.
class ClientPin {
public:
  ClientPin() = default;
  ClientPin(ClientPin&& other) noexcept : client_{std::exchange(other.client_, nullptr)} {}
  ClientPin& operator=(ClientPin other) noexcept {
    std::swap(client_, other.client_);
    return *this;
  }
  ~ClientPin() {
    if (client_) releaseClient(*client_);
  }
  explicit ClientPin(Client* client) noexcept : client_{client} {
    if (client_) retainClient(*client_);
  }

private:
  Client* client_ = nullptr;
};

namespace detail {

struct NoPin {
  void take(const auto&) noexcept {}
};

template <class Ctx>
struct SessionPin : NoPin {};
template <class Ctx>
requires requires(Ctx& ctx) { ctx.session.retain(); }
struct SessionPin<Ctx> {
  IntrusivePtr<std::remove_reference_t<decltype(Ctx::session)>> pin;
  void take(Ctx& ctx) noexcept { pin = decltype(pin){&ctx.session}; }
};

template <class Ctx>
struct IdentityPin : NoPin {};
template <class Ctx>
requires requires(Ctx& ctx) { ctx.identity.retain(); }
struct IdentityPin<Ctx> {
  IntrusivePtr<std::remove_reference_t<decltype(Ctx::identity)>> pin;
  void take(Ctx& ctx) noexcept { pin = decltype(pin){&ctx.identity}; }
};

}  // namespace detail

/// Keeps alive what a context refers to while its walk waits: the members
/// `client`, `session` and `identity`, where the context has them as references
/// (`client` also as a pointer). Everything else that a context views belongs
/// to one of these, or to whoever executes the callback.
template <class Ctx>
class Pins {
public:
  void take(Ctx& ctx) noexcept {
    if constexpr (requires { static_cast<Client*>(ctx.client); })
      client_ = ClientPin{ctx.client};
    else if constexpr (requires { static_cast<Client&>(ctx.client); })
      client_ = ClientPin{&ctx.client};
    session_.take(ctx);
    identity_.take(ctx);
  }

private:
  [[no_unique_address]] ClientPin client_;
  [[no_unique_address]] detail::SessionPin<Ctx> session_;
  [[no_unique_address]] detail::IdentityPin<Ctx> identity_;
};

}  // namespace mqttstack
