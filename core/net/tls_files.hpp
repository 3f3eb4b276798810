#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <openssl/types.h>

#include "core/net/tls_context.hpp"
#include "core/util/expected.hpp"

namespace mqttstack::net {

/// What comes out of reading a file: nothing, or a sentence that names the file
/// and a remedy.
using TlsProblem = Expected<void, std::string>;

/// Has the server show this certificate.
TlsProblem loadCertificate(SSL_CTX* context, const TlsCertificate& certificate);

/// Has clients shown to be who they say: reads who may sign their certificates,
/// and which ones were taken back. Does nothing if they are not asked for any.
TlsProblem loadClientTrust(SSL_CTX* context, const TlsOptions& options);

/// The certificates of a directory, in the order of their names: its files that
/// end in .pem, .crt or .cer. A file is itself.
std::vector<std::filesystem::path> certificatesIn(const std::filesystem::path& place);

}  // namespace mqttstack::net
