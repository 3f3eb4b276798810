#include "core/broker/topic_filter.hpp"

#include <cassert>
#include <cstring>
#include <new>

#include "core/mqtt/protocol.hpp"

namespace mqttstack::broker {

namespace {

static_assert(sizeof(SubscriberList) == 24);
static_assert(sizeof(TopicFilter) == 48);
static_assert(sizeof(SubscriptionSlot) == 16);

void copyBehind(void* object, std::size_t size, std::string_view text) {
  if (!text.empty()) std::memcpy(static_cast<char*>(object) + size, text.data(), text.size());
}

}  // namespace

SharedGroup* SharedGroup::create(TopicFilter& filter, std::string_view name, std::uint64_t hash) {
  assert(name.size() <= mqtt::kMaxStringBytes);
  auto* const group = new (::operator new(sizeof(SharedGroup) + name.size()))
      SharedGroup{filter, hash, static_cast<std::uint16_t>(name.size())};
  copyBehind(group, sizeof(SharedGroup), name);
  return group;
}

void SharedGroup::destroy(SharedGroup* group) noexcept {
  group->~SharedGroup();
  ::operator delete(group);
}

TopicFilter* TopicFilter::create(std::string_view text, std::uint64_t hash) {
  assert(text.size() <= mqtt::kMaxStringBytes);
  auto* const filter = new (::operator new(sizeof(TopicFilter) + text.size()))
      TopicFilter{hash, static_cast<std::uint16_t>(text.size())};
  copyBehind(filter, sizeof(TopicFilter), text);
  return filter;
}

void TopicFilter::destroy(TopicFilter* filter) noexcept {
  filter->~TopicFilter();
  ::operator delete(filter);
}

}  // namespace mqttstack::broker
