#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/broker/identity.hpp"

namespace mqttstack {

/// An identity as one line of text: its fields with tabs between them, the
/// principal first, then client identifier, address, listener, certificate name,
/// "anonymous" or nothing; then each group behind a `g`, and if the credentials
/// brought rights, `r` and each filter behind a `p` (publish), `s` (subscribe) or
/// `b` (both). Tabs, line ends and backslashes in a field are written \t, \n and
/// \\.
std::string identityToText(const broker::Identity& identity);

/// None if that is no such text.
std::optional<broker::IdentityFields> identityFromText(std::string_view text);

}  // namespace mqttstack
