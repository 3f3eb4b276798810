#include "core/util/bounded_table.hpp"

#include <string>

#include <catch2/catch.hpp>

using Table = mqttstack::BoundedTable<std::string, int>;

TEST_CASE("an entry is made once, with what it is to begin with", "[bounded_table]") {
  Table table{2};
  CHECK(table.use("a", 7).value == 7);
  table.use("a").value = 8;
  CHECK(table.use("a", 7).value == 8);
  CHECK(table.find("b") == nullptr);
  CHECK(table.size() == 1);
}

TEST_CASE("who was not heard of for longest is forgotten first", "[bounded_table]") {
  Table table{2};
  table.use("a");
  table.use("b");
  table.use("a");
  table.use("c");
  CHECK(table.size() == 2);
  CHECK(table.find("a"));
  CHECK_FALSE(table.find("b"));
}

TEST_CASE("what is held is not forgotten and does not count", "[bounded_table]") {
  Table table{1};
  Table::Entry& held = table.use("held", 1);
  table.hold(held);
  table.hold(held);
  for (const char* name : {"a", "b", "c"}) table.use(name);
  CHECK(table.size() == 2);
  CHECK(&table.use("held") == &held);
  table.release(held);
  CHECK(table.find("held"));
  table.release(held);
  CHECK(table.size() == 1);
  CHECK(table.find("held"));  // the last that was heard of
  table.use("d");
  CHECK_FALSE(table.find("held"));
}

TEST_CASE("an entry can be forgotten at will, but not while it is held", "[bounded_table]") {
  Table table{2};
  table.hold(table.use("a"));
  table.use("b");
  table.erase("a");
  table.erase("b");
  table.erase("c");
  CHECK(table.find("a"));
  CHECK(table.size() == 1);
}

TEST_CASE("it stays bounded whoever comes", "[bounded_table]") {
  Table table{100};
  for (int i = 0; i < 10'000; ++i) table.use(std::to_string(i));
  CHECK(table.size() == 100);
  CHECK(table.find("9999"));
}
