#include "tests/middlewares/backends/row_store.hpp"

#include <fmt/format.h>

namespace mqttstack::test {

std::string Rows::digest() const {
  std::string text;
  for (const auto& [key, session] : sessions)
    text += fmt::format("s{}:{}:{} ", session.clientId, session.expiryInterval,
                        session.disconnectedAt == 0);
  for (const auto& [key, subscription] : subscriptions)
    text += fmt::format("f{}:{}:{} ", key.first, key.second, subscription.options.toByte());
  std::size_t place = 0;  // numbers differ by how often it was tried
  for (const auto& [number, delivery] : queue)
    text += fmt::format("q{}:{}:{}:{}:{} ", place++, delivery.session,
                        delivery.message ? delivery.message->payload() : "-", delivery.packetId,
                        static_cast<int>(delivery.state));
  for (const auto& [session, id] : incoming) text += fmt::format("i{}:{} ", session, id);
  for (const auto& [topic, message] : retained)
    text += fmt::format("r{}:{} ", topic, message->payload());
  for (const auto& [session, will] : wills) text += fmt::format("w{}:{} ", session, will.due);
  return text;
}

std::string RowStore::open(StoreReader& reader, std::vector<std::string>&) {
  StoreTime latest = 0;
  for (const auto& [key, session] : rows_.sessions)
    latest = std::max(latest, session.disconnectedAt);
  reader.clock(rows_.clock, latest);
  rows_.clock = reader.clock().setting();
  const Rows rows = rows_;
  for (const auto& [key, session] : rows.sessions) reader.session(session);
  for (const auto& [key, subscription] : rows.subscriptions) reader.subscription(subscription);
  for (const auto& [session, id] : rows.incoming)
    reader.incoming({session, static_cast<std::uint16_t>(id)});
  for (const auto& [number, delivery] : rows.queue) reader.delivery(delivery);
  for (const auto& [topic, message] : rows.retained) reader.retained(message);
  for (const auto& [session, will] : rows.wills) reader.will(will);
  return {};
}

CommitResult RowStore::commit(std::span<const Operation> all, std::span<StoreUnit> units) {
  const Rows before = rows_;
  std::uint32_t begin = 0;
  CommitResult result;
  ++commits;
  for (StoreUnit& unit : units) {
    const auto part = all.subspan(begin, unit.end - begin);
    begin = unit.end;
    const Verdict verdict = judge ? judge(part) : Verdict::store;
    if (verdict == Verdict::fail) {
      rows_ = before;
      return {CommitResult::Kind::broken, "the disk is broken"};
    }
    unit.failed = verdict == Verdict::refuse;
    if (unit.failed) {
      result = {CommitResult::Kind::partly, "the disk is full"};
      continue;
    }
    for (const Operation& each : part) apply(each);
  }
  return result;
}

void RowStore::apply(const Operation& operation) {
  if (std::holds_alternative<std::monostate>(operation)) return;
  ++operations;
  if (const auto* put = std::get_if<PutDelivery>(&operation)) {
    rows_.queue.insert_or_assign(put->number, *put);
  } else if (const auto* move = std::get_if<MoveDelivery>(&operation)) {
    if (const auto row = rows_.queue.find(move->number); row != rows_.queue.end()) {
      row->second.packetId = move->packetId;
      row->second.state = move->state;
    }
  } else if (const auto* drop = std::get_if<DropDelivery>(&operation)) {
    rows_.queue.erase(drop->number);
  } else if (const auto* many = std::get_if<DropDeliveries>(&operation)) {
    for (const std::uint64_t number : many->numbers) rows_.queue.erase(number);
  } else if (const auto* in = std::get_if<PutIncoming>(&operation)) {
    rows_.incoming.insert({in->session, in->packetId});
  } else if (const auto* out = std::get_if<DropIncoming>(&operation)) {
    rows_.incoming.erase({out->session, out->packetId});
  } else if (const auto* retain = std::get_if<PutRetained>(&operation)) {
    rows_.retained.insert_or_assign(std::string{retain->message->topic()}, retain->message);
  } else if (const auto* clear = std::get_if<DropRetained>(&operation)) {
    rows_.retained.erase(std::string{clear->topicOf->topic()});
  } else if (const auto* session = std::get_if<std::unique_ptr<PutSession>>(&operation)) {
    rows_.sessions.insert_or_assign((*session)->key, **session);
  } else if (const auto* end = std::get_if<DropSession>(&operation)) {
    rows_.sessions.erase(end->session);
    std::erase_if(rows_.subscriptions,
                  [&](const auto& row) { return row.first.first == end->session; });
    std::erase_if(rows_.incoming, [&](const auto& row) { return row.first == end->session; });
  } else if (const auto* leave = std::get_if<LeaveAll>(&operation)) {
    for (auto& [key, row] : rows_.sessions)
      if (row.disconnectedAt == 0) row.disconnectedAt = leave->at;
    for (auto& [key, row] : rows_.wills)
      if (row.due == 0) row.due = leave->at + row.will.delay * StoreTime{1000};
  } else if (const auto* sub = std::get_if<std::unique_ptr<PutSubscription>>(&operation)) {
    rows_.subscriptions.insert_or_assign(std::pair{(*sub)->session, (*sub)->filter}, **sub);
  } else if (const auto* unsub = std::get_if<std::unique_ptr<DropSubscription>>(&operation)) {
    std::erase_if(rows_.subscriptions, [&](const auto& row) {
      return row.first.first == (*unsub)->session &&
             ((*unsub)->filter.empty() || row.first.second == (*unsub)->filter);
    });
  } else if (const auto* will = std::get_if<std::unique_ptr<PutWill>>(&operation)) {
    rows_.wills.insert_or_assign((*will)->session, **will);
  } else if (const auto* later = std::get_if<MoveWill>(&operation)) {
    if (const auto row = rows_.wills.find(later->session); row != rows_.wills.end())
      row->second.due = later->due;
  } else if (const auto* no = std::get_if<DropWill>(&operation)) {
    rows_.wills.erase(no->session);
  }
}

}  // namespace mqttstack::test
