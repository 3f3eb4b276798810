#include "middlewares/backends/identity_text.hpp"

#include <array>
#include <memory>
#include <utility>
#include <vector>

namespace mqttstack {

namespace {

constexpr std::string_view kAnonymous = "anonymous";
constexpr std::size_t kFields = 6;  // in front of groups and rights

// What the fields behind begin with.
constexpr char kGroup = 'g';
constexpr char kRights = 'r';  // there are any, if only none
constexpr char kPublish = 'p';
constexpr char kSubscribe = 's';
constexpr char kBoth = 'b';

void append(std::string& text, std::string_view field) {
  for (const char c : field) {
    if (c == '\t')
      text += "\\t";
    else if (c == '\n')
      text += "\\n";
    else if (c == '\\')
      text += "\\\\";
    else
      text += c;
  }
}

void append(std::string& text, char kind, std::string_view field) {
  text += '\t';
  text += kind;
  append(text, field);
}

/// Adds a group or a right; false if the field is neither.
bool take(std::string&& field, broker::IdentityFields& identity,
          std::optional<std::vector<broker::Grant>>& grants) {
  if (field.empty()) return false;
  const char kind = field.front();
  field.erase(0, 1);
  if (kind == kGroup) {
    identity.groups.push_back(std::move(field));
    return true;
  }
  if (kind == kRights && field.empty() && !grants) {
    grants.emplace();
    return true;
  }
  if (!grants || (kind != kPublish && kind != kSubscribe && kind != kBoth)) return false;
  grants->push_back({std::move(field), kind != kSubscribe, kind != kPublish});
  return true;
}

/// The fields without their escapes; none if an escape is none.
std::optional<std::vector<std::string>> split(std::string_view text) {
  std::vector<std::string> fields(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\t') {
      fields.emplace_back();
    } else if (text[i] != '\\') {
      fields.back() += text[i];
    } else {
      const char escaped = ++i < text.size() ? text[i] : '\0';
      if (escaped != 't' && escaped != 'n' && escaped != '\\') return std::nullopt;
      fields.back() += escaped == 't' ? '\t' : escaped == 'n' ? '\n' : '\\';
    }
  }
  return fields;
}

}  // namespace

std::string identityToText(const broker::Identity& identity) {
  const std::string_view anonymous = identity.anonymous() ? kAnonymous : "";
  const std::array<std::string_view, kFields> fields{
      identity.principal(), identity.clientId(),        identity.address(),
      identity.listener(),  identity.certificateName(), anonymous};
  std::string text;
  for (std::size_t i = 0; i < kFields; ++i) {
    if (i != 0) text += '\t';
    append(text, fields[i]);
  }
  for (const std::string& group : identity.groups()) append(text, kGroup, group);
  if (!identity.grants()) return text;
  append(text, kRights, {});
  for (const broker::Grant& grant : *identity.grants())
    append(text, !grant.subscribe ? kPublish : grant.publish ? kBoth : kSubscribe, grant.filter);
  return text;
}

std::optional<broker::IdentityFields> identityFromText(std::string_view text) {
  auto fields = split(text);
  if (!fields || fields->size() < kFields) return std::nullopt;
  const std::string& anonymous = (*fields)[5];
  if (!anonymous.empty() && anonymous != kAnonymous) return std::nullopt;
  broker::IdentityFields identity;
  identity.principal = std::move((*fields)[0]);
  identity.clientId = std::move((*fields)[1]);
  identity.address = std::move((*fields)[2]);
  identity.listener = std::move((*fields)[3]);
  identity.certificateName = std::move((*fields)[4]);
  identity.anonymous = !anonymous.empty();
  std::optional<std::vector<broker::Grant>> grants;
  for (std::size_t i = kFields; i < fields->size(); ++i)
    if (!take(std::move((*fields)[i]), identity, grants)) return std::nullopt;
  if (grants)
    identity.grants = std::make_shared<const std::vector<broker::Grant>>(std::move(*grants));
  return identity;
}

}  // namespace mqttstack
