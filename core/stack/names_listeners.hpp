#pragma once

#include <string>
#include <vector>

namespace mqttstack {

/// A middleware inherits this if its files say something about listeners, by their
/// names: what is about one that there is not would never hold.
class NamesListeners {
public:
  /// Called when the pipelines are checked. The names of listeners, each once.
  virtual std::vector<std::string> listenersNamed() const = 0;

protected:
  ~NamesListeners() = default;
};

}  // namespace mqttstack
