#include "middlewares/backends/sqlite_log.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <fmt/format.h>
#include <fstream>
#include <span>
#include <string_view>
#include <vector>

// The format is described in https://www.sqlite.org/fileformat2.html#walformat
namespace mqttstack {

namespace {

constexpr std::size_t kHeaderBytes = 32;
constexpr std::size_t kFrameHeaderBytes = 24;
constexpr std::uint32_t kMagic = 0x377f0682;  // or one more: its words are big-endian

using Checksum = std::array<std::uint32_t, 2>;

std::uint32_t wordAt(const unsigned char* at, bool bigEndian) {
  return bigEndian ? std::uint32_t{at[0]} << 24U | at[1] << 16U | at[2] << 8U | at[3]
                   : std::uint32_t{at[3]} << 24U | at[2] << 16U | at[1] << 8U | at[0];
}
std::uint32_t numberAt(const unsigned char* at) { return wordAt(at, true); }
Checksum pairAt(const unsigned char* at) { return {numberAt(at), numberAt(at + 4)}; }

/// Goes on from `sum` with more bytes.
Checksum add(Checksum sum, std::span<const unsigned char> bytes, bool bigEndian) {
  for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    sum[0] += wordAt(&bytes[i], bigEndian) + sum[1];
    sum[1] += wordAt(&bytes[i + 4], bigEndian) + sum[0];
  }
  return sum;
}

bool read(std::ifstream& file, std::span<unsigned char> into) {
  file.read(reinterpret_cast<char*>(into.data()), static_cast<std::streamsize>(into.size()));
  return static_cast<std::size_t>(file.gcount()) == into.size();
}

std::string describe(const std::string& path, std::string_view what) {
  return fmt::format(
      "\"{0}-wal\" is damaged: {1}. Bring an undamaged copy back; or, to go on with what was "
      "stored before that, keep a copy of {0} and {0}-wal and call: sqlite3 {0} "
      "'PRAGMA wal_checkpoint(TRUNCATE)'",
      path, what);
}

}  // namespace

LogExamination examineLog(const std::string& path) {
  std::ifstream file{path + "-wal", std::ios::binary};
  std::array<unsigned char, kHeaderBytes> header{};
  if (!file || !read(file, header) || header == decltype(header){}) return {};

  const std::uint32_t magic = numberAt(&header[0]);
  const bool bigEndian = (magic & 1U) != 0;
  const std::uint32_t pageSize = numberAt(&header[8]);
  const Checksum salt = pairAt(&header[16]);
  Checksum sum = add({}, std::span{header}.first(24), bigEndian);
  const bool sizeFits = pageSize >= 512 && pageSize <= 65'536 && (pageSize & (pageSize - 1)) == 0;
  if ((magic & ~1U) != kMagic || !sizeFits || sum != pairAt(&header[24]))
    return {describe(path, "its header makes no sense"), {}};

  // Behind a frame that is wrong, the next is judged by the checksum that stands
  // in that one: so it is seen whether only one of them is wrong.
  std::vector<unsigned char> frame(kFrameHeaderBytes + pageSize);
  const std::span<const unsigned char> bytes{frame};
  std::size_t wrongAt = 0;  // where in the file; 0: nowhere yet
  std::size_t behind = 0;   // transactions that end behind it
  bool ended = false;       // the transaction that is wrong has ended
  bool more = false;        // there is something behind it
  for (std::size_t at = kHeaderBytes; read(file, frame); at += frame.size()) {
    const Checksum stored = pairAt(&frame[16]);
    bool right = pairAt(&frame[8]) == salt && numberAt(&frame[0]) != 0;
    if (right)
      right = add(add(sum, bytes.first(8), bigEndian), bytes.subspan(kFrameHeaderBytes),
                  bigEndian) == stored;
    const bool ends = numberAt(&frame[4]) != 0;
    if (!right && wrongAt == 0) {
      wrongAt = at;
      ended = ends;
    }
    sum = stored;
    if (!right || wrongAt == 0) continue;
    more = more || ended;
    ended = ended || ends;
    behind += ends;
  }
  if (behind == 0) return {};
  if (more)
    return {describe(path, fmt::format("the frame at byte {}, with {} transactions behind it",
                                       wrongAt, behind)),
            {}};
  return {{},
          fmt::format("\"{0}-wal\": the last transaction is not whole, and was left out. That is "
                      "so when the power went while it was stored, before anybody was told that "
                      "it is; otherwise the file is damaged",
                      path)};
}

}  // namespace mqttstack
