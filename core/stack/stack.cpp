#include "core/stack/stack.hpp"

#include <algorithm>

#include "core/mqtt/reason_code.hpp"
#include "core/mqtt/text.hpp"

namespace mqttstack {

Middleware::Middleware(const Setup& setup)
    : name_{setup.name},
      log_{setup.log, setup.name},
      scheduler_{setup.scheduler} {}

Stack& Middleware::stackNamed(std::string_view name) const noexcept {
  const auto found = std::find_if(stacks_.begin(), stacks_.end(),
                                  [name](const Stack* stack) { return stack->name() == name; });
  return found == stacks_.end() ? home() : **found;
}

std::vector<Stack::MakeList>& Stack::catalogue() {
  static std::vector<MakeList> all;
  return all;
}

Stack::Stack(std::string name, const ClientFields& fields, Logger log)
    : name_{std::move(name)},
      log_{std::move(log)},
      layout_{fields},
      pool_{new WalkPool} {
  for (const MakeList make : catalogue()) lists_.push_back(make());
}

Stack::~Stack() { cancelWalks(); }

void Stack::cancelWalks() {
  while (!parked_.empty()) {
    Traversal& walk = parked_.front();
    walk.block_.ticket = 0;  // its Deferred settles nothing any more
    walk.unpark();
    walk.resume(Traversal::stoppedBy(std::make_error_code(std::errc::operation_canceled)));
  }
}

void Stack::use(Middleware& middleware) {
  middlewares_.push_back(&middleware);
  if (!middleware.home_) middleware.home_ = this;
  middleware.stacks_.push_back(this);
  layout_.include(middleware.firstSlot_, middleware.lastSlot_);
  for (const auto& list : lists_) list->offer(middleware);
  if (auto* handler = dynamic_cast<HandlesPackets*>(&middleware)) {
    const mqtt::PacketTypes types = handler->packets();
    for (std::size_t type = 1; type < packetHandlers_.size(); ++type)
      if (types.contains(static_cast<mqtt::PacketType>(type)))
        packetHandlers_[type].push_back(handler);
  }
}

std::error_code Stack::install(Client& client) {
  for (Middleware* middleware : middlewares_) {
    try {
      middleware->install(client);
    } catch (...) {
      return thrown("install", middleware);
    }
  }
  return {};
}

void Stack::validate(Diagnostics& diagnostics) const {
  for (const Middleware* middleware : middlewares_) {
    diagnostics.setPlace({name_, middleware->name(), {}});
    middleware->validate(*this, diagnostics);
  }
  diagnostics.setPlace({});
}

std::optional<std::size_t> Stack::position(const Middleware* middleware) const noexcept {
  const auto found = std::find(middlewares_.begin(), middlewares_.end(), middleware);
  if (found == middlewares_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - middlewares_.begin());
}

std::error_code Stack::thrown(std::string_view where, const Middleware* who) noexcept {
  const std::string_view name = who ? std::string_view{who->name()} : "a continuation";
  try {
    throw;
  } catch (const std::exception& exception) {
    log_.error("{} of pipeline \"{}\" threw in {}: {}; this is a defect of that middleware", name,
               name_, where, mqtt::printable(exception.what()));
  } catch (...) {
    log_.error("{} of pipeline \"{}\" threw in {}; this is a defect of that middleware", name,
               name_, where);
  }
  return mqtt::ReasonCode::implementationSpecificError;
}

void Stack::link(Traversal& walk) noexcept {
  walk.parked_ = true;
  parked_.append(walk);
  ++parkedCount_;
}

void Stack::unlink(Traversal& walk) noexcept {
  walk.parked_ = false;
  walk.unlink();
  --parkedCount_;
}

}  // namespace mqttstack
