#pragma once

#include <string>
#include <system_error>

#include <openssl/types.h>

namespace mqttstack::net {

/// Errors of the TLS library, worded for a log: what the peer did wrong rather
/// than which function noticed.
const std::error_category& tlsCategory() noexcept;

/// Why a peer's certificate was refused (X509_V_ERR_*).
const std::error_category& certificateCategory() noexcept;

/// Takes the oldest entry of the TLS library's error queue and empties it. A
/// refused certificate is told as such.
std::error_code takeTlsError(const SSL* connection) noexcept;

/// The same as text, for errors about files. Empties the queue.
std::string takeTlsErrorText();

}  // namespace mqttstack::net
