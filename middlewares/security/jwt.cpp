#include "middlewares/security/jwt.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/mqtt/topic.hpp"
#include "core/mqtt/utf8.hpp"
#include "middlewares/security/base64.hpp"

namespace mqttstack {
namespace {

using nlohmann::json;
using Failure = Unexpected<std::string>;

Failure because(std::string why) { return Failure{std::move(why)}; }

/// The parts of a token, as they stand in it.
struct TokenParts {
  std::string_view header;
  std::string_view payload;
  std::string_view signature;
  std::string_view signedText;
};

std::optional<TokenParts> partsOf(std::string_view token) {
  const std::size_t first = token.find('.');
  if (first == std::string_view::npos) return std::nullopt;
  const std::size_t second = token.find('.', first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos)
    return std::nullopt;
  return TokenParts{token.substr(0, first), token.substr(first + 1, second - first - 1),
                    token.substr(second + 1), token.substr(0, second)};
}

/// A part as the JSON object that it is; discarded otherwise.
json objectIn(std::string_view part) {
  const auto text = decodeBase64(part, Base64::url);
  json parsed = text ? json::parse(*text, nullptr, false) : json(json::value_t::discarded);
  if (!parsed.is_object()) return json(json::value_t::discarded);
  return parsed;
}

std::optional<std::string> textIn(const json& object, const std::string& member) {
  const auto found = object.find(member);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

/// A list of strings, or one string, which some issuers write for a list of one.
std::optional<std::vector<std::string>> textsIn(const json& object, const std::string& member) {
  const auto found = object.find(member);
  if (found == object.end()) return std::vector<std::string>{};
  if (found->is_string()) return std::vector<std::string>{found->get<std::string>()};
  if (!found->is_array()) return std::nullopt;
  std::vector<std::string> texts;
  for (const json& each : *found) {
    if (!each.is_string()) return std::nullopt;
    texts.push_back(each.get<std::string>());
  }
  return texts;
}

using WallTime = std::chrono::system_clock::time_point;

/// A date as RFC 7519 has it: seconds, perhaps with a fraction.
std::optional<WallTime> dateOf(const json& value) {
  constexpr double kLatest = 9e9;  // beyond it, arithmetic would overflow
  if (!value.is_number()) return std::nullopt;
  const double seconds = value.get<double>();
  if (!std::isfinite(seconds) || seconds < 0) return std::nullopt;
  return WallTime{std::chrono::duration_cast<WallTime::duration>(
      std::chrono::duration<double>{std::min(seconds, kLatest)})};
}

std::optional<JwtAlgorithm> algorithmNamed(const std::optional<std::string>& name) {
  if (name == "HS256") return JwtAlgorithm::hs256;
  if (name == "RS256") return JwtAlgorithm::rs256;
  if (name == "ES256") return JwtAlgorithm::es256;
  return std::nullopt;
}

/// The rights of a claim such as {"publish": ["a/#"], "subscribe": ["b/+"]}.
Expected<broker::Grants, std::string> grantsIn(const json& claims, const std::string& member) {
  const auto found = claims.find(member);
  if (member.empty() || found == claims.end()) return broker::Grants{};
  if (!found->is_object()) return because("its rights are no JSON object");
  auto grants = std::make_shared<std::vector<broker::Grant>>();
  for (const char* action : {"publish", "subscribe"}) {
    const auto filters = textsIn(*found, action);
    if (!filters) return because("its rights are no lists of filters");
    for (const std::string& filter : *filters) {
      if (!mqtt::isValidUtf8(filter) || !mqtt::isValidTopicFilter(filter) ||
          mqtt::splitSharedFilter(filter).shared())
        return because("a right in it is no topic filter");
      const bool publish = std::string_view{action} == "publish";
      grants->push_back({filter, publish, !publish});
    }
  }
  return broker::Grants{std::move(grants)};
}

std::string problemWithDates(const json& claims, const JwtRules& rules, WallTime now,
                             std::optional<WallTime>& expiry) {
  if (const auto exp = claims.find("exp"); exp != claims.end()) {
    expiry = dateOf(*exp);
    if (!expiry) return "its expiry is no date";
    *expiry += rules.leeway;
    if (*expiry <= now) return "it has expired";
  } else if (rules.needsExpiry) {
    return "it never expires";
  }
  if (const auto nbf = claims.find("nbf"); nbf != claims.end()) {
    const auto begin = dateOf(*nbf);
    if (!begin) return "its beginning is no date";
    if (now + rules.leeway < *begin) return "it is not valid yet";
  }
  return {};
}

}  // namespace

bool looksLikeJwt(std::string_view text) {
  const auto parts = partsOf(text);
  return parts && textIn(objectIn(parts->header), "alg").has_value();
}

Expected<JwtClaims, std::string> verifyJwt(std::string_view token, const std::vector<JwtKey>& keys,
                                           const JwtRules& rules, WallTime now) {
  const auto parts = partsOf(token);
  if (!parts) return because("it has not three parts");
  const json header = objectIn(parts->header);
  if (header.is_discarded()) return because("its header is no JSON object");
  if (header.contains("crit")) return because("it has critical extensions");
  const auto algorithm = algorithmNamed(textIn(header, "alg"));
  if (!algorithm) return because("its algorithm is none of HS256, RS256 and ES256");
  const auto signature = decodeBase64(parts->signature, Base64::url);
  if (!signature) return because("its signature is no Base64");

  const auto id = textIn(header, "kid");
  const bool verified = std::any_of(keys.begin(), keys.end(), [&](const JwtKey& key) {
    return key.algorithm() == *algorithm && (!id || key.id().empty() || key.id() == *id) &&
           key.verifies(parts->signedText, *signature);
  });
  if (!verified) return because("no key verifies its signature");

  const json claims = objectIn(parts->payload);
  if (claims.is_discarded()) return because("its claims are no JSON object");
  JwtClaims result;
  if (std::string problem = problemWithDates(claims, rules, now, result.expiry); !problem.empty())
    return because(std::move(problem));
  if (!rules.issuer.empty() && textIn(claims, "iss") != rules.issuer)
    return because("it has another issuer");
  if (!rules.audience.empty()) {
    const auto audience = textsIn(claims, "aud");
    if (!audience ||
        std::find(audience->begin(), audience->end(), rules.audience) == audience->end())
      return because("it is for another audience");
  }
  auto user = textIn(claims, rules.userClaim);
  if (!user || user->empty() || !mqtt::isValidUtf8(*user)) return because("it names no user");
  result.user = std::move(*user);
  auto groups = textsIn(claims, rules.groupsClaim);
  if (!groups) return because("its groups are no list of names");
  result.groups = std::move(*groups);
  auto grants = grantsIn(claims, rules.aclClaim);
  if (!grants) return because(grants.error());
  result.grants = std::move(grants).value();
  return result;
}

}  // namespace mqttstack
