#include "middlewares/operations/packet_log.hpp"

#include <cctype>
#include <fmt/format.h>
#include <iterator>
#include <variant>

#include "core/mqtt/text.hpp"
#include "core/stack/client.hpp"

namespace mqttstack {
namespace {

using mqtt::printable;

std::string lowerCase(std::string_view text) {
  std::string result{text};
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

/// The types that have these names; what is none goes to `diagnostics`.
mqtt::PacketTypes typesNamed(const std::vector<std::string>& names, Diagnostics& diagnostics) {
  if (names.empty()) return mqtt::PacketTypes::all();
  std::vector<std::string> known;
  for (int number = 1; number <= 15; ++number)
    known.push_back(lowerCase(toString(static_cast<mqtt::PacketType>(number))));

  mqtt::PacketTypes types;
  for (const std::string& name : names) {
    std::size_t index = 0;
    while (index < known.size() && known[index] != name) ++index;
    if (index < known.size()) {
      types = types | static_cast<mqtt::PacketType>(index + 1);
      continue;
    }
    const std::string_view meant = closestName(name, known);
    diagnostics.errorAt("packets", "there is no packet \"" + printable(name) + "\"",
                        meant.empty() ? "packets are connect, publish, subscribe, and so on"
                                      : "did you mean \"" + std::string{meant} + "\"?");
  }
  return types;
}

/// Writes what a packet has besides its type.
class Details {
public:
  explicit Details(std::string& line) : line_{line} {}

  void operator()(const mqtt::Connect& connect) {
    add(", MQTT {}, \"{}\", {}, keep alive {} s", toString(connect.version),
        printable(connect.clientId), connect.cleanStart ? "clean start" : "resuming",
        connect.keepAlive);
    if (connect.userName) add(", user \"{}\"", printable(*connect.userName));
    if (connect.password) add(", with password");
    if (const auto& will = connect.will)
      add(", will for \"{}\", QoS {}{}, {} bytes", printable(will->topic), number(will->qos),
          will->retain ? ", retain" : "", will->payload.size());
  }
  void operator()(const mqtt::Publish& publish) {
    if (publish.packetId != 0) add(" {}", publish.packetId);
    add(", \"{}\", QoS {}{}{}, {} bytes", printable(publish.topic), number(publish.qos),
        publish.dup ? ", dup" : "", publish.retain ? ", retain" : "", publish.payload.size());
  }
  void operator()(const mqtt::Subscribe& subscribe) {
    add(" {}", subscribe.packetId);
    auto entries = subscribe.entries;
    list(entries.count(), [&] {
      const mqtt::SubscribeEntry entry = entries.takeFront();
      add(", \"{}\" QoS {}", printable(entry.filter), number(entry.options.qos));
    });
  }
  void operator()(const mqtt::Unsubscribe& unsubscribe) {
    add(" {}", unsubscribe.packetId);
    auto filters = unsubscribe.filters;
    list(filters.count(), [&] { add(", \"{}\"", printable(filters.takeFront())); });
  }
  template <class P>
  void operator()(const P& packet) {
    if constexpr (requires { packet.packetId; }) add(" {}", packet.packetId);
    if constexpr (requires { packet.code; })
      if (packet.code != mqtt::ReasonCode::success) add(", {}", toString(packet.code));
  }

private:
  template <class... Args>
  void add(fmt::format_string<Args...> text, Args&&... args) {
    fmt::format_to(std::back_inserter(line_), text, std::forward<Args>(args)...);
  }
  /// Writes the first few of `count`, and how many there are besides.
  template <class AddOne>
  void list(std::size_t count, AddOne&& addOne) {
    constexpr std::size_t kShown = 4;
    for (std::size_t i = 0; i < count && i < kShown; ++i) addOne();
    if (count > kShown) add(" and {} more", count - kShown);
  }
  static int number(mqtt::Qos qos) { return static_cast<int>(qos); }

  std::string& line_;
};

}  // namespace

std::string summaryOf(const mqtt::Packet& packet) {
  std::string line{toString(mqtt::typeOf(packet))};
  std::visit(Details{line}, packet);
  return line;
}

void PacketLog::Options::declare(OptionTable<Options>& table) {
  table.addChoice(
      "level", &Options::level,
      {{"trace", LogLevel::trace}, {"debug", LogLevel::debug}, {"info", LogLevel::info}},
      "The level of the lines; they appear if the daemon logs that level.");
  table.add("packets", &Options::packets,
            "Which packets are written, for example [\"connect\", \"publish\"]; empty for all.");
}

PacketLog::PacketLog(Setup& setup, const Options& options, Diagnostics& diagnostics)
    : Middleware{setup},
      level_{options.level},
      emitter_{setup, {}} {
  const mqtt::PacketTypes types = typesNamed(options.packets, diagnostics);
  emitter_.setClientHandler(
      [this, types](Client& client) {
        emitter_.listen(client, types,
                        [this](Client& sender, const Packet& packet) { write(sender, packet); });
      },
      types);
}

void PacketLog::write(const Client& client, const Packet& packet) const {
  if (!log().wants(level_)) return;
  const std::string line = client.describe() + ": " + summaryOf(packet.content);
  if (level_ == LogLevel::info)
    log().info("{}", line);
  else if (level_ == LogLevel::debug)
    log().debug("{}", line);
  else
    log().trace("{}", line);
}

}  // namespace mqttstack
