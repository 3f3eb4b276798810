#include <algorithm>
#include <utility>
#include <vector>

#include "core/stack/client.hpp"

// A client that comes back while its last packet is still deferred: what it sends waits for that
// packet, so that its messages keep their order.
namespace mqttstack {

void Client::setSession(broker::SessionPtr session) {
  session_ = std::move(session);
  if (!context_.lingering_.empty() && !closing()) waitForPredecessors();
}

/// This connection ends with a packet that is deferred.
void Client::linger() {
  if (!session_ || lingering_) return;
  lingering_ = true;
  context_.lingering_.emplace(clientId(), ClientContext::Lingering{this, {}});
}

void Client::waitForPredecessors() {
  const auto [first, last] = context_.lingering_.equal_range(clientId());
  for (auto each = first; each != last; ++each) {
    const Client& before = *each->second.client;
    // The same name on a pipeline that keeps other sessions is somebody else.
    if (before.session_ != session_ && before.stack_ != stack_) continue;
    each->second.successors.emplace_back(this);
    ++predecessors_;
    pauseInput();
  }
}

void Client::forgetPredecessors() {
  const auto [first, last] = context_.lingering_.equal_range(clientId());
  for (auto each = first; each != last; ++each)
    std::erase(each->second.successors, ClientPtr{this});
  predecessors_ = 0;
}

void Client::letSuccessorsGoOn() {
  lingering_ = false;
  const auto [first, last] = context_.lingering_.equal_range(clientId());
  const auto found =
      std::find_if(first, last, [this](const auto& each) { return each.second.client == this; });
  const std::vector<ClientPtr> successors = std::move(found->second.successors);
  context_.lingering_.erase(found);
  for (const ClientPtr& successor : successors) {
    if (--successor->predecessors_ != 0) continue;
    successor->resumeDue_ = true;
    context_.flushList.add(*successor);
  }
}

}  // namespace mqttstack
