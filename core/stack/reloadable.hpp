#pragma once

#include "core/stack/diagnostics.hpp"

namespace mqttstack {

/// A middleware inherits this to take part in a reload (SIGHUP): it reads the
/// files that its options name once more. Its options themselves stay as they
/// are until the daemon is started again.
class Reloadable {
public:
  /// Called from the loop between two packets, after the whole configuration was
  /// found good. Takes over what it reads at once and completely; if something is
  /// wrong with it, reports that and goes on with what it has.
  virtual void reload(Diagnostics& diagnostics) = 0;

protected:
  ~Reloadable() = default;
};

}  // namespace mqttstack
