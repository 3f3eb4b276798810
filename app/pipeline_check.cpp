#include "app/pipeline_check.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <map>
#include <optional>

#include "core/mqtt/text.hpp"

namespace mqttstack {
namespace {

using mqtt::PacketType;

/// Callbacks that are about rights: who answers them is there to say no.
constexpr std::array kQuestions{AuthenticateConnection::kName, AuthorizePacket::kName};

constexpr std::array kSentByClients{
    PacketType::connect, PacketType::publish,    PacketType::puback,    PacketType::pubrec,
    PacketType::pubrel,  PacketType::pubcomp,    PacketType::subscribe, PacketType::unsubscribe,
    PacketType::pingreq, PacketType::disconnect, PacketType::auth};
/// Those that a client sends without having been sent anything.
constexpr std::array kRequests{PacketType::publish, PacketType::subscribe, PacketType::unsubscribe,
                               PacketType::pingreq};

std::string addOneOf(const std::vector<std::string>& names, std::string_view nobody) {
  if (names.empty()) return std::string{nobody};
  return fmt::format("add {}{}", names.size() > 1 ? "one of: " : "", fmt::join(names, ", "));
}

/// Whether its kind of middleware says that clients were accepted, which only one
/// can know that accepts them.
bool establishesSessions(const MiddlewareInfo& info) {
  return info.asks(SessionEstablished::kName);
}

mqtt::PacketTypes packetsOf(const Middleware* middleware) {
  const auto* handler = dynamic_cast<const HandlesPackets*>(middleware);
  return handler ? handler->packets() : mqtt::PacketTypes{};
}

class Check {
public:
  Check(const Registry& registry, const Pipeline& pipeline, Diagnostics& diagnostics)
      : registry_{registry},
        pipeline_{pipeline},
        diagnostics_{diagnostics},
        name_{mqtt::printable(pipeline.name)} {}

  void run() {
    for (const Member& member : pipeline_.members) {
      checkExecuted(member);
      checkOnlyOne(member);
    }
    if (pipeline_.stack->middlewares().size() != pipeline_.members.size()) return;
    pipeline_.stack->validate(diagnostics_);
    checkConnect();
    for (std::size_t i = 0; i < pipeline_.members.size(); ++i) {
      checkAsked(i);
      checkInTime(i);
    }
    checkRequests();
  }

private:
  using Member = Pipeline::Member;

  const MiddlewareInfo& info(const Member& member) const { return registry_.info(member.type); }
  Middleware* middleware(std::size_t index) const { return pipeline_.stack->middlewares()[index]; }
  /// What is told next is about this member; about the pipeline if there is none.
  void at(const Member* member) {
    diagnostics_.setPlace({pipeline_.name, member ? member->instance : std::string{}, {}});
  }
  template <class Wanted>
  bool any(Wanted&& wanted) const {
    return std::any_of(pipeline_.members.begin(), pipeline_.members.end(),
                       [&](const Member& member) { return wanted(info(member)); });
  }
  bool isFoundWrong(const Member& member) const {
    const auto& findings = diagnostics_.findings();
    return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
      return finding.severity == Severity::error && finding.place.instance == member.instance;
    });
  }

  /// Whatever is executed has to be answered by somebody in the same pipeline.
  void checkExecuted(const Member& member) {
    // What the same ones could answer is one mistake.
    std::map<std::vector<std::string>, std::vector<std::string>> missing;
    for (const std::string& callback : info(member).executes) {
      const auto answers = [&](const MiddlewareInfo& each) { return each.answers(callback); };
      if (!any(answers)) missing[registry_.namesWhere(answers)].push_back(callback);
    }
    at(&member);
    for (const auto& [helpers, callbacks] : missing)
      diagnostics_.error(
          fmt::format("\"{}\" executes {}, and nothing in pipeline \"{}\" handles {}",
                      mqtt::printable(member.instance), fmt::join(callbacks, ", "), name_,
                      callbacks.size() > 1 ? "them" : "it"),
          addOneOf(helpers, "no middleware of this build does"));
  }

  void checkOnlyOne(const Member& member) {
    const std::string& what = info(member).onlyOne;
    if (what.empty()) return;
    const auto first = std::find_if(pipeline_.members.begin(), pipeline_.members.end(),
                                    [&](const Member& each) { return info(each).onlyOne == what; });
    if (&*first == &member) return;
    at(&member);
    diagnostics_.error(
        fmt::format("pipeline \"{}\" has two {}{}, \"{}\" and \"{}\"", name_,
                    what == member.type ? "instances of " : "",
                    what == member.type ? what : what + "s", mqtt::printable(first->instance),
                    mqtt::printable(member.instance)),
        "take one out");
  }

  /// Seeing CONNECT is not enough: many look at it and let it pass. Who answers it
  /// says so by sessionEstablished, since others wait for that.
  void checkConnect() {
    for (std::size_t i = 0; i < pipeline_.members.size(); ++i)
      if (packetsOf(middleware(i)).contains(PacketType::connect) &&
          establishesSessions(info(pipeline_.members[i])))
        return;
    at(nullptr);
    diagnostics_.error(
        fmt::format("nothing in pipeline \"{}\" answers CONNECT: no client could connect", name_),
        addOneOf(registry_.namesWhere(establishesSessions), "no middleware of this build does"));
  }

  /// Who is never asked protects nothing.
  void checkAsked(std::size_t index) {
    const Member& member = pipeline_.members[index];
    for (const std::string_view callback : kQuestions) {
      const auto asks = [&](const MiddlewareInfo& each) { return each.asks(callback); };
      if (!info(member).answers(callback) || any(asks)) continue;
      const std::optional<Severity> severity = middleware(index)->unasked(callback);
      if (!severity) continue;
      at(&member);
      std::string message =
          fmt::format("\"{}\" is never asked: nothing in pipeline \"{}\" executes {}",
                      mqtt::printable(member.instance), name_, callback);
      std::string help = addOneOf(registry_.namesWhere(asks), "no middleware of this build does");
      if (*severity == Severity::error)
        diagnostics_.error(std::move(message), help + " in front of it");
      else
        diagnostics_.warning(std::move(message),
                             fmt::format("{} in front of it, or say by its options that this is "
                                         "meant (mqtt-stackd describe {})",
                                         help, member.type));
    }
  }

  /// Who looks at packets has to stand before they are answered.
  void checkInTime(std::size_t index) {
    const Member& member = pipeline_.members[index];
    if (isFoundWrong(member)) return;
    std::vector<std::string> inFront;
    for (const PacketType type : kSentByClients) {
      if (!packetsOf(middleware(index)).contains(type)) continue;
      const auto end = pipeline_.members.begin() + static_cast<std::ptrdiff_t>(index);
      const auto answerer = std::find_if(pipeline_.members.begin(), end, [&](const Member& each) {
        return info(each).answeredPackets.contains(type);
      });
      if (answerer == end) return;
      const std::string name = mqtt::printable(answerer->instance);
      if (std::find(inFront.begin(), inFront.end(), name) == inFront.end()) inFront.push_back(name);
    }
    if (inFront.empty()) return;
    at(&member);
    diagnostics_.error(
        fmt::format("\"{}\" stands behind \"{}\": what it looks at has been answered by then",
                    mqtt::printable(member.instance), fmt::join(inFront, "\", \"")),
        fmt::format("move \"{}\" in front of \"{}\"", mqtt::printable(member.instance),
                    inFront.front()));
  }

  /// It may be meant that clients cannot subscribe, or publish.
  void checkRequests() {
    if (diagnostics_.hasErrors()) return;
    at(nullptr);
    for (const PacketType type : kRequests) {
      const auto answers = [&](const MiddlewareInfo& each) {
        return each.answeredPackets.contains(type);
      };
      const std::vector<std::string> helpers = registry_.namesWhere(answers);
      if (helpers.empty() || any(answers)) continue;
      diagnostics_.warning(fmt::format("nothing in pipeline \"{}\" answers {}: a client that sends "
                                       "one is closed",
                                       name_, mqtt::toString(type)),
                           addOneOf(helpers, {}) + ", unless this is meant");
    }
  }

  const Registry& registry_;
  const Pipeline& pipeline_;
  Diagnostics& diagnostics_;
  std::string name_;
};

}  // namespace

void checkPipeline(const Registry& registry, const Pipeline& pipeline, Diagnostics& diagnostics) {
  Check{registry, pipeline, diagnostics}.run();
}

}  // namespace mqttstack
