// SPDX-License-Identifier: BSD-3-Clause
// --secret-file: which files are accepted, and one sentence for each refusal.
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "synproxy/cookie/master_secret.h"

namespace synproxy {

namespace {

class File {
 public:
  // O_NONBLOCK: refuse a FIFO instead of waiting for it.
  explicit File(const std::string& path)
      : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}
  ~File() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void refuse(const std::string& sentence) { throw std::runtime_error(sentence); }

[[noreturn]] void refuse_unreadable(int error) {
  refuse("cannot be read: " + std::generic_category().message(error));
}

// Looks at the open file, so that nobody can swap it between the check and the read.
void require_private(int fd, std::uint32_t owner) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    refuse_unreadable(errno);
  }
  if (!S_ISREG(status.st_mode)) {
    refuse("is not a regular file; give a file that holds the secret");
  }
  if (status.st_uid != ::geteuid() && status.st_uid != 0 && status.st_uid != owner) {
    refuse("belongs to user " + std::to_string(status.st_uid) +
           "; it must belong to root or to the user that runs the proxy");
  }
  const unsigned mode = status.st_mode & 07777U;
  if ((mode & ~0600U) != 0) {
    std::string text(4, '0');
    for (unsigned digit = 0; digit < 4; ++digit) {
      text[digit] = static_cast<char>('0' + (mode >> (9 - 3 * digit) & 7));
    }
    refuse("has mode " + text +
           ", so that others than its owner could use it; make it 0600 or 0400 (chmod 600)");
  }
}

}  // namespace

MasterSecret MasterSecret::from_file(const std::string& path, std::uint32_t owner) {
  const File file(path);
  if (file.fd() < 0) {
    refuse_unreadable(errno);
  }
  require_private(file.fd(), owner);

  struct Buffer {
    std::array<std::uint8_t, kMaxBytes + 2> bytes;  // a newline, and one byte that is too much
    ~Buffer() { OPENSSL_cleanse(bytes.data(), bytes.size()); }
  } buffer;
  std::size_t size = 0;
  while (size < buffer.bytes.size()) {
    const ssize_t got = ::read(file.fd(), buffer.bytes.data() + size, buffer.bytes.size() - size);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      refuse_unreadable(errno);
    }
    if (got == 0) {
      break;
    }
    size += static_cast<std::size_t>(got);
  }
  if (size > 0 && buffer.bytes[size - 1] == '\n') {
    --size;
  }
  if (size == 0) {
    refuse("is empty; fill it with `head -c 32 /dev/urandom`");
  }
  if (size < kMinBytes) {
    refuse("holds only " + std::to_string(size) + " bytes; a secret has at least " +
           std::to_string(kMinBytes) + " (`head -c 32 /dev/urandom`)");
  }
  if (size > kMaxBytes) {
    refuse("holds more than " + std::to_string(kMaxBytes) + " bytes; is it the right file?");
  }
  const std::span<const std::uint8_t> secret{buffer.bytes.data(), size};
  if (std::all_of(secret.begin(), secret.end(),
                  [&](std::uint8_t byte) { return byte == secret.front(); })) {
    refuse("repeats one single byte; fill it with `head -c 32 /dev/urandom`");
  }
  return MasterSecret(secret);
}

}  // namespace synproxy
