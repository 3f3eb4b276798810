#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "core/util/expected.hpp"

namespace mqttstack {

/// A stretch of one line of the configuration file. Lines and columns count
/// from 1, columns in characters; line 0 is the file as a whole.
struct SourceSpan {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::uint32_t length = 1;

  friend auto operator<=>(const SourceSpan&, const SourceSpan&) = default;
};

/// A configuration file as it was read, kept for showing its lines.
class SourceText {
public:
  /// `name` is what messages call it.
  SourceText(std::string name, std::string text) : name_{std::move(name)}, text_{std::move(text)} {}

  /// Reads a file. The error is the system's, or file_too_large.
  static Result<SourceText> read(const std::filesystem::path& path);

  const std::string& name() const noexcept { return name_; }
  const std::string& text() const noexcept { return text_; }
  /// A line without its end; empty if there is no such line.
  std::string_view line(std::uint32_t number) const noexcept;

private:
  std::string name_;
  std::string text_;
};

}  // namespace mqttstack
