#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "tests/support/packet_parts.hpp"
#include "tests/support/packets.hpp"

/// Writes the packets of the tests as seeds of the fuzz targets, one file each,
/// into folders named after the targets.
namespace {

using namespace mqttstack;

class Folder {
public:
  explicit Folder(std::filesystem::path path) : path_{std::move(path)} {
    std::filesystem::create_directories(path_);
  }
  void write(std::string_view bytes) {
    std::ofstream file{path_ / std::to_string(++count_), std::ios::binary};
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

private:
  std::filesystem::path path_;
  int count_ = 0;
};

/// The byte by which fuzz_decoder chooses.
char choice(mqtt::ProtocolVersion version, mqtt::Sender sender) {
  const unsigned chosen = version == mqtt::ProtocolVersion::v5     ? 0
                          : version == mqtt::ProtocolVersion::v311 ? 1
                                                                   : 2;
  return static_cast<char>(chosen | (sender == mqtt::Sender::server ? 4U : 0U));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_seeds FOLDER\n");
    return 2;
  }
  const std::filesystem::path root{argv[1]};

  Folder decoder{root / "decoder"};
  Folder frames{root / "frame_reader"};
  std::string stream = "\xFF\xFF";
  for (const test::GoodPacket& good : test::goodPackets()) {
    decoder.write(choice(good.version, good.sender) + good.bytes);
    if (good.bytes.size() < 100) stream += good.bytes;
    if (stream.size() > 500) {
      frames.write(stream);
      stream.resize(2);
    }
  }
  for (const test::BadPacket& bad : test::badPackets()) {
    decoder.write(choice(bad.version, bad.sender) + bad.bytes);
  }

  Folder properties{root / "properties"};
  for (const test::PropertySample& sample : test::propertySamples()) {
    for (const mqtt::PropertyPlace place : sample.legalIn) {
      properties.write(static_cast<char>(place) + sample.bytes);
    }
  }

  Folder topics{root / "topic"};
  for (const char* seed : {"sport/#\nsport/+/player\nsport/tennis/player", "#\n+/#\n$SYS/broker",
                           "$share/group/a/+/b\n$share/group//#\na//b", "+/+/#\n/#\n/finance",
                           "a/b/c\na/+/c\na/b/c", "+\n/\n/"}) {
    topics.write(seed);
  }
}
