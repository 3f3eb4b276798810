#pragma once

#include <string>

namespace mqttstack {

/// What can be seen of the damage to a write-ahead log. Both texts are for the
/// operator, and empty if nothing is wrong.
struct LogExamination {
  std::string damage;   ///< what was committed behind the damage would be lost
  std::string warning;  ///< the same, or the power went before it was committed
};

/// Looks through the log of the database `path`, "{path}-wal", for damage. SQLite
/// takes the first frame whose checksum is wrong for the end of the log and says
/// nothing: right for what was not written to its end, wrong if there is more behind
/// it. Called while nobody has the database open; changes nothing.
LogExamination examineLog(const std::string& path);

}  // namespace mqttstack
