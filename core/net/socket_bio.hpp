#pragma once

#include <openssl/types.h>

namespace mqttstack::net {

/// A BIO over a non-blocking socket that somebody else owns. Unlike the TLS
/// library's own it never raises SIGPIPE. Null if there is no memory.
BIO* newSocketBio(int descriptor);

}  // namespace mqttstack::net
