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

/// A program of fuzz_stack: a client of that version connects, subscribes to everything, publishes
/// and sends `bytes`; then the other does the same.
std::string program(mqtt::ProtocolVersion version, std::string_view bytes) {
  const auto which = static_cast<char>(static_cast<int>(version) - 3);
  std::string text{which, which};
  for (const char slot : {'\0', '\1'}) {
    text +=
        {slot, '\1', slot, '\1', '\0', '\1'};  // connect: its own id, clean, no keep alive or will
    if (version == mqtt::ProtocolVersion::v5) text += {'\1', '\3', '\2', '\1'};
    text += {slot, '\6', '\3', '\2'};                          // subscribe to # at QoS 2
    text += {slot, '\1', '\0', '\2', '\1', '\5', '\1', '\1'};  // publish at QoS 2
    text += {slot, '\0', static_cast<char>(bytes.size())};
    text += bytes;
    text += {slot, '\11', '\0', slot, '\11', '\0', '\1'};  // answer
  }
  return text;
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

  Folder stack{root / "stack"};
  for (const test::GoodPacket& good : test::goodPackets()) {
    if (good.sender == mqtt::Sender::client && good.bytes.size() < 200)
      stack.write(program(good.version, good.bytes));
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
