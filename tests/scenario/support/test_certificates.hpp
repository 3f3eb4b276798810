#pragma once

#include <filesystem>
#include <string>

namespace mqttstack {

/// Writes fresh P-256 certificates, valid for an hour, into `directory`; keys with mode 0600:
///   ca.crt                        the authority
///   server.crt, server.key        from it, for `serverName` and 127.0.0.1
///   client.crt, client.key        from it, common name "device-7"
///   stranger.crt, stranger.key    a client that an authority nobody trusts made
/// Throws `std::runtime_error` when OpenSSL refuses.
void writeTestCertificates(const std::filesystem::path& directory,
                           const std::string& serverName = "localhost");

}  // namespace mqttstack
