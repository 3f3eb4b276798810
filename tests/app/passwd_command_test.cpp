#include "app/passwd_command.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <pty.h>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <termios.h>
#include <thread>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "app/ask_password.hpp"
#include "middlewares/security/password_table.hpp"
#include "tests/scenario/support/daemon.hpp"

using namespace mqttstack;
using Catch::Matchers::Contains;

namespace {

namespace fs = std::filesystem;

/// A directory with a password file in it, and the command.
struct Desk {
  ExitCode run(PasswdArguments arguments, const std::string& input = {}) {
    arguments.file = file;
    if (!arguments.cost) arguments.cost = 1;
    std::istringstream in{input};
    std::ostringstream said;
    const ExitCode code = runPasswd(arguments, -1, in, said, said);
    output = said.str();
    return code;
  }
  ExitCode set(const std::string& user, const std::string& password) {
    return run({.file = {}, .user = user}, password + "\n");
  }

  std::string text() const {
    std::ifstream in{file, std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
  }
  void write(const std::string& content, fs::perms mode = fs::perms{0640}) const {
    std::ofstream{file, std::ios::binary} << content;
    fs::permissions(file, mode);
  }
  bool letsIn(const std::string& user, const std::string& password) const {
    const auto table = PasswordTable::parse(
        text(), [](std::size_t, const std::string& problem, auto&&) { FAIL(problem); });
    const std::string* hash = table.find(user);
    return hash && verifyPassword(password, *hash);
  }
  unsigned mode() const {
    return static_cast<unsigned>(fs::status(file).permissions() & fs::perms::mask);
  }

  TemporaryDirectory directory;
  fs::path file = directory.path() / "passwd";
  std::string output;
};

}  // namespace

TEST_CASE("passwd makes a file that is its owner's alone", "[passwd]") {
  Desk desk;
  CHECK(desk.set("alice", "wonderland") == ExitCode::success);
  CHECK(desk.mode() == 0600);
  CHECK(desk.text().starts_with("alice:$y$"));
  CHECK(desk.letsIn("alice", "wonderland"));
  CHECK_FALSE(desk.letsIn("alice", "wonderlan"));
}

TEST_CASE("passwd changes one line and leaves everything else", "[passwd]") {
  Desk desk;
  desk.set("alice", "old");
  desk.set("bob", "builder");
  const std::string before = desk.text();
  desk.write("# our users\n\n" + before + "# the end");
  CHECK(desk.set("alice", "new") == ExitCode::success);
  CHECK(desk.mode() == 0640);
  CHECK(desk.letsIn("alice", "new"));
  CHECK_FALSE(desk.letsIn("alice", "old"));
  CHECK(desk.letsIn("bob", "builder"));
  CHECK(desk.text().starts_with("# our users\n\nalice:"));
  CHECK(desk.text().ends_with("# the end\n"));
  CHECK(std::distance(fs::directory_iterator{desk.directory.path()}, {}) == 1);
}

TEST_CASE("passwd takes a user out", "[passwd]") {
  Desk desk;
  desk.set("alice", "x");
  desk.set("alice b", "y");
  CHECK(desk.run({.file = {}, .user = "alice", .remove = true}) == ExitCode::success);
  CHECK_FALSE(desk.letsIn("alice", "x"));
  CHECK(desk.letsIn("alice b", "y"));
  CHECK(desk.run({.file = {}, .user = "alice", .remove = true}) == ExitCode::badData);
  CHECK_THAT(desk.output, Contains("there is no user \"alice\""));
}

TEST_CASE("passwd sets many users from standard input, or none", "[passwd]") {
  Desk desk;
  CHECK(desk.run({.file = {}, .user = {}, .batch = true}, "alice:won:der\n\nbob:land") ==
        ExitCode::success);
  CHECK(desk.letsIn("alice", "won:der"));
  CHECK(desk.letsIn("bob", "land"));
  const std::string before = desk.text();
  for (const char* wrong : {"carol:x\ndave\n", "carol:x\n:y\n", "carol:x\nerin:\n", "#x:y\n"}) {
    CHECK(desk.run({.file = {}, .user = {}, .batch = true}, wrong) == ExitCode::badData);
    CHECK(desk.text() == before);
    CHECK_THAT(desk.output, Contains("nothing was changed"));
  }
  CHECK(desk.run({.file = {}, .user = {}, .batch = true}, "carol:x\ndave\n") == ExitCode::badData);
  CHECK(desk.output ==
        "mqtt-stackd: standard input:2: there is no \":\" behind the user name; nothing was "
        "changed\n");
}

TEST_CASE("passwd counts users, not lines, and a name's last line holds", "[passwd]") {
  Desk desk;
  CHECK(desk.run({.file = {}, .user = {}, .batch = true}, "alice:x\nbob:y\nalice:z\n") ==
        ExitCode::success);
  CHECK(desk.output == "2 users were set\n");
  CHECK(desk.letsIn("alice", "z"));
  CHECK(desk.run({.file = {}, .user = {}, .batch = true}, "alice:x\n") == ExitCode::success);
  CHECK(desk.output == "1 user was set\n");
}

TEST_CASE("passwd takes lines that end as those of DOS do", "[passwd]") {
  Desk desk;
  CHECK(desk.run({.file = {}, .user = {}, .batch = true}, "alice:x\r\n\r\nbob:y\r\n") ==
        ExitCode::success);
  CHECK(desk.run({.file = {}, .user = "carol"}, "z\r\n") == ExitCode::success);
  CHECK(desk.letsIn("alice", "x"));
  CHECK(desk.letsIn("bob", "y"));
  CHECK(desk.letsIn("carol", "z"));
}

TEST_CASE("passwd writes into no file that is none of its own", "[passwd]") {
  const auto [text, problem] = GENERATE(table<const char*, const char*>({
      {"[log]\nlevel = \"info\"\n", "1: there is no \":\" between user name and hash"},
      {"# ours\nbob:$7$101$dybuEGIkffmiY8eM$6yiTO/7/vUZZv21oGqv+7TVGx659V6BQKUkDL5a0FSMeIc/"
       "V0GM4UzLADQB+PYusFwWTS2xQqWVg10ZRHjeRmA==\n",
       "2: "},
      {"bob:plain\n", "1: "},
  }));
  Desk desk;
  desk.write(text);
  CHECK(desk.set("alice", "x") == ExitCode::badData);
  CHECK(desk.text() == text);
  CHECK_THAT(desk.output, Contains(desk.file.string() + ":" + problem) &&
                              Contains("; this is no password file, nothing was changed\n"));
}

TEST_CASE("passwd mends the line of the user that it sets", "[passwd]") {
  Desk desk;
  desk.write("alice:plain\n");
  CHECK(desk.set("alice", "x") == ExitCode::success);
  CHECK(desk.letsIn("alice", "x"));
}

TEST_CASE("passwd brings in a file of mosquitto", "[passwd]") {
  // As mosquitto_passwd 2.0.11 has written it, for the password "secret".
  const std::string theirs =
      "alice:$7$101$dybuEGIkffmiY8eM$6yiTO/7/vUZZv21oGqv+7TVGx659V6BQKUkDL5a0FSMeIc/"
      "V0GM4UzLADQB+PYusFwWTS2xQqWVg10ZRHjeRmA==\n"
      "bob:$6$m12HI1Y4RJ0kxOoI$ZP3hftSvInxz6qfIgEKF27q7DZBU6SzUcrA1rLPPtqDIHXBvs8/"
      "fo9pnTDwrlDrDHFXSawHpNTZGvkZN4b8t9w==\n";
  Desk desk;
  const fs::path source = desk.directory.path() / "theirs";
  std::ofstream{source} << theirs;
  desk.set("bob", "mine");
  CHECK(desk.run({.file = {}, .user = {}, .importedFile = source}) == ExitCode::success);
  CHECK(desk.letsIn("alice", "secret"));
  CHECK(desk.letsIn("bob", "mine"));  // who is there stays
  CHECK_THAT(desk.output, Contains("user \"bob\" is there already"));
  CHECK_THAT(desk.output, Contains("1 user was brought in"));

  const std::string before = desk.text();
  std::ofstream{source} << theirs << "carol:plain\n";
  CHECK(desk.run({.file = {}, .user = {}, .importedFile = source}) == ExitCode::badData);
  CHECK(desk.text() == before);
  CHECK_THAT(desk.output, Contains("theirs:3: no hash that mosquitto makes"));

  CHECK(desk.run({.file = {}, .user = {}, .importedFile = "/nonexistent"}) == ExitCode::io);
  CHECK(desk.output == "mqtt-stackd: cannot read /nonexistent: No such file or directory\n");
  CHECK(desk.run({.file = {}, .user = {}, .importedFile = desk.directory.path()}) == ExitCode::io);
  CHECK_THAT(desk.output, Contains("Is a directory"));
}

TEST_CASE("passwd makes the kind of hash that it is told", "[passwd]") {
  Desk desk;
  const auto [method, cost, prefix] = GENERATE(table<const char*, unsigned, const char*>({
      {"yescrypt", 1, "alice:$y$"},
      {"scram-sha-256", 4096, "alice:SCRAM-SHA-256$4096:"},
      {"bcrypt", 5, "alice:$2b$05$"},
      {"sha512", 5000, "alice:$6$"},
  }));
  CHECK(desk.run({.file = {}, .user = "alice", .method = method, .cost = cost}, "secret\n") ==
        ExitCode::success);
  CHECK(desk.text().starts_with(prefix));
  CHECK(desk.letsIn("alice", "secret"));
}

TEST_CASE("passwd refuses what makes no sense, and changes nothing", "[passwd]") {
  Desk desk;
  const auto refused = [&](PasswdArguments arguments, const std::string& input = "x\n") {
    CHECK(desk.run(std::move(arguments), input) == ExitCode::usage);
    CHECK_FALSE(fs::exists(desk.file));
    CHECK_FALSE(desk.output.empty());
  };
  refused({});
  refused({.file = {}, .user = "alice", .batch = true});
  refused({.file = {}, .user = {}, .remove = true, .batch = true});
  refused({.file = {}, .user = ""});
  CHECK_THAT(desk.output, Contains("a user name cannot be empty"));
  refused({.file = {}, .user = "a:b"});
  refused({.file = {}, .user = "#alice"});
  refused({.file = {}, .user = "a\nb"});
  refused({.file = {}, .user = "a\xff"});
  refused({.file = {}, .user = "alice", .method = "md5"});
  refused({.file = {}, .user = "alice", .cost = 12});
  refused({.file = {}, .user = "alice"}, "");
  refused({.file = {}, .user = "alice"}, "\n");
  refused({.file = {}, .user = "alice"}, std::string(600, 'x'));
}

TEST_CASE("passwd leaves a file that it may not replace", "[passwd]") {
  Desk desk;
  std::string why;
  SECTION("because its directory is not there") {
    desk.file = "/nonexistent/passwd";
    why = "No such file or directory";
  }
  SECTION("because it is no file") {
    desk.file = desk.directory.path();
    why = "it is no regular file";
  }
  CHECK(desk.set("alice", "x") == ExitCode::io);
  CHECK(desk.output == "mqtt-stackd: cannot change " + desk.file.string() + ": " + why + "\n");
}

TEST_CASE("passwd follows a symbolic link and leaves it one", "[passwd]") {
  Desk desk;
  const fs::path real = desk.directory.path() / "real";
  std::ofstream{real} << "";
  fs::create_symlink(real, desk.file);
  CHECK(desk.set("alice", "x") == ExitCode::success);
  CHECK(fs::is_symlink(desk.file));
  CHECK(desk.letsIn("alice", "x"));
}

TEST_CASE("a password that is typed is not shown", "[passwd]") {
  int keyboard = -1;
  int terminal = -1;
  REQUIRE(::openpty(&keyboard, &terminal, nullptr, nullptr, nullptr) == 0);
  termios before{};
  ::tcgetattr(terminal, &before);

  const std::string typed = GENERATE(as<std::string>{}, "secret\n", "\n", "sec\x03", "\x04");
  std::thread typist{[&] {
    // The prompt says that nothing is shown from here on.
    std::string shown;
    for (char c = 0; shown != "Password: " && ::read(keyboard, &c, 1) == 1;) shown += c;
    CHECK(::write(keyboard, typed.data(), typed.size()) == static_cast<ssize_t>(typed.size()));
  }};
  const auto password = askPassword(terminal, "Password: ");
  typist.join();
  const bool given = typed.ends_with('\n');
  CHECK(password.has_value() == given);
  if (given) CHECK(*password + "\n" == typed);

  char shown[64] = {};
  CHECK(::read(keyboard, shown, sizeof shown) > 0);
  CHECK(std::string{shown} == "\r\n");
  termios after{};
  ::tcgetattr(terminal, &after);
  CHECK(after.c_lflag == before.c_lflag);
  ::close(keyboard);
  ::close(terminal);
}

TEST_CASE("there is nobody to ask where there is no terminal", "[passwd]") {
  CHECK_FALSE(askPassword(-1, "Password: "));
}

TEST_CASE("the command line of passwd has no place for a password", "[passwd]") {
  const TemporaryDirectory directory;
  const std::string file = (directory.path() / "passwd").string();
  const auto result = runDaemon({"passwd", file, "alice", "secret"});
  CHECK(result.exitCode == 64);
  CHECK_FALSE(fs::exists(file));
  const auto help = runDaemon({"passwd", "--help"});
  CHECK(help.exitCode == 0);
  CHECK_THAT(help.output, Contains("--batch"));

  // What somebody types who is used to mosquitto_passwd.
  const auto made = runDaemon({"passwd", "-c", file, "alice"});
  CHECK(made.exitCode == 64);
  CHECK_THAT(made.output, Contains("passwd takes no --config"));
  CHECK_FALSE(fs::exists(file));
  CHECK_THAT(runDaemon({"passwd", file, ""}).output, Contains("a user name cannot be empty"));
}
