#pragma once

#include <functional>
#include <utility>

#include <asio/io_context.hpp>
#include <asio/post.hpp>

#include "core/util/worker.hpp"

namespace mqttstack::net {

/// The daemon's LoopExecutor: tasks go to the io_context, which drops them once
/// it is destroyed. Outlives every thread that posts.
class AsioExecutor final : public LoopExecutor {
public:
  explicit AsioExecutor(asio::io_context& io) : io_{io} {}

  void post(std::function<void()> task) override { asio::post(io_, std::move(task)); }

private:
  asio::io_context& io_;
};

}  // namespace mqttstack::net
