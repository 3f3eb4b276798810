#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <unordered_map>
#include <utility>
#include <vector>

// No broker: the cheapest thing that can stand in the place of one, to see what the kernel alone
// takes for a load. It knows of MQTT where packets end and what a topic is, copies each PUBLISH
// into the buffers of those who named exactly that topic, and writes once to each socket in a turn.
// It answers QoS 1 and 2 at once and gives deliveries packet ids; it keeps, repeats, checks and
// limits nothing.
//
//   floor PORT
namespace mqttstack::load {
namespace {

struct Client {
  int socket = -1;
  bool v5 = false;
  bool dirty = false;  // is in the list of those to be written to
  bool waitsForRoom = false;
  std::uint16_t packetId = 0;  // of the last delivery
  std::string rest;            // of an unfinished packet
  std::string out;
  std::size_t written = 0;  // of `out`
  std::vector<std::string> topics;
};

struct Subscription {
  Client* client;
  unsigned qos;
};

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>{}(text);
  }
};

std::uint16_t numberAt(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) << 8 |
                                    static_cast<unsigned char>(bytes[at + 1]));
}

/// A fixed header: its length, and that of the whole packet; zeros if it is incomplete.
struct Frame {
  std::size_t header = 0;
  std::size_t total = 0;
};

Frame frameOf(std::string_view bytes) {
  std::size_t length = 0;
  for (std::size_t i = 1; i < std::min<std::size_t>(bytes.size(), 5); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    length |= std::size_t{byte & 0x7FU} << (7 * (i - 1));
    if (byte < 0x80) return {i + 1, i + 1 + length};
  }
  return {};
}

class Forwarder {
public:
  /// Listens on the loopback address; false, with errno, if that can't be done.
  bool listen(std::uint16_t port);
  [[noreturn]] void run();

private:
  void accept();
  void receive(Client& client);
  void handle(Client& client, std::string_view packet, std::size_t header);
  void connect(Client& client, std::string_view body);
  void subscribe(Client& client, std::string_view body);
  void forward(Client& client, std::string_view packet, std::size_t header);
  void send(Client& client, std::string_view bytes);
  void sendWithId(Client& client, char first, std::string_view id);
  void flush(Client& client);
  void flushAll();
  void awaitRoom(Client& client, bool wanted);
  void drop(Client& client);

  int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  int listener_ = -1;
  std::vector<char> memory_ = std::vector<char>(256 * 1024);
  std::unordered_map<std::string, std::vector<Subscription>, TextHash, std::equal_to<>> topics_;
  std::vector<Client*> dirty_;
  std::vector<std::unique_ptr<Client>> gone_;  // in this turn
};

bool Forwarder::listen(std::uint16_t port) {
  const int on = 1;
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) ||
      ::listen(listener_, 4096))
    return false;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) == 0;
}

void Forwarder::run() {
  std::array<epoll_event, 512> events;
  while (true) {
    const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      auto* const client = static_cast<Client*>(event.data.ptr);
      if (!client) {
        accept();
        continue;
      }
      if (event.events & EPOLLOUT) flush(*client);
      if (event.events & ~static_cast<unsigned>(EPOLLOUT)) receive(*client);
    }
    flushAll();
    gone_.clear();
  }
}

void Forwarder::accept() {
  for (int socket; (socket = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto client = std::make_unique<Client>();
    client->socket = socket;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = client.release();  // drop() takes it back
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event);
  }
}

void Forwarder::receive(Client& client) {
  if (client.socket < 0) return;
  const std::size_t kept = client.rest.size();
  if (kept >= memory_.size()) return drop(client);
  std::memcpy(memory_.data(), client.rest.data(), kept);
  const ssize_t size = ::recv(client.socket, memory_.data() + kept, memory_.size() - kept, 0);
  if (size < 0 && errno == EAGAIN) return;
  if (size <= 0) return drop(client);
  std::string_view bytes{memory_.data(), kept + static_cast<std::size_t>(size)};
  for (Frame frame = frameOf(bytes); frame.header && bytes.size() >= frame.total;
       frame = frameOf(bytes)) {
    handle(client, bytes.substr(0, frame.total), frame.header);
    bytes.remove_prefix(frame.total);
  }
  client.rest.assign(bytes);
}

void Forwarder::handle(Client& client, std::string_view packet, std::size_t header) {
  const std::string_view body = packet.substr(header);
  switch (static_cast<unsigned char>(packet[0]) >> 4) {
    case 1:
      return connect(client, body);
    case 3:
      return forward(client, packet, header);
    case 5:
      return sendWithId(client, '\x62', body.substr(0, 2));  // PUBREC: PUBREL
    case 6:
      return sendWithId(client, '\x70', body.substr(0, 2));  // PUBREL: PUBCOMP
    case 8:
      return subscribe(client, body);
    case 12:
      return send(client, {"\xD0\x00", 2});
    default:
      return;
  }
}

void Forwarder::connect(Client& client, std::string_view body) {
  client.v5 = body.size() > 6 && body[6] == 5;
  send(client, client.v5 ? std::string_view{"\x20\x03\x00\x00\x00", 5}
                         : std::string_view{"\x20\x02\x00\x00", 4});
}

void Forwarder::subscribe(Client& client, std::string_view body) {
  std::string answer{body.substr(0, 2)};
  body.remove_prefix(2);
  if (client.v5) {
    body.remove_prefix(1);  // no properties
    answer += '\0';
  }
  while (body.size() > 3) {
    const std::size_t length = numberAt(body, 0);
    const std::string topic{body.substr(2, length)};
    const char qos = body[2 + length];
    topics_[topic].push_back({&client, static_cast<unsigned>(qos) & 3U});
    client.topics.push_back(topic);
    answer += qos;
    body.remove_prefix(3 + length);
  }
  std::string header = "\x90";
  if (answer.size() > 0x7F) header += static_cast<char>((answer.size() & 0x7F) | 0x80);
  header += static_cast<char>(answer.size() > 0x7F ? answer.size() >> 7 : answer.size());
  send(client, header + answer);
}

void Forwarder::forward(Client& client, std::string_view packet, std::size_t header) {
  const unsigned qos = static_cast<unsigned char>(packet[0]) >> 1 & 3U;
  const std::size_t length = numberAt(packet, header);
  const std::size_t idAt = header + 2 + length;
  if (qos) sendWithId(client, qos == 1 ? '\x40' : '\x50', packet.substr(idAt, 2));
  const auto found = topics_.find(packet.substr(header + 2, length));
  if (found == topics_.end()) return;
  for (const auto& [subscriber, granted] : found->second) {
    if (qos == 0 || granted >= qos) {
      send(*subscriber, packet);
      if (qos == 0) continue;
      if (++subscriber->packetId == 0) subscriber->packetId = 1;
      char* const id = subscriber->out.data() + subscriber->out.size() - packet.size() + idAt;
      id[0] = static_cast<char>(subscriber->packetId >> 8);
      id[1] = static_cast<char>(subscriber->packetId & 0xFF);
    } else {  // QoS 0: without the id, so two bytes shorter
      const std::size_t rest = packet.size() - header - 2;
      std::string first(1, static_cast<char>(packet[0] & ~6));
      for (std::size_t left = rest; left || first.size() == 1; left >>= 7)
        first += static_cast<char>((left & 0x7F) | (left > 0x7F ? 0x80 : 0));
      send(*subscriber, first);
      send(*subscriber, packet.substr(header, idAt - header));
      send(*subscriber, packet.substr(idAt + 2));
    }
  }
}

void Forwarder::send(Client& client, std::string_view bytes) {
  client.out += bytes;
  if (client.dirty) return;
  client.dirty = true;
  dirty_.push_back(&client);
}

void Forwarder::sendWithId(Client& client, char first, std::string_view id) {
  const char packet[] = {first, 2, id[0], id[1]};
  send(client, {packet, sizeof packet});
}

void Forwarder::flush(Client& client) {
  if (client.socket < 0) return;
  while (client.written < client.out.size()) {
    const ssize_t size = ::send(client.socket, client.out.data() + client.written,
                                client.out.size() - client.written, MSG_NOSIGNAL);
    if (size < 0) return errno == EAGAIN ? awaitRoom(client, true) : drop(client);
    client.written += static_cast<std::size_t>(size);
  }
  client.out.clear();
  client.written = 0;
  awaitRoom(client, false);
}

void Forwarder::flushAll() {
  for (Client* client : dirty_) {
    client->dirty = false;
    if (!client->waitsForRoom) flush(*client);
  }
  dirty_.clear();
}

void Forwarder::awaitRoom(Client& client, bool wanted) {
  if (client.waitsForRoom == wanted) return;
  client.waitsForRoom = wanted;
  epoll_event event{};
  event.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = &client;
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, client.socket, &event);
}

void Forwarder::drop(Client& client) {
  for (const std::string& topic : client.topics)
    std::erase_if(topics_[topic], [&](const Subscription& one) { return one.client == &client; });
  ::close(std::exchange(client.socket, -1));
  gone_.emplace_back(&client);  // events of this turn may still name it
}

}  // namespace
}  // namespace mqttstack::load

int main(int argc, char** argv) {
  std::uint16_t port = 0;
  const std::string_view text = argc == 2 ? argv[1] : "";
  if (std::from_chars(text.data(), text.data() + text.size(), port).ec != std::errc{}) {
    std::fprintf(stderr, "usage: floor PORT\n");
    return 2;
  }
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  mqttstack::load::Forwarder forwarder;
  if (!forwarder.listen(port)) {
    std::perror("floor");
    return 1;
  }
  forwarder.run();
}
