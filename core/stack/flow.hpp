#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/util/intrusive_ptr.hpp"
#include "core/util/ring.hpp"

/// What a handler decides, and how it decides later: Flow, Next, Done, Deferred.
namespace mqttstack {

/// What a handler decided. Only Next, Done and Deferred make one, so a handler
/// that forgets to decide does not compile, and one that decides twice is
/// mostly caught by [[nodiscard]]. Travels in two registers.
class [[nodiscard]] Flow {
public:
  bool continues() const noexcept { return kind_ == Kind::next; }
  bool pending() const noexcept { return kind_ == Kind::pending; }
  /// Why the walk was stopped; no error if it goes on, is pending or is done.
  std::error_code error() const noexcept {
    return category_ ? std::error_code{value_, *category_} : std::error_code{};
  }

private:
  friend class Next;
  friend class SyncNext;
  friend class Done;
  friend class Deferred;
  friend class Traversal;
  enum class Kind : std::uint8_t { next, done, pending };

  explicit Flow(Kind kind) noexcept : kind_{kind} {}
  explicit Flow(std::error_code error) noexcept
      : category_{&error.category()},
        value_{error.value()},
        kind_{Kind::done} {}

  const std::error_category* category_ = nullptr;  // set: stopped by an error
  int value_ = 0;
  Kind kind_;
};

/// The memory that walks live in: equal blocks, recycled, so that a warm stack
/// allocates nothing. Counted, because a Deferred may outlive the stack whose
/// walk it was to settle: the blocks stay until the last one is gone. When no
/// walk is under way and no Deferred is left, what a peak needed is given back.
class WalkPool : public RefCounted<WalkPool> {
public:
  /// Room for one walk: its context, its continuation, its bookkeeping.
  static constexpr std::size_t kBlockBytes = 384;

  struct Block {
    alignas(std::max_align_t) std::byte bytes[kBlockBytes];
    std::uint64_t ticket = 0;  ///< the Deferred that may settle the walk; 0 for none
    Block* nextFree = nullptr;
  };

  Block& take() {
    if (!free_) grow();
    Block& block = *free_;
    free_ = block.nextFree;
    ++used_;
    return block;
  }
  void giveBack(Block& block) noexcept {
    --used_;
    block.ticket = 0;
    block.nextFree = free_;
    free_ = &block;
    if (used_ == 0 && blocks_.size() > kKeptBlocks && owners() == 1) shrink();
  }
  std::uint64_t issueTicket(Block& block) noexcept { return block.ticket = ++lastTicket_; }

  std::size_t blocks() const noexcept { return blocks_.size(); }
  std::size_t used() const noexcept { return used_; }

private:
  static constexpr std::size_t kKeptBlocks = 64;

  void grow();
  void shrink() noexcept;

  std::vector<std::unique_ptr<Block>> blocks_;
  Block* free_ = nullptr;
  std::size_t used_ = 0;
  std::uint64_t lastTicket_ = 0;
};

/// One walk of a packet or callback through a stack. Its address, and so the
/// context inside it, is stable until the walk ends, however long that takes.
class Traversal : private RingLink {
public:
  Traversal(const Traversal&) = delete;
  Traversal& operator=(const Traversal&) = delete;

protected:
  Traversal(WalkPool& pool, WalkPool::Block& block) noexcept : pool_{pool}, block_{block} {}
  virtual ~Traversal() = default;

  static Flow stoppedBy(std::error_code error) noexcept { return Flow{error}; }

  /// Goes on with what a Deferred brought, from the handler that waited for it.
  virtual void resume(Flow flow) = 0;
  /// Called when the walk begins to wait: pins what its context refers to.
  virtual void park() = 0;
  /// Called when it has waited long enough, before it is decided how to go on.
  virtual void unpark() = 0;
  /// A handler threw while a Deferred settled it: logs, and says how to go on.
  virtual Flow failed() noexcept = 0;

  WalkPool& pool_;
  WalkPool::Block& block_;

private:
  friend class Next;
  friend class Deferred;
  friend class Stack;
  friend class Ring<Traversal>;  // the stack's list of walks that wait

  Flow flow_{Flow::Kind::pending};  // what was decided while the handler still ran
  bool parked_ = false;             // waiting for a Deferred
};

/// A promise to decide later. Move-only; it decides once. Dropping one fails
/// its walk with operation_canceled, so no client is left hanging. Deciding
/// after the walk has ended some other way (its stack was torn down) does
/// nothing.
class Deferred {
public:
  Deferred(Deferred&& other) noexcept
      : pool_{std::move(other.pool_)},
        walk_{std::exchange(other.walk_, nullptr)},
        block_{other.block_},
        ticket_{other.ticket_} {}
  /// What this one was to settle is dropped, and so fails.
  Deferred& operator=(Deferred other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(walk_, other.walk_);
    std::swap(block_, other.block_);
    std::swap(ticket_, other.ticket_);
    return *this;
  }
  ~Deferred() {
    if (walk_) drop();
  }

  void next() { settle(Flow{Flow::Kind::next}); }
  void done() { settle(Flow{Flow::Kind::done}); }
  void fail(std::error_code error) { settle(Flow{error}); }

  /// Lets `decide`, which returns a Flow and may defer again, make the choice.
  /// It is not called if the walk is over.
  template <class Decide>
  void settleWith(Decide&& decide) {
    const IntrusivePtr<WalkPool> pool = std::move(pool_);
    Traversal* const walk = std::exchange(walk_, nullptr);
    if (!walk || block_->ticket != ticket_) return;
    block_->ticket = 0;
    const bool parked = walk->parked_;
    if (parked) walk->unpark();
    const Flow flow = decideOrFail(*walk, decide);
    if (!parked)
      walk->flow_ = flow;  // still inside defer(), which reports it
    else if (flow.pending())
      walk->park();
    else
      walk->resume(flow);
  }

  /// True while settling still has an effect.
  bool waiting() const noexcept { return walk_ && block_->ticket == ticket_; }

private:
  friend class Next;
  friend class Stack;
  /// Settles nothing.
  Deferred() = default;
  Deferred(WalkPool& pool, Traversal& walk, WalkPool::Block& block) noexcept
      : pool_{&pool},
        walk_{&walk},
        block_{&block},
        ticket_{pool.issueTicket(block)} {}

  void settle(Flow flow) {
    settleWith([flow] { return flow; });
  }
  void drop();
  template <class Decide>
  static Flow decideOrFail(Traversal& walk, Decide& decide) {
    try {
      return decide();
    } catch (...) {
      walk.block_.ticket = 0;
      return walk.failed();
    }
  }

  IntrusivePtr<WalkPool> pool_;
  Traversal* walk_ = nullptr;
  WalkPool::Block* block_ = nullptr;
  std::uint64_t ticket_ = 0;
};

/// Passes control on: `return next();`, or on failure `return next(error);`.
class Next {
public:
  Flow operator()() const noexcept { return Flow{Flow::Kind::next}; }
  Flow operator()(std::error_code error) const noexcept { return error ? Flow{error} : (*this)(); }

  /// Decides later: `start(Deferred)` begins an asynchronous operation that will
  /// settle it; settling inside `start` is fine. Views in the packet or context
  /// stay valid until then.
  template <class Start>
  Flow defer(Start&& start) const {
    walk_->flow_ = Flow{Flow::Kind::pending};
    std::forward<Start>(start)(Deferred{walk_->pool_, *walk_, walk_->block_});
    return walk_->flow_;
  }

private:
  friend class Stack;
  explicit Next(Traversal& walk) noexcept : walk_{&walk} {}

  /// What `decide` returns, or what the walk makes of it if that throws.
  template <class Decide>
  Flow decided(Decide&& decide) const {
    return Deferred::decideOrFail(*walk_, decide);
  }

  Traversal* walk_;
};

/// The Next of callbacks that must be answered at once: it has no defer().
class SyncNext {
public:
  Flow operator()() const noexcept { return Flow{Flow::Kind::next}; }
  Flow operator()(std::error_code error) const noexcept { return error ? Flow{error} : (*this)(); }
};

/// Ends the walk successfully; later middlewares never see it.
class Done {
public:
  Flow operator()() const noexcept { return Flow{Flow::Kind::done}; }
};

}  // namespace mqttstack
