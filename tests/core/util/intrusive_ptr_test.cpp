#include "core/util/intrusive_ptr.hpp"

#include <catch2/catch.hpp>

namespace mqttstack {
namespace {

/// Counts its ends, and has members of the names that counting uses.
class Flagged : public RefCounted<Flagged> {
public:
  explicit Flagged(int& ends) : ends_{ends} {}
  ~Flagged() { ++ends_; }
  bool retain() const { return true; }
  bool release() const { return false; }

private:
  int& ends_;
};

TEST_CASE("an object lives as long as somebody owns it", "[intrusive_ptr]") {
  int ends = 0;
  IntrusivePtr<const Flagged> first{new Flagged{ends}};
  CHECK(first->owners() == 1);
  IntrusivePtr<const Flagged> second = first;
  CHECK(first->owners() == 2);
  IntrusivePtr<const Flagged> third = std::move(second);
  CHECK(first->owners() == 2);
  CHECK(second == nullptr);
  first.reset();
  CHECK(ends == 0);
  third = nullptr;
  CHECK(ends == 1);
}

TEST_CASE("assigning an owner to itself changes nothing", "[intrusive_ptr]") {
  int ends = 0;
  IntrusivePtr<Flagged> owner{new Flagged{ends}};
  auto& same = owner;
  owner = same;
  CHECK(owner->owners() == 1);
  owner = std::move(same);
  CHECK(owner->owners() == 1);
  CHECK(ends == 0);
}

TEST_CASE("an owner may become an owner of something const", "[intrusive_ptr]") {
  int ends = 0;
  IntrusivePtr<Flagged> owner{new Flagged{ends}};
  const IntrusivePtr<const Flagged> reader = owner;
  CHECK(reader->owners() == 2);
  CHECK(reader.get() == owner.get());
}

}  // namespace
}  // namespace mqttstack
