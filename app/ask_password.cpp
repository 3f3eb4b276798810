#include "app/ask_password.hpp"

#include <cerrno>
#include <string_view>
#include <termios.h>
#include <unistd.h>

namespace mqttstack {
namespace {

constexpr char kInterrupt = 3;  // ^C

/// A terminal that shows nothing and sends no signals, until the end of this:
/// ^C must not leave it like that. It ends a line instead, so that it is heard at once.
class Silence {
public:
  explicit Silence(int terminal) : terminal_{terminal} {
    if (::tcgetattr(terminal_, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);
    silent.c_lflag |= ICANON;
    silent.c_cc[VEOL] = kInterrupt;
    silenced_ = ::tcsetattr(terminal_, TCSAFLUSH, &silent) == 0;
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
  ~Silence() {
    if (silenced_) ::tcsetattr(terminal_, TCSAFLUSH, &before_);
  }
  explicit operator bool() const { return silenced_; }

private:
  int terminal_;
  termios before_{};
  bool silenced_ = false;
};

void write(int terminal, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = ::write(terminal, text.data(), text.size());
    if (size < 0 && errno != EINTR) return;
    if (size > 0) text.remove_prefix(static_cast<std::size_t>(size));
  }
}

}  // namespace

std::optional<std::string> askPassword(int terminal, const std::string& prompt) {
  const Silence silence{terminal};
  if (!silence) return std::nullopt;
  write(terminal, prompt);
  std::string line;
  while (true) {
    char c = 0;
    const ssize_t size = ::read(terminal, &c, 1);
    if (size < 0 && errno == EINTR) continue;
    if (size != 1 || c == kInterrupt || c == '\n') {
      write(terminal, "\n");
      if (size != 1 || c == kInterrupt) return std::nullopt;
      return line;
    }
    line += c;
  }
}

}  // namespace mqttstack
