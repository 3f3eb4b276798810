#include "core/net/socket_bio.hpp"

#include <cerrno>
#include <cstdint>
#include <sys/socket.h>

#include <openssl/bio.h>

namespace mqttstack::net {
namespace {

int descriptorOf(BIO* bio) {
  return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
}

bool mustWait() { return errno == EAGAIN || errno == EINTR; }

int readSocket(BIO* bio, char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t got =
      ::recv(descriptorOf(bio), bytes, static_cast<std::size_t>(size), MSG_DONTWAIT);
  if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  if (got < 0 && mustWait()) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

int writeSocket(BIO* bio, const char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent =
      ::send(descriptorOf(bio), bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && mustWait()) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

long control(BIO* bio, int command, long, void*) {
  switch (command) {
    case BIO_CTRL_FLUSH:
      return 1;
    case BIO_CTRL_EOF:
      return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
    default:
      return 0;
  }
}

BIO_METHOD* makeMethod() {
  BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "client socket");
  if (!method) return nullptr;
  BIO_meth_set_read(method, readSocket);
  BIO_meth_set_write(method, writeSocket);
  BIO_meth_set_ctrl(method, control);
  return method;
}

}  // namespace

BIO* newSocketBio(int descriptor) {
  static BIO_METHOD* const method = makeMethod();
  BIO* bio = method ? BIO_new(method) : nullptr;
  if (!bio) return nullptr;
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(descriptor)));
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace mqttstack::net
