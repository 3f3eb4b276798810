#include "middlewares/security/acl_file.hpp"

#include <string>

#include "middlewares/security/option_file.hpp"

namespace mqttstack {

void AclFile::Options::declare(OptionTable<Options>& table) {
  table
      .add("path", &Options::path,
           "The file of rules: \"user NAME\", \"topic [read|write|readwrite|deny] FILTER\" and "
           "\"pattern …\" with %u and %c, one a line. What no rule allows is denied.")
      .required();
}

AclFile::AclFile(Setup& setup, const Options& options, Diagnostics& diagnostics)
    : Middleware{setup} {
  const auto text = readOptionFile("path", options.path, diagnostics);
  if (!text) return;
  rules_ = AclRules::compile(*text, [&](std::size_t line, const std::string& problem,
                                        const std::string& remedy) {
    diagnostics.errorAt("path", options.path.string() + ":" + std::to_string(line) + ": " + problem,
                        remedy, Fault::data);
  });
}

Flow AclFile::on(AuthorizePacket& question, Next next, Done done) {
  const AclRules::Decision decision = question.action == Action::subscribe
                                          ? rules_.maySubscribe(question.identity, question.topic)
                                          : rules_.mayWrite(question.identity, question.topic);
  return judge(question.verdict, decision) ? done() : next();
}

Flow AclFile::on(AuthorizeDelivery& question, SyncNext next, Done done) {
  const std::string_view topic = question.message.topic();
  if (const broker::IdentityPtr& author = question.message.author(); question.retained && author) {
    const AclRules::Decision publishing = rules_.mayWrite(*author, topic);
    if (publishing.outcome != AclRules::Outcome::allowed)
      return judge(question.verdict, publishing) ? done() : next();
  }
  return judge(question.verdict, rules_.mayRead(question.identity, topic)) ? done() : next();
}

bool AclFile::judge(Verdict& verdict, AclRules::Decision decision) const {
  if (decision.outcome == AclRules::Outcome::unmatched) return false;
  if (decision.outcome == AclRules::Outcome::allowed)
    verdict.allow(name(), decision.line);
  else
    verdict.deny(name(), mqtt::ReasonCode::notAuthorized, decision.line);
  return true;
}

}  // namespace mqttstack
