#include "middlewares/security/acl_file.hpp"

#include <string>
#include <utility>

#include "core/stack/rights_version.hpp"
#include "middlewares/security/option_file.hpp"

namespace mqttstack {

void AclFile::Options::declare(OptionTable<Options>& table) {
  table
      .add("path", &Options::path,
           "The file of rules, one a line as \"topic [deny] "
           "[readwrite|read|write|publish|subscribe|receive] FILTER\", in sections by user, group, "
           "client, listener or address. What no rule allows is denied.")
      .required();
}

AclFile::AclFile(Setup& setup, const Options& options, Diagnostics& diagnostics)
    : Middleware{setup},
      path_{options.path} {
  if (!reload(diagnostics)) compiled_ = std::make_unique<Compiled>(AclRules{});
}

bool AclFile::reload(Diagnostics& diagnostics) {
  const std::size_t before = diagnostics.errorCount();
  const auto text = readOptionFile("path", path_, diagnostics);
  if (!text) return false;
  AclRules rules = AclRules::compile(
      *text, [&](std::size_t line, const std::string& problem, const std::string& remedy) {
        diagnostics.errorAt("path", path_.string() + ":" + std::to_string(line) + ": " + problem,
                            remedy, Fault::data);
      });
  if (diagnostics.errorCount() != before) return false;
  if (rules.empty())
    diagnostics.warningAt("path", path_.string() + " has no rules: it allows nobody anything",
                          "for example: topic readwrite home/#, below a line user alice");
  compiled_ = std::make_unique<Compiled>(std::move(rules));
  rightsHaveChanged();
  return true;
}

Flow AclFile::on(AuthorizePacket& question, Next next, Done done) {
  const AclAccess access =
      question.action == Action::subscribe ? AclAccess::subscribe : AclAccess::publish;
  return judge(question.verdict, question.identity, access, question.topic) ? done() : next();
}

Flow AclFile::on(AuthorizeDelivery& question, SyncNext next, Done done) {
  const AclAccess access = question.asAuthor ? AclAccess::publish : AclAccess::receive;
  return judge(question.verdict, question.identity, access, question.message.topic()) ? done()
                                                                                      : next();
}

Flow AclFile::on(AuthorizeReception& question, SyncNext next, Done done) {
  const auto reception = compiled_->rules.reception(question.identity, question.filter);
  if (reception == AclRules::Reception::undecided) return next();
  question.everything = reception == AclRules::Reception::everything;
  return done();
}

bool AclFile::judge(Verdict& verdict, const broker::Identity& who, AclAccess access,
                    std::string_view subject) const {
  const AclRules::Decision decision = compiled_->cache.decide(who, access, subject);
  if (decision.outcome == AclRules::Outcome::unmatched) return false;
  if (decision.outcome == AclRules::Outcome::allowed)
    verdict.allow(name(), decision.line);
  else
    verdict.deny(name(), mqtt::ReasonCode::notAuthorized, decision.line);
  return true;
}

}  // namespace mqttstack
