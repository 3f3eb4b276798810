#pragma once

#include <stdexcept>

/// toml++, with assertions that throw std::logic_error in every build. Version
/// 3.3 takes for granted that a table header begins with a letter, which in a
/// release build is undefined behaviour for "[[[".
namespace mqttstack::detail {

constexpr void expectOfParser(bool holds, const char* what) {
  if (!holds) throw std::logic_error{what};
}

}  // namespace mqttstack::detail

#define TOML_ASSERT(expression) \
  ::mqttstack::detail::expectOfParser(static_cast<bool>(expression), #expression)

#pragma push_macro("NDEBUG")
#undef NDEBUG
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")
