#include "middlewares/security/client_certificate.hpp"

#include <algorithm>

#include "core/mqtt/utf8.hpp"
#include "core/net/peer_info.hpp"

namespace mqttstack {
namespace {

std::string_view withoutSpaces(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

bool isGoodUser(std::string_view user) {
  return mqtt::isValidUtf8(user) && user.find_first_of("+#") == std::string_view::npos &&
         std::none_of(user.begin(), user.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

}  // namespace

void ClientCertificate::Options::declare(OptionTable<Options>& table) {
  table.addChoice("name", &Options::name,
                  {{"common_name", Field::commonName},
                   {"dns", Field::dns},
                   {"email", Field::email},
                   {"uri", Field::uri}},
                  "Which name of the certificate counts: the common name of its subject, or an "
                  "alternative name of that kind.");
  table.add("map", &Options::map,
            "Rules \"PATTERN = USER\" that make names into users, the first that matches: "
            "\"*.devices.example.org = *\". Without any, the name is the user.");
  table.add("groups", &Options::groups, "Groups that all who come in by certificate belong to.");
}

ClientCertificate::ClientCertificate(Setup& setup, const Options& options, Diagnostics& diagnostics)
    : Middleware{setup},
      field_{options.name},
      groups_{options.groups} {
  for (const std::string& text : options.map) {
    if (auto rule = parse(text))
      rules_.push_back(std::move(*rule));
    else
      diagnostics.errorAt("map", "\"" + text + "\" is no rule",
                          "a rule is \"PATTERN = USER\", with one * in the pattern at most, and "
                          "one in the user only if there is one in the pattern");
  }
}

std::optional<ClientCertificate::Rule> ClientCertificate::parse(std::string_view text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const std::string_view pattern = withoutSpaces(text.substr(0, equals));
  const std::string_view user = withoutSpaces(text.substr(equals + 1));
  const auto stars = std::count(pattern.begin(), pattern.end(), '*');
  if (pattern.empty() || user.empty() || stars > 1 ||
      std::count(user.begin(), user.end(), '*') > stars)
    return std::nullopt;
  Rule rule;
  rule.wild = stars == 1;
  const std::size_t star = std::min(pattern.find('*'), pattern.size());
  rule.before = pattern.substr(0, star);
  rule.behind = pattern.substr(std::min(star + 1, pattern.size()));
  rule.user = user;
  return rule;
}

/// The user that a rule makes of a name, if it matches.
std::optional<std::string> ClientCertificate::apply(const Rule& rule, std::string_view name) {
  if (!rule.wild) return name == rule.before ? std::optional{rule.user} : std::nullopt;
  if (name.size() < rule.before.size() + rule.behind.size() || !name.starts_with(rule.before) ||
      !name.ends_with(rule.behind))
    return std::nullopt;
  std::string user = rule.user;
  if (const std::size_t star = user.find('*'); star != std::string::npos)
    user.replace(
        star, 1,
        name.substr(rule.before.size(), name.size() - rule.before.size() - rule.behind.size()));
  return user;
}

std::vector<std::string> ClientCertificate::namesIn(const net::TlsInfo& certificate) const {
  switch (field_) {
    case Field::commonName:
      return {certificate.commonName};
    case Field::dns:
      return certificate.dnsNames;
    case Field::email:
      return certificate.emails;
    case Field::uri:
      return certificate.uris;
  }
  return {};
}

std::optional<std::string> ClientCertificate::userOf(const net::TlsInfo& certificate) const {
  for (const std::string& name : namesIn(certificate)) {
    if (name.empty()) continue;
    if (rules_.empty()) return name;
    for (const Rule& rule : rules_)
      if (auto user = apply(rule, name)) return user;
  }
  return std::nullopt;
}

Flow ClientCertificate::on(AuthenticateConnection& login, Next next, Done done) {
  if (!login.certificate) return next();
  auto user = userOf(*login.certificate);
  if (!user || user->empty() || (login.userName && *login.userName != *user)) return next();
  if (isGoodUser(*user)) {
    login.verdict.allow(name());
    login.principal = std::move(*user);
    login.groups = groups_;
  } else {
    login.verdict.deny(name(), mqtt::ReasonCode::notAuthorized);
  }
  return done();
}

}  // namespace mqttstack
