#include "app/man_page.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "app/describe.hpp"
#include "app/manual.hpp"

namespace mqttstack {
namespace {

constexpr std::string_view kFence = "```";
constexpr std::string_view kItem = "- ";
constexpr std::string_view kStrong = "**";

/// A character as it is to be read: hyphens of options are not broken at, quotes
/// stay straight where somebody may copy them.
void appendCharacter(std::string& to, char c) {
  switch (c) {
    case '\\':
      to += "\\e";
      break;
    case '-':
      to += "\\-";
      break;
    case '\'':
      to += "\\(aq";
      break;
    case '^':
      to += "\\(ha";
      break;
    case '~':
      to += "\\(ti";
      break;
    default:
      to += c;
  }
}

std::string literal(std::string_view text) {
  std::string all;
  for (const char c : text) appendCharacter(all, c);
  return all;
}

/// A line of code, in which a dot at the beginning is no request.
std::string codeLine(std::string_view line) {
  return (line.substr(0, 1) == "." ? "\\&" : "") + literal(line) + '\n';
}

/// A paragraph's text with its marks of emphasis turned into fonts.
std::string inlineText(std::string_view text) {
  std::string all;
  bool code = false;
  bool strong = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '`' || (!code && text.substr(i, kStrong.size()) == kStrong)) {
      bool& mark = text[i] == '`' ? code : strong;
      mark = !mark;
      all += code || strong ? "\\fB" : "\\fR";
      if (text[i] == '*') ++i;
    } else {
      if (all.empty() && text[i] == '.') all += "\\&";
      appendCharacter(all, text[i]);
    }
  }
  return all;
}

/// The lines of a paragraph while they come, and how it begins.
struct Paragraph {
  std::string text;
  std::string_view begin = ".PP";

  void add(std::string_view line) {
    if (!text.empty()) text += ' ';
    text += line;
  }
  void finish(std::string& to) {
    if (!text.empty()) to += fmt::format("{}\n{}\n", begin, inlineText(text));
    text.clear();
    begin = ".PP";
  }
};

std::string optionText(const OptionInfo& option) {
  std::string line = fmt::format(".TP\n\\fB{}\\fR", literal(option.name));
  if (hasDefault(option)) line += fmt::format(" = {}", literal(option.defaultValue));
  line += fmt::format("\n({}", option.type);
  if (option.required) line += ", required";
  if (!option.range.empty()) line += ", " + literal(option.range);
  return line + ") " + inlineText(option.text) + "\n";
}

std::string optionsText(std::string_view header, std::string_view summary,
                        const std::vector<OptionInfo>& options) {
  std::string text = fmt::format(".SS {}\n{}\n", literal(header), inlineText(summary));
  if (options.empty()) text += "It has no options.\n";
  for (const OptionInfo& option : options) text += optionText(option);
  return text;
}

}  // namespace

std::string manPageText(std::string_view markdown) {
  std::string text;
  Paragraph paragraph;
  bool code = false;
  while (!markdown.empty()) {
    const std::size_t end = std::min(markdown.find('\n'), markdown.size());
    std::string_view line = markdown.substr(0, end);
    markdown.remove_prefix(std::min(end + 1, markdown.size()));
    if (line.substr(0, kFence.size()) == kFence) {
      paragraph.finish(text);
      code = !code;
      text += code ? ".PP\n.nf\n" : ".fi\n";
    } else if (code) {
      text += codeLine(line);
    } else if (line.empty()) {
      paragraph.finish(text);
    } else if (line.substr(0, kItem.size()) == kItem) {
      paragraph.finish(text);
      paragraph.begin = ".IP \\(bu 2";
      paragraph.add(line.substr(kItem.size()));
    } else {
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
      paragraph.add(line);
    }
  }
  paragraph.finish(text);
  return text;
}

std::string configurationManPage(const Registry& registry, std::string_view version) {
  std::string text = fmt::format(R"(.TH MQTT\-STACKD.TOML 5 "" "mqtt\-stackd {}" "mqtt\-stackd"
.SH NAME
mqtt\-stackd.toml \- configuration of the MQTT broker mqtt\-stackd
.SH SYNOPSIS
.I /etc/mqtt\-stackd/mqtt\-stackd.toml
.SH DESCRIPTION
)",
                                 literal(version));
  text += manPageText(configurationIntroduction());
  text += ".SH TABLES\n";
  for (const ConfigTableInfo& table : configTables())
    text += optionsText(table.header, table.summary, table.options);
  text += ".SH MIDDLEWARES\n";
  for (const std::string& name : registry.names()) {
    const MiddlewareInfo& info = registry.info(name);
    text += optionsText(info.name, info.summary, info.options);
  }
  text += R"(.SH SEE ALSO
.BR mqtt\-stackd (8)
)";
  return text;
}

}  // namespace mqttstack
