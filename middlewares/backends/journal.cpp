#include "middlewares/backends/journal.hpp"

#include <algorithm>
#include <utility>

#include "core/util/worker.hpp"

namespace mqttstack {

namespace {

/// What there was no room for is tried again so often.
constexpr std::chrono::milliseconds kRetryInterval{100};
/// Memory for more operations than these is not kept.
constexpr std::size_t kKeptOperations = 64 * 1024;
/// Deliveries that are dropped with one batch at most, of those that can wait.
constexpr std::size_t kLeftovers = 512;

/// Whether an operation may be refused to the client that it is for; all others
/// have to be stored sooner or later.
bool refusable(const Operation& operation) noexcept {
  if (const auto* session = std::get_if<std::unique_ptr<PutSession>>(&operation))
    return (*session)->created;
  return std::holds_alternative<PutDelivery>(operation) ||
         std::holds_alternative<PutIncoming>(operation) ||
         std::holds_alternative<PutRetained>(operation) ||
         std::holds_alternative<std::unique_ptr<PutSubscription>>(operation);
}

/// Puts what is in `more` behind what is in `batch`.
void appendTo(Batch& batch, Batch& more) {
  const auto units = static_cast<std::uint32_t>(batch.units.size());
  const auto operations = static_cast<std::uint32_t>(batch.operations.size());
  for (Operation& each : more.operations) batch.operations.push_back(std::move(each));
  for (const StoreUnit& each : more.units) batch.units.push_back({each.end + operations});
  for (Batch::Waiting& each : more.waiting)
    batch.waiting.push_back({each.unit + units, std::move(each.waiter)});
  batch.live += more.live;
  batch.bytes += more.bytes;
}

}  // namespace

void Batch::clear() {
  if (operations.capacity() > kKeptOperations && operations.size() < operations.capacity() / 8) {
    operations = std::vector<Operation>{};
    units = std::vector<StoreUnit>{};
    positions = std::vector<std::uint32_t>{};
  }
  operations.clear();
  units.clear();
  waiting.clear();
  positions.clear();
  firstNumber = 0;
  live = 0;
  bytes = 0;
  result = {};
}

Journal::Journal(JournalOwner& owner, const Clock& clock, LoopExecutor& loop,
                 std::unique_ptr<Committer> committer, const JournalPace& pace)
    : owner_{owner},
      clock_{clock},
      loop_{loop},
      committer_{std::move(committer)},
      pace_{pace},
      open_{std::make_unique<Batch>()},
      retry_{std::make_unique<Batch>()},
      spare_{std::make_unique<Batch>()},
      self_{std::make_shared<Journal*>(this)} {
  committer_->start(*this);
}

Journal::~Journal() {
  stop();
  *self_ = nullptr;
}

void Journal::stop() {
  if (state_ == State::stopped) return;
  if (auto batch = committer_->stop()) {
    busy_ = false;
    finish(*batch);
  }
  // What is let go of may lead to more.
  for (int i = 0; i < 4 && state_ == State::running; ++i) {
    for (std::unique_ptr<Batch>* each : {&retry_, &open_}) {
      if ((*each)->empty()) continue;
      const auto batch = std::exchange(*each, std::make_unique<Batch>());
      committer_->commitNow(*batch);
      finish(*batch);
    }
  }
  state_ = State::stopped;
  leftovers_.clear();
  refuseAll(*retry_);
  refuseAll(*open_);
}

// Adding.

void Journal::begin() {
  if (depth_++ != 0) return;
  unitBegin_ = open_->operations.size();
  missed_ = false;
  loose_ = false;
}

void Journal::end() {
  if (--depth_ != 0) return;
  const bool awaited = !open_->waiting.empty() && open_->waiting.back().unit == open_->units.size();
  if (open_->operations.size() == unitBegin_ && !awaited) return;
  open_->units.push_back({static_cast<std::uint32_t>(open_->operations.size())});
  plan();
}

void Journal::add(Operation operation, std::size_t bytes) {
  if (state_ != State::running) return void(missed_ = true);
  open_->bytes += sizeof(Operation) + bytes;
  ++open_->live;
  open_->operations.push_back(std::move(operation));
  const auto end = static_cast<std::uint32_t>(open_->operations.size());
  if (depth_ == 0) {
    if (loose_)
      open_->units.back().end = end;
    else
      open_->units.push_back({end});
    loose_ = true;
    plan();
  }
  if (!full_ && this->bytes() > pace_.maxBytes) full_ = true;
}

std::uint64_t Journal::put(PutDelivery delivery) {
  const std::uint64_t number = delivery.number = ++lastNumber_;
  if (state_ != State::running) return missed_ = true, number;
  if (open_->positions.empty()) open_->firstNumber = number;
  open_->positions.push_back(static_cast<std::uint32_t>(open_->operations.size()));
  const std::size_t bytes = delivery.message->footprint();
  add(std::move(delivery), bytes);
  return number;
}

/// The operation that puts this delivery, if it was not handed over yet.
Operation* Journal::openPut(std::uint64_t number) noexcept {
  if (open_->positions.empty() || number < open_->firstNumber) return nullptr;
  return &open_->operations[open_->positions[number - open_->firstNumber]];
}

void Journal::move(const MoveDelivery& move) {
  if (Operation* const operation = openPut(move.number)) {
    if (auto* const delivery = std::get_if<PutDelivery>(operation)) {
      delivery->packetId = move.packetId;
      delivery->state = move.state;
    }
    return;
  }
  add(move);
}

void Journal::drop(std::uint64_t number) {
  if (Operation* const operation = openPut(number)) {
    if (const auto* delivery = std::get_if<PutDelivery>(operation)) {
      --open_->live;
      open_->bytes -= delivery->message->footprint();
    }
    *operation = std::monostate{};
    return;
  }
  add(DropDelivery{number});
}

void Journal::dropLater(std::uint64_t number) {
  if (openPut(number)) return drop(number);
  if (state_ != State::running) return;
  leftovers_.push_back(number);
  plan();
}

/// Puts some of what can wait into the batch that is about to be handed over.
void Journal::takeLeftovers() {
  if (leftovers_.empty()) return;
  const std::size_t count = std::min(leftovers_.size(), kLeftovers);
  const auto first = leftovers_.end() - static_cast<std::ptrdiff_t>(count);
  add(DropDeliveries{{first, leftovers_.end()}});
  leftovers_.erase(first, leftovers_.end());
  if (leftovers_.empty()) leftovers_.shrink_to_fit();
}

void Journal::wait(Waiter waiter) {
  if (state_ != State::running) return owner_.settle(std::move(waiter), false);
  if (depth_ == 0) {
    if (open_->units.empty())
      open_->units.push_back({static_cast<std::uint32_t>(open_->operations.size())});
    loose_ = false;
    plan();
  }
  const std::size_t unit = depth_ == 0 ? open_->units.size() - 1 : open_->units.size();
  open_->waiting.push_back({static_cast<std::uint32_t>(unit), std::move(waiter)});
}

// Handing over.

/// Sees to it that what was added is handed over when this turn of the loop ends.
void Journal::plan() {
  if (planned_ || busy_ || (reminded_ && open_->live < pace_.operations)) return;
  planned_ = true;
  loop_.post([self = self_] {
    if (!*self) return;
    (*self)->planned_ = false;
    (*self)->handOver();
  });
}

/// When the next batch may be handed over: no sooner than the last commit took,
/// so that the disk has as much rest as work, and the interval at most.
TimePoint Journal::due() const {
  return committedAt_ + std::min<Duration>(pace_.interval, committedAt_ - handedOver_);
}

void Journal::handOver() {
  if (busy_ || state_ != State::running) return;
  const TimePoint now = clock_.now();
  if (!retry_->empty()) {
    if (now < retryAt_) return remindAt(retryAt_);
    appendTo(*retry_, *open_);
    open_->clear();
    return send(retry_);
  }
  if (open_->empty() && leftovers_.empty()) return;
  if (open_->live == 0 && leftovers_.empty()) {
    auto batch = std::exchange(open_, std::exchange(spare_, nullptr));
    if (!open_) open_ = std::make_unique<Batch>();
    loose_ = false;
    finish(*batch);
    recycle(std::move(batch));
    return checkRoom();
  }
  if (const TimePoint when = due(); now < when && open_->live < pace_.operations)
    return remindAt(when);
  takeLeftovers();
  send(open_);
}

void Journal::remindAt(TimePoint when) {
  reminded_ = true;
  committer_->remindAt(when);
}

void Journal::reminded() {
  reminded_ = false;
  handOver();
}

void Journal::send(std::unique_ptr<Batch>& batch) {
  auto sent = std::exchange(batch, std::exchange(spare_, nullptr));
  if (!batch) batch = std::make_unique<Batch>();
  loose_ = false;
  busy_ = true;
  busyBytes_ = sent->bytes;
  handedOver_ = clock_.now();
  committer_->commit(std::move(sent));
}

void Journal::committed(std::unique_ptr<Batch> batch) {
  busy_ = false;
  busyBytes_ = 0;
  committedAt_ = clock_.now();
  finish(*batch);
  recycle(std::move(batch));
  checkRoom();
  handOver();
}

void Journal::recycle(std::unique_ptr<Batch> batch) {
  if (spare_) return;
  batch->clear();
  spare_ = std::move(batch);
}

void Journal::checkRoom() {
  if (!full_ || bytes() > pace_.maxBytes / 2) return;
  full_ = false;
  owner_.roomAgain();
}

// Outcome.

void Journal::finish(Batch& batch) {
  if (batch.result.kind == CommitResult::Kind::broken) return breakDown(batch);
  if (batch.live != 0) ++commits_;
  if (batch.result.kind == CommitResult::Kind::partly) return finishRefused(batch);
  storedOperations_ += batch.live;
  for (Batch::Waiting& each : batch.waiting) owner_.settle(std::move(each.waiter), true);
  batch.waiting.clear();
}

/// Undoes what may be refused of the units that failed, and keeps the rest to be
/// tried again, with who waits for it.
void Journal::finishRefused(Batch& batch) {
  owner_.refused(batch.result.message);
  undoFailed(batch);
  std::size_t waiting = 0;
  std::uint32_t operation = 0;
  for (std::uint32_t i = 0; i < batch.units.size(); ++i) {
    const StoreUnit& unit = batch.units[i];
    bool refused = false;
    bool again = false;
    for (; operation < unit.end; ++operation) {
      Operation& each = batch.operations[operation];
      if (!unit.failed || std::holds_alternative<std::monostate>(each)) continue;
      if (refusable(each)) {
        refused = true;
      } else {
        retry_->operations.push_back(std::move(each));
        retry_->bytes += sizeof(Operation);
        ++retry_->live;
        again = true;
      }
    }
    for (; waiting < batch.waiting.size() && batch.waiting[waiting].unit == i; ++waiting) {
      Waiter waiter = std::move(batch.waiting[waiting].waiter);
      if (again && !refused)
        retry_->waiting.push_back(
            {static_cast<std::uint32_t>(retry_->units.size()), std::move(waiter)});
      else
        owner_.settle(std::move(waiter), !refused);
    }
    if (again) retry_->units.push_back({static_cast<std::uint32_t>(retry_->operations.size())});
  }
  batch.waiting.clear();
  retryAt_ = clock_.now() + kRetryInterval;
}

/// From the last to the first: what took the place of something has to give it back
/// before that is undone itself.
void Journal::undoFailed(Batch& batch) {
  for (std::size_t i = batch.units.size(); i-- > 0;) {
    if (!batch.units[i].failed) continue;
    const std::uint32_t begin = i == 0 ? 0 : batch.units[i - 1].end;
    for (std::uint32_t operation = batch.units[i].end; operation-- > begin;)
      if (refusable(batch.operations[operation])) owner_.undo(batch.operations[operation]);
  }
}

void Journal::breakDown(Batch& batch) {
  const bool first = std::exchange(state_, State::broken) == State::running;
  if (first) owner_.broken(batch.result.message);
  leftovers_.clear();
  refuseAll(batch);
  refuseAll(*retry_);
  refuseAll(*open_);
}

void Journal::refuseAll(Batch& batch) {
  // Whoever is let go of may come back for more.
  auto waiting = std::exchange(batch.waiting, {});
  for (Batch::Waiting& each : waiting) owner_.settle(std::move(each.waiter), false);
  batch.clear();
}

}  // namespace mqttstack
