#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/util/intrusive_ptr.hpp"

namespace mqttstack::broker {

/// A right that somebody's credentials bring along, such as a claim of a token:
/// what matches the filter may be published to, or subscribed to and received.
struct Grant {
  std::string filter;
  bool publish = false;
  bool subscribe = false;
};
/// Null if the credentials say nothing about rights; empty if they give none.
using Grants = std::shared_ptr<const std::vector<Grant>>;

/// What an Identity is made of. Filled in by whoever authenticated the client.
struct IdentityFields {
  std::string principal;  ///< who was authenticated; "anonymous" for nobody
  std::string clientId;   ///< the client identifier of the connection
  std::string address;    ///< the peer's address as text, without the port
  std::string listener;   ///< the name of the listener that accepted it
  std::vector<std::string> groups;
  Grants grants;                ///< what the credentials allow by themselves
  std::string certificateName;  ///< common name of a verified client certificate
  bool anonymous = false;       ///< nobody vouched for the principal
};

/// Who somebody is, as far as decisions are concerned. Immutable and counted:
/// a connection makes one when it is authenticated, and its messages, wills,
/// sessions and retained messages keep it, so that access can be judged long
/// after the connection has gone.
///
/// Every client has one, and few have groups, grants or a certificate: these are
/// a block of their own where there are any.
class Identity : public RefCounted<Identity> {
public:
  explicit Identity(IdentityFields fields)
      : anonymous_{fields.anonymous},
        principal_{std::move(fields.principal)},
        clientId_{std::move(fields.clientId)},
        address_{std::move(fields.address)},
        listener_{std::move(fields.listener)} {
    if (!fields.groups.empty() || fields.grants || !fields.certificateName.empty())
      more_ = std::make_unique<More>(More{std::move(fields.groups), std::move(fields.grants),
                                          std::move(fields.certificateName)});
  }

  /// All of it, to make another identity from.
  IdentityFields fields() const {
    return {principal_, clientId_, address_, listener_, groups(), grants(), certificateName(),
            anonymous_};
  }
  const std::string& principal() const noexcept { return principal_; }
  const std::string& clientId() const noexcept { return clientId_; }
  const std::string& address() const noexcept { return address_; }
  const std::string& listener() const noexcept { return listener_; }
  const std::vector<std::string>& groups() const noexcept { return more().groups; }
  const Grants& grants() const noexcept { return more().grants; }
  const std::string& certificateName() const noexcept { return more().certificateName; }
  bool anonymous() const noexcept { return anonymous_; }

  /// True if both stand for the same authenticated principal. A user who was
  /// authenticated as "anonymous" is not the same as one who gave no credentials.
  bool samePrincipal(const Identity& other) const noexcept {
    return anonymous() == other.anonymous() && principal() == other.principal();
  }

private:
  struct More {
    std::vector<std::string> groups;
    Grants grants;
    std::string certificateName;
  };
  inline static const More kNone{};
  const More& more() const noexcept { return more_ ? *more_ : kNone; }

  bool anonymous_;
  std::string principal_;
  std::string clientId_;
  std::string address_;
  std::string listener_;
  std::unique_ptr<const More> more_;
};

using IdentityPtr = IntrusivePtr<const Identity>;

inline IdentityPtr makeIdentity(IdentityFields fields) {
  return IdentityPtr{new Identity{std::move(fields)}};
}

}  // namespace mqttstack::broker
