#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/per_client.hpp"

namespace mqttstack {

/// The options that a file gives one instance, as they stand there.
using OptionValues = std::vector<std::pair<std::string, OptionValue>>;

/// What is known of a kind of middleware without making one.
struct MiddlewareInfo {
  std::string name;
  std::string summary;
  std::vector<OptionInfo> options;
  std::vector<std::string> handles;     ///< callbacks that reach it
  std::vector<std::string> filters;     ///< those of them that another one has to answer
  std::vector<std::string> executes;    ///< callbacks that somebody has to answer
  std::vector<std::string> mayExecute;  ///< callbacks that nobody needs to answer
  mqtt::PacketTypes answeredPackets;    ///< packets that are over when they have met it
  std::string onlyOne;                  ///< what a pipeline has no two of; may be empty
  bool needsCertificate = false;        ///< it has no opinion about who shows no certificate

  /// Whether it handles the callback, and not only to pass it on.
  bool answers(std::string_view callback) const;
  /// Whether it executes the callback, with or without somebody to answer.
  bool asks(std::string_view callback) const;
};

/// Makes middlewares by name. Filled once by registerBuiltins(); not global, so
/// that tests and embedders compose their own.
///
/// A middleware type M has
/// - `static constexpr std::string_view kName`, the name in the file,
/// - `static constexpr std::string_view kSummary`, one sentence,
/// - `struct Options` with `static void declare(OptionTable<Options>&)`, or
///   `using Options = NoOptions`,
/// - a constructor `(Setup&, const Options&)`, or also with `Diagnostics&` at
///   the end if it has something to check.
class Registry {
public:
  /// REQUIRES: no type of that name was added (std::logic_error otherwise).
  template <class M>
  void add();

  /// Makes an instance. What is wrong with its options goes to `diagnostics`;
  /// the result is null if there were errors. REQUIRES: has(type).
  std::unique_ptr<Middleware> make(std::string_view type, Setup& setup, const OptionValues& values,
                                   const std::filesystem::path& base,
                                   Diagnostics& diagnostics) const;

  /// Makes an instance of a type that is at hand, without name and options: for
  /// embedders and tests. Every instance is made here, since this is where the
  /// PerClient fields that its constructor adds become its own.
  template <class M, class... Args>
  static std::unique_ptr<M> construct(Setup& setup, Args&&... args);

  bool has(std::string_view type) const { return types_.find(type) != types_.end(); }
  /// REQUIRES: has(type).
  const MiddlewareInfo& info(std::string_view type) const { return types_.find(type)->second.info; }
  std::vector<std::string> names() const;
  /// The names of the types that handle a callback.
  std::vector<std::string> handlersOf(std::string_view callback) const;
  /// The names of the types whose information is as `wanted` says.
  std::vector<std::string> namesWhere(
      const std::function<bool(const MiddlewareInfo&)>& wanted) const;

private:
  struct Type {
    MiddlewareInfo info;
    std::function<std::unique_ptr<Middleware>(Setup&, const OptionValues&,
                                              const std::filesystem::path&, Diagnostics&)>
        make;
  };
  void insert(Type type);

  std::map<std::string, Type, std::less<>> types_;
};

namespace detail {

template <class M, class... Cs>
std::vector<std::string> handledBy(Callbacks<Cs...>) {
  std::vector<std::string> names;
  ((std::is_base_of_v<Handles<Cs>, M> ? names.emplace_back(Cs::kName) : names.emplace_back()), ...);
  std::erase(names, std::string{});
  return names;
}

template <class... Cs>
std::vector<std::string> namesOf(Callbacks<Cs...>) {
  return {std::string{Cs::kName}...};
}

void reportUnknownOption(std::string_view name, const std::vector<std::string>& known,
                         Diagnostics& diagnostics);

/// Fills an options struct from the file's values, reporting what is wrong.
template <class Options>
Options parseOptions(const OptionTable<Options>& table, const OptionValues& values,
                     const std::filesystem::path& base, Diagnostics& diagnostics) {
  Options options{};
  std::vector<std::string> known;
  for (const auto& entry : table.entries()) {
    known.push_back(entry.info.name);
    bool given = false;
    for (const auto& [name, value] : values) {
      if (name != entry.info.name) continue;
      given = true;
      if (const std::string expected = entry.set(options, value, base); !expected.empty())
        diagnostics.errorAt(name, "\"" + name + "\" has to be " + expected);
    }
    if (entry.info.required && !given)
      diagnostics.error("option \"" + entry.info.name + "\" is missing",
                        "add: " + entry.info.name + " = …   (" + entry.info.text + ")");
  }
  for (const auto& [name, value] : values)
    if (std::find(known.begin(), known.end(), name) == known.end())
      reportUnknownOption(name, known, diagnostics);
  return options;
}

}  // namespace detail

template <class M, class... Args>
std::unique_ptr<M> Registry::construct(Setup& setup, Args&&... args) {
  const std::uint32_t firstSlot = setup.clientFields.size();
  auto middleware = std::make_unique<M>(setup, std::forward<Args>(args)...);
  middleware->firstSlot_ = firstSlot;
  middleware->lastSlot_ = setup.clientFields.size();
  return middleware;
}

template <class M>
void Registry::add() {
  using Options = typename M::Options;
  OptionTable<Options> table;
  Options::declare(table);

  Type type;
  type.info.name = M::kName;
  type.info.summary = M::kSummary;
  for (const auto& entry : table.entries()) type.info.options.push_back(entry.info);
  type.info.handles = detail::handledBy<M>(AllCallbacks{});
  if constexpr (requires { typename M::Executes; })
    type.info.executes = detail::namesOf(typename M::Executes{});
  if constexpr (requires { typename M::MayExecute; })
    type.info.mayExecute = detail::namesOf(typename M::MayExecute{});
  if constexpr (requires { typename M::Filters; })
    type.info.filters = detail::namesOf(typename M::Filters{});
  if constexpr (requires { M::kAnswers; }) type.info.answeredPackets = M::kAnswers;
  if constexpr (requires { M::kOnlyOne; }) type.info.onlyOne = M::kOnlyOne;
  if constexpr (requires { M::kNeedsCertificate; })
    type.info.needsCertificate = M::kNeedsCertificate;
  type.make = [table = std::move(table)](Setup& setup, const OptionValues& values,
                                         const std::filesystem::path& base,
                                         Diagnostics& diagnostics) -> std::unique_ptr<Middleware> {
    const auto before = diagnostics.errorCount();
    const Options options = detail::parseOptions(table, values, base, diagnostics);
    if (diagnostics.errorCount() != before) return nullptr;
    if constexpr (std::is_constructible_v<M, Setup&, const Options&, Diagnostics&>)
      return construct<M>(setup, options, diagnostics);
    else
      return construct<M>(setup, options);
  };
  insert(std::move(type));
}

}  // namespace mqttstack
