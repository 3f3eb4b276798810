#include "core/stack/per_client.hpp"

namespace mqttstack {

void ClientLayout::include(std::uint32_t first, std::uint32_t last) {
  if (offsets_.size() < last) offsets_.resize(last, kAbsent);
  for (std::uint32_t slot = first; slot < last; ++slot) {
    if (offsets_[slot] != kAbsent) continue;
    const ClientField& field = (*fields_)[slot];
    const std::size_t offset = (bytes_ + field.alignment - 1) / field.alignment * field.alignment;
    offsets_[slot] = static_cast<std::uint32_t>(offset);
    slots_.push_back(slot);
    bytes_ = offset + field.size;
  }
}

ClientState::ClientState(const ClientLayout& layout)
    : layout_{&layout},
      block_{std::make_unique<std::byte[]>(layout.bytes())} {
  for (const std::uint32_t slot : layout.slots_) (*layout.fields_)[slot].construct(field(slot));
}

ClientState::~ClientState() {
  for (const std::uint32_t slot : layout_->slots_) (*layout_->fields_)[slot].destroy(field(slot));
}

void ClientState::changeTo(const ClientLayout& layout) {
  auto block = std::make_unique<std::byte[]>(layout.bytes());
  for (const std::uint32_t slot : layout.slots_) {
    void* const to = block.get() + layout.offset(slot);
    if (layout_->includes(slot))
      (*layout.fields_)[slot].relocate(field(slot), to);
    else
      (*layout.fields_)[slot].construct(to);
  }
  for (const std::uint32_t slot : layout_->slots_)
    if (!layout.includes(slot)) (*layout_->fields_)[slot].destroy(field(slot));
  block_ = std::move(block);
  layout_ = &layout;
}

}  // namespace mqttstack
