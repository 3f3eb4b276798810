#include "core/util/file_access.hpp"

#include <cstdlib>
#include <fstream>
#include <unistd.h>

#include <catch2/catch.hpp>

using namespace mqttstack;
namespace fs = std::filesystem;

namespace {

class File {
public:
  explicit File(int mode) {
    char pattern[] = "/tmp/file-access-XXXXXX";
    ::close(::mkstemp(pattern));
    path_ = pattern;
    fs::permissions(path_, static_cast<fs::perms>(mode));
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { fs::remove(path_); }
  const fs::path& path() const { return path_; }

private:
  fs::path path_;
};

}  // namespace

TEST_CASE("a file of one's own is good, whoever else may read it", "[file_access]") {
  CHECK_FALSE(findFileTrouble(File{0600}.path()));
  CHECK_FALSE(findFileTrouble(File{0644}.path()));
  CHECK(isReadableByAll(File{0644}.path()));
  CHECK_FALSE(isReadableByAll(File{0640}.path()));
  CHECK_FALSE(isReadableByAll("/no/such/file"));
}

TEST_CASE("what is wrong with a file comes with a remedy", "[file_access]") {
  const auto missing = findFileTrouble("/no/such/file");
  REQUIRE(missing);
  CHECK(missing->why == "No such file or directory");
  CHECK(missing->help == "make it, or correct the path");
  CHECK_FALSE(missing->forbidden);

  CHECK(findFileTrouble("/")->why == "it is a directory");
  CHECK(findFileTrouble("/dev/null")->why == "it is not a regular file");

  const File everybodys{0666};
  const auto loose = findFileTrouble(everybodys.path());
  REQUIRE(loose);
  CHECK(loose->why == "everybody on this machine can change it");
  CHECK(loose->help == "chmod o-w " + everybodys.path().string());
}

TEST_CASE("a file that this user may not read is told as that", "[file_access]") {
  if (::geteuid() == 0) return;  // root may read all
  const File secret{0000};
  const auto trouble = findFileTrouble(secret.path());
  REQUIRE(trouble);
  CHECK(trouble->why == "Permission denied");
  CHECK(trouble->forbidden);
}
