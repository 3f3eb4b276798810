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
class Identity : public RefCounted<Identity> {
public:
  explicit Identity(IdentityFields fields) : fields_{std::move(fields)} {}

  /// All of it, to make another identity from.
  const IdentityFields& fields() const noexcept { return fields_; }
  const std::string& principal() const noexcept { return fields_.principal; }
  const std::string& clientId() const noexcept { return fields_.clientId; }
  const std::string& address() const noexcept { return fields_.address; }
  const std::string& listener() const noexcept { return fields_.listener; }
  const std::vector<std::string>& groups() const noexcept { return fields_.groups; }
  const Grants& grants() const noexcept { return fields_.grants; }
  const std::string& certificateName() const noexcept { return fields_.certificateName; }
  bool anonymous() const noexcept { return fields_.anonymous; }

  /// True if both stand for the same authenticated principal. A user who was
  /// authenticated as "anonymous" is not the same as one who gave no credentials.
  bool samePrincipal(const Identity& other) const noexcept {
    return anonymous() == other.anonymous() && principal() == other.principal();
  }

private:
  IdentityFields fields_;
};

using IdentityPtr = IntrusivePtr<const Identity>;

inline IdentityPtr makeIdentity(IdentityFields fields) {
  return IdentityPtr{new Identity{std::move(fields)}};
}

}  // namespace mqttstack::broker
