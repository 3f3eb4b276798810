#include "core/stack/drops.hpp"

#include <string>

#include "core/stack/stack.hpp"
#include "core/util/metrics.hpp"

namespace mqttstack {

Drops::Drops(Metrics& metrics) {
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const std::string_view reason = toString(static_cast<DropReason>(i));
    std::string name = "messages_dropped_";
    for (const char c : reason) name += c == ' ' ? '_' : c;
    counters_[i] =
        &metrics.counter(name, "messages dropped for a receiver: " + std::string{reason});
  }
}

void Drops::drop(Stack& stack, const broker::Session& session, const broker::Message& message,
                 DropReason reason) {
  counters_[static_cast<std::size_t>(reason)]->add();
  if (!stack.handled<MessageDropped>()) return;
  MessageDropped dropped{session, message, reason};
  stack.run(dropped);
}

}  // namespace mqttstack
