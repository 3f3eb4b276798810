#pragma once

namespace mqttstack {

/// What the process tells its supervisor, in the words of sysexits(3), so that
/// systemd can name them and knows which ones a restart cannot mend.
enum class ExitCode : int {
  success = 0,
  usage = 64,             ///< the command line is wrong
  badData = 65,           ///< a file that the configuration names holds something wrong
  addressInUse = 69,      ///< a listener could not be opened
  internal = 70,          ///< a defect of ours
  io = 74,                ///< a middleware could not start, or go on: a lock, a store
  permission = 77,        ///< a port or a file that this user may not have
  badConfiguration = 78,  ///< the configuration is wrong; all of it was told
};

}  // namespace mqttstack
