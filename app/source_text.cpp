#include "app/source_text.hpp"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <sys/stat.h>

namespace mqttstack {
namespace {

/// Nobody writes so much by hand: more is the wrong file.
constexpr std::size_t kLargestFile = 16 * 1024 * 1024;

using File = std::unique_ptr<std::FILE, decltype(&std::fclose)>;

Unexpected<std::error_code> systemError(int error) {
  return Unexpected{std::error_code{error, std::generic_category()}};
}

}  // namespace

Result<SourceText> SourceText::read(const std::filesystem::path& path) {
  const File file{std::fopen(path.c_str(), "re"), &std::fclose};
  if (!file) return systemError(errno);
  struct stat status;
  if (::fstat(::fileno(file.get()), &status) == 0 && S_ISDIR(status.st_mode))
    return systemError(EISDIR);

  std::string text;
  char block[16 * 1024];
  while (const std::size_t count = std::fread(block, 1, sizeof block, file.get())) {
    text.append(block, count);
    if (text.size() > kLargestFile) return systemError(EFBIG);
  }
  if (std::ferror(file.get())) return systemError(errno);
  return SourceText{path.string(), std::move(text)};
}

std::string_view SourceText::line(std::uint32_t number) const noexcept {
  if (number == 0) return {};
  std::string_view rest = text_;
  while (--number > 0) {
    const auto end = rest.find('\n');
    if (end == std::string_view::npos) return {};
    rest.remove_prefix(end + 1);
  }
  rest = rest.substr(0, rest.find('\n'));
  if (rest.ends_with('\r')) rest.remove_suffix(1);
  return rest;
}

}  // namespace mqttstack
