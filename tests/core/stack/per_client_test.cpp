#include "core/stack/per_client.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

/// Knows how many of it there are.
template <class Tag>
struct Counted {
  Counted() { ++alive; }
  Counted(Counted&& other) noexcept : text{std::move(other.text)}, moves{other.moves + 1} {
    ++alive;
  }
  ~Counted() { --alive; }
  std::string text = "fresh, and too long for the string's own small buffer";
  int moves = 0;
  static inline int alive = 0;
};
using First = Counted<struct FirstTag>;
using Second = Counted<struct SecondTag>;

struct alignas(std::max_align_t) Aligned {
  char byte = 'a';
};

/// All that a PerClient asks of a client.
struct FakeClient {
  explicit FakeClient(const ClientLayout& layout) : block{layout} {}
  ClientState& state() { return block; }
  ClientState block;
};

bool isAligned(const void* at, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(at) % alignment == 0;
}

TEST_CASE("a field is made with its client and ends with it", "[per_client]") {
  ClientFields fields;
  const PerClient<First> first{fields};
  const PerClient<int> number{fields};
  const PerClient<Second> second{fields};
  ClientLayout layout{fields};
  layout.include(0, fields.size());
  {
    FakeClient client{layout};
    FakeClient other{layout};
    CHECK(First::alive == 2);
    CHECK(Second::alive == 2);
    CHECK(number(client) == 0);
    CHECK(first(client).text.starts_with("fresh"));
    first(client).text = "mine";
    number(client) = 7;
    CHECK(first(other).text.starts_with("fresh"));
    CHECK(number(other) == 0);
    CHECK(first(client).text == "mine");
  }
  CHECK(First::alive == 0);
  CHECK(Second::alive == 0);
}

TEST_CASE("fields are aligned as their types want", "[per_client]") {
  ClientFields fields;
  const PerClient<char> a{fields};
  const PerClient<std::uint64_t> b{fields};
  const PerClient<char> c{fields};
  const PerClient<Aligned> d{fields};
  const PerClient<char> e{fields};
  ClientLayout layout{fields};
  layout.include(0, fields.size());
  FakeClient client{layout};
  CHECK(isAligned(&b(client), alignof(std::uint64_t)));
  CHECK(isAligned(&d(client), alignof(std::max_align_t)));
  a(client) = c(client) = e(client) = 'x';
  b(client) = 0x1122334455667788U;
  CHECK(d(client).byte == 'a');
  CHECK(b(client) == 0x1122334455667788U);
}

TEST_CASE("a pipeline without fields has no block", "[per_client]") {
  const ClientFields fields;
  ClientLayout layout{fields};
  layout.include(0, 0);
  CHECK(layout.bytes() == 0);
  CHECK_FALSE(layout.includes(0));
  const FakeClient client{layout};
}

TEST_CASE("two pipelines keep a shared field at places of their own", "[per_client]") {
  ClientFields fields;
  const PerClient<Aligned> onlyOne{fields};
  const PerClient<int> shared{fields};
  ClientLayout one{fields};
  one.include(0, 2);
  ClientLayout two{fields};
  two.include(1, 2);
  two.include(1, 2);  // listed twice is there once
  CHECK(one.offset(1) != two.offset(1));
  CHECK(two.bytes() == sizeof(int));
  CHECK(one.includes(0));
  CHECK_FALSE(two.includes(0));
  FakeClient a{one};
  FakeClient b{two};
  shared(a) = 1;
  shared(b) = 2;
  CHECK(shared(a) == 1);
  CHECK(onlyOne(a).byte == 'a');
}

TEST_CASE("a client that changes over keeps the fields that both pipelines have", "[per_client]") {
  ClientFields fields;
  const PerClient<First> gone{fields};
  const PerClient<Second> kept{fields};
  const PerClient<std::unique_ptr<int>> moved{fields};
  const PerClient<First> made{fields};
  ClientLayout before{fields};
  before.include(0, 3);
  ClientLayout after{fields};
  after.include(3, 4);
  after.include(1, 3);
  {
    FakeClient client{before};
    kept(client).text = "kept";
    moved(client) = std::make_unique<int>(42);
    gone(client).text = "gone";
    client.block.changeTo(after);
    CHECK(kept(client).text == "kept");
    CHECK(kept(client).moves == 1);
    CHECK(*moved(client) == 42);
    CHECK(made(client).text.starts_with("fresh"));
    CHECK(First::alive == 1);
    CHECK(Second::alive == 1);

    client.block.changeTo(before);
    CHECK(kept(client).text == "kept");
    CHECK(gone(client).text.starts_with("fresh"));
    client.block.changeTo(before);
    CHECK(kept(client).moves == 3);
  }
  CHECK(First::alive == 0);
  CHECK(Second::alive == 0);
}

/// Constructible from anything, like std::any: moving a vector of these must not
/// wrap it into another.
struct Anything {
  Anything() = default;
  template <class T>
  Anything(T&&) {}  // NOLINT
};

TEST_CASE("moving a field moves it, whatever else braces could mean", "[per_client]") {
  ClientFields fields;
  const PerClient<std::vector<Anything>> list{fields};
  ClientLayout layout{fields};
  layout.include(0, 1);
  FakeClient client{layout};
  list(client).resize(5);
  client.block.changeTo(layout);
  CHECK(list(client).size() == 5);
}

/// Has state in each client.
class Keeper final : public Middleware {
public:
  explicit Keeper(const Setup& setup) : Middleware{setup}, count_{setup.clientFields} {}
  void install(Client& client) override { count_(client) += 1; }
  int count(Client& client) const { return count_(client); }

private:
  PerClient<int> count_;
};

TEST_CASE("instances of one type have fields of their own, shared ones are one", "[per_client]") {
  test::TestBroker broker;
  Stack& one = broker.stack();
  auto& a = broker.use<Keeper>();
  auto& b = broker.use<Keeper>();
  Stack& two = broker.addStack("two");
  two.use(b);
  CHECK(one.clientLayout().bytes() == 2 * sizeof(int));
  CHECK(two.clientLayout().bytes() == sizeof(int));
  Client& first = broker.open(one).client();
  Client& second = broker.open(two).client();
  CHECK(a.count(first) == 1);
  CHECK(b.count(first) == 1);
  CHECK(b.count(second) == 1);
}

}  // namespace
}  // namespace mqttstack
