#pragma once

namespace mqttstack {

/// A place in an intrusive ring: a doubly linked list that allocates nothing and
/// that its elements can leave without knowing where it is. Elements inherit
/// from it; the list itself is one more link, its head (see Ring).
class RingLink {
public:
  RingLink() = default;
  RingLink(const RingLink&) = delete;
  RingLink& operator=(const RingLink&) = delete;
  ~RingLink() { unlink(); }

  bool linked() const noexcept { return next_ != nullptr; }

  void unlink() noexcept {
    if (!next_) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = nullptr;
  }

  /// Takes over the place of `other`, which is then unlinked.
  void replace(RingLink& other) noexcept {
    unlink();
    if (!other.next_) return;
    next_ = other.next_;
    previous_ = other.previous_;
    next_->previous_ = previous_->next_ = this;
    other.next_ = other.previous_ = nullptr;
  }

private:
  template <class T>
  friend class Ring;

  RingLink* next_ = nullptr;
  RingLink* previous_ = nullptr;
};

/// A list of T, which inherits from RingLink. Owns nothing: elements that are
/// destroyed leave it, and a ring that is destroyed lets its elements go.
template <class T>
class Ring {
public:
  Ring() noexcept { head_.next_ = head_.previous_ = &head_; }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    while (!empty()) head_.next_->unlink();
  }

  bool empty() const noexcept { return head_.next_ == &head_; }

  /// REQUIRES: !empty().
  T& front() noexcept { return static_cast<T&>(*head_.next_); }

  /// REQUIRES: !item.linked().
  void append(T& item) noexcept {
    RingLink& link = item;
    link.previous_ = head_.previous_;
    link.next_ = &head_;
    head_.previous_->next_ = &link;
    head_.previous_ = &link;
  }

  /// Moves everything of `other` to the end of this ring.
  void append(Ring& other) noexcept {
    if (other.empty()) return;
    other.head_.next_->previous_ = head_.previous_;
    head_.previous_->next_ = other.head_.next_;
    other.head_.previous_->next_ = &head_;
    head_.previous_ = other.head_.previous_;
    other.head_.next_ = other.head_.previous_ = &other.head_;
  }

private:
  RingLink head_;
};

}  // namespace mqttstack
