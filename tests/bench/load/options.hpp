#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <sys/types.h>

#include "tests/bench/load/endpoint.hpp"
#include "tests/bench/load/packets.hpp"

namespace mqttstack::load {

enum class Scenario : std::uint8_t { traffic, idle, filters, retained, offline, health };

/// What subscribers of the traffic subscribe to.
enum class Subscribing : std::uint8_t {
  exact,  ///< to their topic
  plus,   ///< to all topics, by a filter with `+`
  hash,   ///< to all topics, by one with `#`
};

/// What the user asked for. Times are in seconds.
struct Options {
  Scenario scenario = Scenario::traffic;

  // Whom to measure.
  std::string host = "127.0.0.1";
  std::uint16_t port = 1883;
  Transport transport = Transport::tcp;
  pid_t broker = 0;  ///< the process; 0: unknown, its figures are 0
  std::string label{};

  // What clients do.
  Version version = Version::v311;
  unsigned publishQos = 0;
  unsigned subscribeQos = 0;
  std::size_t payload = 64;
  std::uint32_t window = 64;
  std::size_t connecting = 256;  ///< connections that come up at the same time
  bool persistent = false;       ///< sessions outlive their connections
  std::uint16_t keepAlive = 0;

  // Traffic.
  std::uint32_t publishers = 50;
  std::uint32_t subscribers = 50;
  std::uint32_t topics = 0;  ///< 0: one for each publisher
  Subscribing subscribing = Subscribing::exact;
  double warmUp = 0.5;
  double seconds = 3;
  double rate = 0;             ///< messages per second of all publishers; 0: as the window allows
  std::uint64_t messages = 0;  ///< of all publishers, instead of seconds; 0: no limit
  double stall = 2;            ///< as long without progress means that the window was lost

  // The other scenarios.
  std::uint32_t clients = 1'000;
  std::uint32_t broadcast = 0;
  double hold = 1;
  std::uint32_t filters = 100'000;
  std::string filterForm = "exact";
  std::uint32_t filtersPerPacket = 100;
  std::uint32_t stored = 100'000;
  std::string replayFilter = "#";
  std::string trouble = "nothing";  ///< what others do while one wants to be served
};

/// Reads the command line. Prints help or what is wrong, and returns false, with the exit code in
/// `code`.
bool parse(int argc, char** argv, Options& options, int& code);

}  // namespace mqttstack::load
