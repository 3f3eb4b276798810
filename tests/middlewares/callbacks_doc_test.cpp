#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

#include "core/stack/callbacks.hpp"
#include "core/stack/registry.hpp"
#include "middlewares/builtins.hpp"

using namespace mqttstack;

namespace {

using Names = std::set<std::string>;

/// A row of a table of docs/callbacks.md.
struct Row {
  std::string kind;
  std::string executedBy;
  std::string handledBy;
};

std::vector<std::string> cellsOf(const std::string& line) {
  std::vector<std::string> cells;
  std::size_t begin = 1;
  for (std::size_t end; (end = line.find('|', begin)) != std::string::npos; begin = end + 1) {
    std::string cell = line.substr(begin, end - begin);
    cell.erase(0, cell.find_first_not_of(' '));
    cell.erase(cell.find_last_not_of(' ') + 1);
    cells.push_back(cell);
  }
  return cells;
}

std::map<std::string, Row> documented() {
  std::ifstream file{MQTTSTACK_SOURCES "/docs/callbacks.md"};
  REQUIRE(file);
  std::map<std::string, Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| `")) continue;
    const auto cells = cellsOf(line);
    CAPTURE(line);
    REQUIRE(cells.size() == 6);
    const std::string name = cells[0].substr(1, cells[0].size() - 2);
    REQUIRE(rows.emplace(name, Row{cells[1], cells[4], cells[5]}).second);
  }
  return rows;
}

/// The names between backticks.
Names namesIn(const std::string& cell) {
  Names names;
  for (std::size_t at = 0; (at = cell.find('`', at)) != std::string::npos;) {
    const std::size_t end = cell.find('`', at + 1);
    REQUIRE(end != std::string::npos);
    names.insert(cell.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return names;
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

struct Declared {
  std::string name;
  CallbackKind kind;
};

template <class... Cs>
std::vector<Declared> declared(Callbacks<Cs...>) {
  return {Declared{std::string{Cs::kName}, Cs::kKind}...};
}

}  // namespace

TEST_CASE("docs/callbacks.md says of each callback who executes and who handles it", "[docs]") {
  Registry registry;
  registerBuiltins(registry);
  auto rows = documented();
  for (const auto& [name, kind] : declared(AllCallbacks{})) {
    CAPTURE(name);
    REQUIRE(rows.count(name) == 1);
    const Row row = rows.extract(name).mapped();
    CHECK(row.kind == (kind == CallbackKind::sync ? "sync" : "deferred"));

    Names executing;
    for (const std::string& type : registry.names()) {
      const MiddlewareInfo& info = registry.info(type);
      if (contains(info.executes, name) || contains(info.mayExecute, name)) executing.insert(type);
    }
    CHECK(namesIn(row.executedBy) == executing);
    CHECK((!executing.empty() || row.executedBy == "the client"));

    const auto handlers = registry.handlersOf(name);
    CHECK(namesIn(row.handledBy) == Names{handlers.begin(), handlers.end()});
  }
  for (const auto& [name, row] : rows) FAIL_CHECK("there is no callback \"" << name << "\"");
}
