#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace mqttstack {

/// What is known of one middleware instance's field in each client: how large
/// it is, how to make, move and end one.
struct ClientField {
  std::size_t size;
  std::size_t alignment;
  void (*construct)(void* at);
  void (*relocate)(void* from, void* to) noexcept;
  void (*destroy)(void* at) noexcept;
};

/// Numbers the fields of all middleware instances of the daemon. A field's
/// number is its slot; a stack maps the slots of its own instances to offsets.
/// One per daemon, filled while instances are made.
class ClientFields {
public:
  template <class T>
  std::uint32_t add() {
    static_assert(alignof(T) <= alignof(std::max_align_t));
    fields_.push_back({sizeof(T), alignof(T), [](void* at) { new (at) T{}; },
                       [](void* from, void* to) noexcept {
                         T& old = *static_cast<T*>(from);
                         new (to) T(std::move(old));
                         old.~T();
                       },
                       [](void* at) noexcept { static_cast<T*>(at)->~T(); }});
    return static_cast<std::uint32_t>(fields_.size() - 1);
  }
  const ClientField& operator[](std::uint32_t slot) const noexcept { return fields_[slot]; }
  std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(fields_.size()); }

private:
  std::vector<ClientField> fields_;
};

/// Where one stack's clients keep the fields of its instances: one block per
/// client, laid out while the pipeline is wired.
class ClientLayout {
public:
  explicit ClientLayout(const ClientFields& fields) : fields_{&fields} {}

  /// Gives the slots [first, last) room in the block.
  /// REQUIRES: no client has a block of this layout yet.
  void include(std::uint32_t first, std::uint32_t last);

  bool includes(std::uint32_t slot) const noexcept {
    return slot < offsets_.size() && offsets_[slot] != kAbsent;
  }
  std::uint32_t offset(std::uint32_t slot) const noexcept { return offsets_[slot]; }
  std::size_t bytes() const noexcept { return bytes_; }

private:
  friend class ClientState;
  static constexpr std::uint32_t kAbsent = UINT32_MAX;

  const ClientFields* fields_;
  std::vector<std::uint32_t> slots_;
  std::vector<std::uint32_t> offsets_;  // by slot
  std::size_t bytes_ = 0;
};

/// The block itself; a member of Client.
class ClientState {
public:
  explicit ClientState(const ClientLayout& layout);
  ClientState(const ClientState&) = delete;
  ClientState& operator=(const ClientState&) = delete;
  ~ClientState();

  /// Carries the client over to another pipeline: fields that both layouts have
  /// are moved, the others ended or made.
  void changeTo(const ClientLayout& layout);

  void* field(std::uint32_t slot) const noexcept { return block_.get() + layout_->offset(slot); }

private:
  const ClientLayout* layout_;
  std::unique_ptr<std::byte[]> block_;
};

/// A middleware's own state in each client: a member `PerClient<State> state_`
/// made from `setup.clientFields`, then `state_(client).count++`. Two loads.
///
/// T is default-constructible and movable. It is made before install() and
/// ended when the client is gone.
template <class T>
class PerClient {
public:
  explicit PerClient(ClientFields& fields) : slot_{fields.add<T>()} {}

  template <class AnyClient>
  T& operator()(AnyClient& client) const noexcept {
    return *static_cast<T*>(client.state().field(slot_));
  }

private:
  std::uint32_t slot_;
};

}  // namespace mqttstack
