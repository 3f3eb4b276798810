#pragma once

#include "core/stack/diagnostics.hpp"

namespace mqttstack {

/// A middleware inherits this to take part in a reload: on SIGHUP, and when one
/// of the files has changed that its options of the kind "path" name, it reads
/// those files once more. Its options themselves stay as they are until the
/// daemon is started again.
class Reloadable {
public:
  /// Called from the loop between two packets; on SIGHUP after the whole
  /// configuration was found good. Takes over what it reads at once and
  /// completely; if something is wrong with it, reports that, goes on with what it
  /// has, and returns false.
  virtual bool reload(Diagnostics& diagnostics) = 0;

protected:
  ~Reloadable() = default;
};

}  // namespace mqttstack
