#pragma once

#include <filesystem>
#include <string_view>

#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "middlewares/security/acl_rules.hpp"

namespace mqttstack {

/// Answers authorizePacket and authorizeDelivery from a file of rules; AclRules
/// says what it looks like. About what no rule mentions it has no opinion, so
/// that the pipeline may list another authorizer behind it; where it is the only
/// one, that means no.
///
/// A retained message is delivered only while its author, too, may still publish
/// it by these rules, or it would outlive the right to have said it.
///
/// The file is read once, by the constructor.
class AclFile final : public Middleware,
                      public Handles<AuthorizePacket>,
                      public Handles<AuthorizeDelivery> {
public:
  static constexpr std::string_view kName = "acl_file";
  static constexpr std::string_view kSummary =
      "Allows and denies topics by the rules of a file: users, topics, patterns.";

  struct Options {
    std::filesystem::path path;

    static void declare(OptionTable<Options>& table);
  };

  AclFile(Setup& setup, const Options& options, Diagnostics& diagnostics);

  Flow on(AuthorizePacket& question, Next next, Done done) override;
  Flow on(AuthorizeDelivery& question, SyncNext next, Done done) override;

private:
  /// Gives the verdict that the rules came to; true if they came to one.
  bool judge(Verdict& verdict, AclRules::Decision decision) const;

  AclRules rules_;
};

}  // namespace mqttstack
