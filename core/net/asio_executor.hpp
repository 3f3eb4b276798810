#pragma once

#include <functional>
#include <utility>

#include <asio/io_context.hpp>
#include <asio/post.hpp>

#include "core/net/flush_list.hpp"
#include "core/util/worker.hpp"

namespace mqttstack::net {

/// The daemon's LoopExecutor: tasks go to the io_context, which drops them once
/// it is destroyed. Outlives every thread that posts.
class AsioExecutor final : public LoopExecutor {
public:
  /// `flushList` knows how long the turn may take: the reactor's.
  AsioExecutor(asio::io_context& io, FlushList& flushList) : io_{io}, flushList_{flushList} {}

  void post(std::function<void()> task) override { asio::post(io_, std::move(task)); }
  bool late() override { return flushList_.late(); }

private:
  asio::io_context& io_;
  FlushList& flushList_;
};

}  // namespace mqttstack::net
