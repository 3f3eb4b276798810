#include "middlewares/backends/identity_text.hpp"

#include <array>
#include <vector>

namespace mqttstack {

namespace {

constexpr std::string_view kAnonymous = "anonymous";
constexpr std::size_t kFields = 6;  // in front of the groups

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
  for (const std::string& group : identity.groups()) {
    text += '\t';
    append(text, group);
  }
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
  identity.groups.assign(std::make_move_iterator(fields->begin() + kFields),
                         std::make_move_iterator(fields->end()));
  return identity;
}

}  // namespace mqttstack
