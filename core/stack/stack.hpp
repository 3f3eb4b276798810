#pragma once

#include <array>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/stack/flow.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/per_client.hpp"
#include "core/stack/pins.hpp"

namespace mqttstack {

/// A wired pipeline: an ordered list of middlewares. use() computes who listens
/// to what, once, so that a walk goes along an array of exactly its listeners
/// and, once the pool is warm, allocates nothing.
///
/// It refers to middlewares that others own and that may stand in several
/// stacks. Not thread-safe: a stack belongs to one loop. Destroying it ends the
/// walks that still wait with operation_canceled.
class Stack {
public:
  Stack(std::string name, const ClientFields& fields, Logger log = {});
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  ~Stack();

  const std::string& name() const noexcept { return name_; }

  /// Appends a middleware; the first stack that does so becomes its home.
  /// REQUIRES: no client has been installed.
  void use(Middleware& middleware);

  /// Ends every walk that waits, with operation_canceled, the inner ones of
  /// nested calls first: for the end of the daemon, when nobody will settle them
  /// any more. The destructor does it too, but clients whose walks end need
  /// their stack a little longer. REQUIRES: not called from within a walk.
  void cancelWalks();

  /// Calls install() of every middleware, in order. Fails if one throws; the
  /// client is not to be served then.
  std::error_code install(Client& client);

  /// Calls validate() of every middleware.
  void validate(Diagnostics& diagnostics) const;

  /// Runs a packet through the stack, then calls then(error, consumed); consumed
  /// tells whether somebody ended the walk with done(). Returns false if a
  /// middleware deferred, in which case `then` is still to be called.
  template <class Then>
  bool process(Client& client, Packet& packet, mqtt::PacketType type, Then then) {
    return !begin(packetHandlers_[static_cast<std::size_t>(type)], Incoming{client, packet},
                  [then = std::move(then)](std::error_code error, Incoming& in) mutable {
                    then(error, in.consumed);
                  });
  }

  /// Runs a callback that may be deferred through its handlers, then calls
  /// then(error, callback). Returns false if a handler deferred.
  template <class Callback, class Then>
  bool execute(Callback callback, Then then) {
    static_assert(Callback::kKind == CallbackKind::deferred,
                  "sync callbacks are run(), not executed");
    return !begin(handlers<Callback>(), std::move(callback), std::move(then));
  }

  /// execute() from within a handler: `return stack.call(callback, next, then)`,
  /// where then(error, callback, next, done) returns that handler's own Flow.
  ///
  /// The handler's walk waits only if the called one does: a callback that is
  /// answered at once costs no Deferred.
  template <class Callback, class Then>
  Flow call(Callback&& callback, Next next, Then&& then) {
    using Called = std::decay_t<Callback>;
    static_assert(Called::kKind == CallbackKind::deferred, "sync callbacks are run(), not called");
    Flow answer = next();
    auto* const waiting =
        begin(handlers<Called>(), std::forward<Callback>(callback),
              Answer<std::decay_t<Then>>{next, std::forward<Then>(then), &answer, {}});
    if (!waiting) return answer;
    waiting->then().atOnce = nullptr;
    return next.defer([&](Deferred outer) { waiting->then().outer = std::move(outer); });
  }

  /// Runs a sync callback through its handlers and returns why one stopped it
  /// with an error, if one did. Results are in the callback's output fields.
  template <class Callback>
  std::error_code run(Callback& callback) {
    static_assert(Callback::kKind == CallbackKind::sync,
                  "this callback may be deferred: execute() it");
    const Handles<Callback>* current = nullptr;
    try {
      for (Handles<Callback>* handler : handlers<Callback>()) {
        current = handler;
        const Flow flow = handler->on(callback, SyncNext{}, Done{});
        if (!flow.continues()) return flow.error();
      }
    } catch (...) {
      return thrown(Callback::kName, dynamic_cast<const Middleware*>(current));
    }
    return {};
  }

  /// True if anybody listens to Callback.
  template <class Callback>
  bool handled() const noexcept {
    return !handlers<Callback>().empty();
  }

  /// How many do.
  template <class Callback>
  std::size_t handlerCount() const noexcept {
    return handlers<Callback>().size();
  }

  /// The place in the pipeline of the first handler of Callback, from 0.
  template <class Callback>
  std::optional<std::size_t> firstHandler() const noexcept {
    const auto& list = handlers<Callback>();
    return list.empty() ? std::nullopt : position(dynamic_cast<const Middleware*>(list.front()));
  }
  std::optional<std::size_t> position(const Middleware* middleware) const noexcept;

  const std::vector<Middleware*>& middlewares() const noexcept { return middlewares_; }
  const ClientLayout& clientLayout() const noexcept { return layout_; }
  /// How many walks wait for a Deferred.
  std::size_t parkedWalks() const noexcept { return parkedCount_; }
  /// How many walks there are at this moment, and memory for how many.
  std::size_t walks() const noexcept { return pool_->used(); }
  std::size_t walkBlocks() const noexcept { return pool_->blocks(); }

private:
  struct Incoming {
    static constexpr std::string_view kName = "handle";

    Client& client;
    Packet& packet;
    bool consumed = false;
  };

  static Flow visit(HandlesPackets& handler, Incoming& in, Next next) {
    const Flow flow = handler.handle(in.client, in.packet, next, Done{});
    in.consumed = !flow.continues();
    return flow;
  }
  template <class Callback>
  static Flow visit(Handles<Callback>& handler, Callback& callback, Next next) {
    return handler.on(callback, next, Done{});
  }

  /// The continuation of call(): decides for the handler that called.
  template <class Then>
  struct Answer {
    Next next;
    Then then;
    Flow* atOnce;    // while call() has not returned
    Deferred outer;  // from then on

    template <class Callback>
    void operator()(std::error_code error, Callback& callback) {
      const auto decide = [&] { return then(error, callback, next, Done{}); };
      if (atOnce)
        *atOnce = next.decided(decide);
      else
        outer.settleWith(decide);
    }
  };

  template <class Handler, class Ctx, class Then>
  class Walk;

  /// Begins a walk. Returns it if it waits, null if it is over and gone.
  template <class Handler, class Ctx, class Then>
  Walk<Handler, std::decay_t<Ctx>, Then>* begin(const std::vector<Handler*>& list, Ctx&& ctx,
                                                Then then);

  static Next nextOf(Traversal& walk) noexcept { return Next{walk}; }

  /// Logs the exception in flight and returns the error that stands for it.
  /// `who` is null if it came out of a continuation.
  std::error_code thrown(std::string_view where, const Middleware* who) noexcept;
  template <class Then, class Ctx>
  void finish(Then& then, std::error_code error, Ctx& ctx) noexcept {
    try {
      then(error, ctx);
    } catch (...) {
      static_cast<void>(thrown(Ctx::kName, nullptr));
    }
  }
  void link(Traversal& walk) noexcept;
  void unlink(Traversal& walk) noexcept;

  // Handler lists are indexed by a number given to each callback type.
  struct ListBase {
    virtual ~ListBase() = default;
    virtual void offer(Middleware& middleware) = 0;
  };
  template <class Callback>
  struct List final : ListBase {
    std::vector<Handles<Callback>*> handlers;
    void offer(Middleware& middleware) override {
      if (auto* handler = dynamic_cast<Handles<Callback>*>(&middleware))
        handlers.push_back(handler);
    }
  };
  using MakeList = std::unique_ptr<ListBase> (*)();
  static std::vector<MakeList>& catalogue();
  template <class Callback>
  static std::size_t enroll() {
    catalogue().push_back(
        []() -> std::unique_ptr<ListBase> { return std::make_unique<List<Callback>>(); });
    return catalogue().size() - 1;
  }
  template <class Callback>
  inline static const std::size_t index_ = enroll<Callback>();

  template <class Callback>
  const std::vector<Handles<Callback>*>& handlers() const noexcept {
    return static_cast<const List<Callback>&>(*lists_[index_<Callback>]).handlers;
  }

  std::string name_;
  Logger log_;
  ClientLayout layout_;
  std::vector<Middleware*> middlewares_;
  std::array<std::vector<HandlesPackets*>, 16> packetHandlers_;
  std::vector<std::unique_ptr<ListBase>> lists_;
  IntrusivePtr<WalkPool> pool_;
  Ring<Traversal> parked_;
  std::size_t parkedCount_ = 0;
};

/// One walk along `list`; lives in a block of the stack's pool.
template <class Handler, class Ctx, class Then>
class Stack::Walk final : public Traversal {
public:
  template <class Context>
  Walk(Stack& stack, WalkPool::Block& block, const std::vector<Handler*>& list, Context&& ctx,
       Then&& then)
      : Traversal{*stack.pool_, block},
        stack_{stack},
        list_{list},
        ctx_{std::forward<Context>(ctx)},
        then_{std::move(then)} {}

  Then& then() noexcept { return then_; }

  /// True if the walk is over, and this object gone.
  bool advance() {  // the hot loop
    for (const std::size_t count = list_.size(); position_ < count; ++position_) {
      const Flow flow = visitGuarded();
      if (flow.continues()) [[likely]]
        continue;
      if (!flow.pending()) return finish(flow.error());
      park();
      return false;
    }
    return finish({});
  }

private:
  Flow visitGuarded() {
    try {
      return visit(*list_[position_], ctx_, Stack::nextOf(*this));
    } catch (...) {
      block_.ticket = 0;
      return failed();
    }
  }
  Flow failed() noexcept override {
    const auto* handler = dynamic_cast<const Middleware*>(list_[position_]);
    return stoppedBy(stack_.thrown(Ctx::kName, handler));
  }
  void park() override {
    pins_.take(ctx_);
    stack_.link(*this);
  }
  void unpark() override { stack_.unlink(*this); }
  void resume(Flow flow) override {
    if constexpr (requires { ctx_.consumed; }) ctx_.consumed = !flow.continues();
    if (!flow.continues()) return void(finish(flow.error()));
    ++position_;
    advance();
  }
  bool finish(std::error_code error) {
    stack_.finish(then_, error, ctx_);
    const Pins<Ctx> pins = std::move(pins_);  // outlive the context
    WalkPool& pool = pool_;
    WalkPool::Block& block = block_;
    this->~Walk();
    pool.giveBack(block);
    return true;
  }

  Stack& stack_;
  const std::vector<Handler*>& list_;
  Ctx ctx_;
  Then then_;
  std::size_t position_ = 0;
  Pins<Ctx> pins_;
};

template <class Handler, class Ctx, class Then>
Stack::Walk<Handler, std::decay_t<Ctx>, Then>* Stack::begin(const std::vector<Handler*>& list,
                                                            Ctx&& ctx, Then then) {
  if (list.empty()) {
    finish(then, {}, ctx);
    return nullptr;
  }
  using W = Walk<Handler, std::decay_t<Ctx>, Then>;
  static_assert(sizeof(W) <= WalkPool::kBlockBytes,
                "contexts hold views and pointers: keep them small");
  WalkPool::Block& block = pool_->take();
  W* const walk = new (block.bytes) W{*this, block, list, std::forward<Ctx>(ctx), std::move(then)};
  return walk->advance() ? nullptr : walk;
}

}  // namespace mqttstack
