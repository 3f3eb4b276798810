#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/names_listeners.hpp"
#include "core/stack/options.hpp"
#include "core/stack/reloadable.hpp"
#include "middlewares/security/acl_cache.hpp"
#include "middlewares/security/acl_rules.hpp"

namespace mqttstack {

/// Answers authorizePacket, authorizeDelivery and authorizeReception from a file of rules; AclRules
/// says what it looks like. About what no rule mentions it has no opinion, so
/// that the pipeline may list another authorizer behind it; where it is the only
/// one, that means no.
class AclFile final : public Middleware,
                      public Reloadable,
                      public NamesListeners,
                      public Handles<AuthorizePacket>,
                      public Handles<AuthorizeDelivery>,
                      public Handles<AuthorizeReception> {
public:
  static constexpr std::string_view kName = "acl_file";
  static constexpr std::string_view kSummary =
      "Allows and denies topics by the rules of a file: users, groups, topics, patterns.";

  struct Options {
    std::filesystem::path path;

    static void declare(OptionTable<Options>& table);
  };

  AclFile(Setup& setup, const Options& options, Diagnostics& diagnostics);

  /// Reads the file again. What it says takes the place of what was known if all
  /// of it is good; otherwise that is reported, nothing changes, and it returns
  /// false.
  bool reload(Diagnostics& diagnostics) override;

  std::vector<std::string> listenersNamed() const override {
    return compiled_->rules.listenersNamed();
  }

  Flow on(AuthorizePacket& question, Next next, Done done) override;
  Flow on(AuthorizeDelivery& question, SyncNext next, Done done) override;
  Flow on(AuthorizeReception& question, SyncNext next, Done done) override;

private:
  /// The rules and what they have decided.
  struct Compiled {
    explicit Compiled(AclRules theRules) : rules{std::move(theRules)} {}
    AclRules rules;
    AclCache cache{rules};
  };

  /// Gives the verdict that the rules come to; true if they come to one.
  bool judge(Verdict& verdict, const broker::Identity& who, AclAccess access,
             std::string_view subject) const;

  std::filesystem::path path_;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace mqttstack
