#pragma once

namespace mqttstack::broker {

/// To be called after an erasure: gives memory back when a table uses less than
/// an eighth of what it has. Flat tables never shrink by themselves. Amortised
/// over the erasures it took to get there, it costs O(1).
template <class Table>
void shrinkIfSparse(Table& table) {
  constexpr auto kKeptBuckets = 1024U;
  if (table.bucket_count() > kKeptBuckets && table.size() < table.bucket_count() / 8)
    table.rehash(table.size() * 2);
}

}  // namespace mqttstack::broker
