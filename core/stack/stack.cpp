#include "core/stack/stack.hpp"

#include <algorithm>

#include "core/mqtt/reason_code.hpp"

namespace mqttstack {

Middleware::Middleware(const Setup& setup)
    : name_{setup.name},
      log_{setup.log, setup.name},
      scheduler_{setup.scheduler} {}

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
  while (parked_) {
    Traversal& walk = *parked_;
    walk.block_.ticket = 0;  // its Deferred settles nothing any more
    walk.resume(Traversal::stoppedBy(std::make_error_code(std::errc::operation_canceled)));
  }
}

void Stack::use(Middleware& middleware) {
  middlewares_.push_back(&middleware);
  if (!middleware.home_) middleware.home_ = this;
  layout_.include(middleware.firstSlot_, middleware.lastSlot_);
  for (const auto& list : lists_) list->offer(middleware);
  if (auto* handler = dynamic_cast<HandlesPackets*>(&middleware)) {
    const mqtt::PacketTypes types = handler->packets();
    for (std::size_t type = 1; type < packetHandlers_.size(); ++type)
      if (types.contains(static_cast<mqtt::PacketType>(type)))
        packetHandlers_[type].push_back(handler);
  }
}

void Stack::install(Client& client) {
  for (Middleware* middleware : middlewares_) middleware->install(client);
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

std::error_code Stack::thrown(std::string_view where) noexcept {
  try {
    throw;
  } catch (const std::exception& exception) {
    log_.error("{}: a middleware threw: {}; this is a defect of that middleware", where,
               exception.what());
  } catch (...) {
    log_.error("{}: a middleware threw; this is a defect of that middleware", where);
  }
  return mqtt::ReasonCode::implementationSpecificError;
}

void Stack::link(Traversal& walk) noexcept {
  walk.parked_ = true;
  walk.previous_ = nullptr;
  walk.next_ = parked_;
  if (parked_) parked_->previous_ = &walk;
  parked_ = &walk;
  ++parkedCount_;
}

void Stack::unlink(Traversal& walk) noexcept {
  walk.parked_ = false;
  (walk.previous_ ? walk.previous_->next_ : parked_) = walk.next_;
  if (walk.next_) walk.next_->previous_ = walk.previous_;
  --parkedCount_;
}

}  // namespace mqttstack
