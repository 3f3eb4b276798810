#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"

namespace mqttstack {

/// Answers authenticateConnection by the certificate that a client has shown,
/// where the listener's CA vouches for it: a name in it is the user.
///
/// A name can be mapped by rules, "PATTERN = USER": the first that matches
/// decides. In a pattern, one `*` stands for any characters; in the user behind
/// it, for what these were. A name that no rule matches, and a certificate
/// without the name in question, are no opinion; without rules the name itself
/// is the user.
///
/// It has no opinion either about a CONNECT that names another user: that is for
/// an authenticator that knows passwords. A name that could be mistaken for a
/// wildcard, or is not printable, is denied.
class ClientCertificate final : public Middleware, public Handles<AuthenticateConnection> {
public:
  static constexpr std::string_view kName = "client_certificate";
  static constexpr std::string_view kSummary =
      "Lets clients in by their TLS certificate; a name in it is the user.";
  static constexpr bool kNeedsCertificate = true;

  enum class Field : std::uint8_t { commonName, dns, email, uri };
  struct Options {
    Field name = Field::commonName;
    std::vector<std::string> map;
    std::vector<std::string> groups;

    static void declare(OptionTable<Options>& table);
  };

  ClientCertificate(Setup& setup, const Options& options, Diagnostics& diagnostics);

  Flow on(AuthenticateConnection& login, Next next, Done done) override;

private:
  struct Rule {
    std::string before;  // the pattern, up to its "*" if it has one
    std::string behind;
    std::string user;
    bool wild = false;
  };
  static std::optional<Rule> parse(std::string_view text);
  static std::optional<std::string> apply(const Rule& rule, std::string_view name);

  std::vector<std::string> namesIn(const net::TlsInfo& certificate) const;
  std::optional<std::string> userOf(const net::TlsInfo& certificate) const;

  Field field_;
  std::vector<Rule> rules_;
  std::vector<std::string> groups_;
};

}  // namespace mqttstack
