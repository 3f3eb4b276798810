#pragma once

#include <cstddef>

/// Recycled memory for small things that come and go by the million: messages,
/// and the chunks in which packets wait to be sent. What one thread frees it uses
/// again itself, so nothing is shared and there is no lock.
///
/// There is a list for each size of up to 1 KiB, which keeps 512 KiB at most. Larger blocks come
/// from the system and go back to it.
namespace mqttstack::block_pool {

/// A block of at least `bytes`, aligned for anything.
void* take(std::size_t bytes);

/// Gives back a block that take() handed out for the same size.
void give(void* block, std::size_t bytes) noexcept;

/// What a block of that size takes of memory, all included.
std::size_t footprint(std::size_t bytes) noexcept;

/// Bytes in blocks that nobody uses.
std::size_t freeBytes() noexcept;

/// Returns the blocks that nobody uses to the system.
void trim() noexcept;

}  // namespace mqttstack::block_pool
