// SPDX-License-Identifier: BSD-3-Clause
// The one secret behind all cookies, and the keys of each epoch derived from it.
//
// For the control thread: it allocates, reads a file when told to, and may throw.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "synproxy/cookie/key_ring.h"

namespace synproxy {

class MasterSecret {
 public:
  static constexpr std::size_t kMinBytes = 16;
  static constexpr std::size_t kMaxBytes = 1024;

  // From the system's random generator. Throws std::runtime_error if it fails.
  static MasterSecret random();

  // The file's bytes as they are, without one newline at the end. Proxies that have a copy of the
  // file accept each other's cookies. Throws std::runtime_error if the file cannot be read, is not
  // a regular file, has a mode other than 0600 or less, belongs neither to root nor to the user of
  // this process nor to `owner`, has fewer than kMinBytes or more than kMaxBytes, or repeats one
  // single byte. The message is a sentence that says what is wrong and what to do, without the
  // path: the caller adds flag and value.
  static MasterSecret from_file(const std::string& path, std::uint32_t owner = 0);

  ~MasterSecret();  // wipes it
  MasterSecret(MasterSecret&& other) noexcept;
  MasterSecret& operator=(MasterSecret&& other) noexcept;
  MasterSecret(const MasterSecret&) = delete;
  MasterSecret& operator=(const MasterSecret&) = delete;

  // HKDF-SHA256 (RFC 5869), expanded separately for each layout and epoch, so a key says nothing
  // about any other. Throws std::runtime_error if OpenSSL fails.
  [[nodiscard]] EpochKeys derive(std::uint64_t epoch) const;
  // Takes the same time whatever they are.
  friend bool operator==(const MasterSecret& a, const MasterSecret& b);

 private:
  explicit MasterSecret(std::span<const std::uint8_t> secret);

  std::array<std::uint8_t, 32> prk_{};  // HKDF-Extract of the secret; the secret itself is not kept
};

// Publishes what is missing of the epochs from the one before `epoch` to kEpochsAhead after it:
// enough that a control thread which sleeps through a whole epoch leaves no worker without keys. To
// be called before the workers start and then at least once an epoch. One caller per ring.
inline constexpr std::uint64_t kEpochsAhead = 2;
void publish_epochs(KeyRing& ring, const MasterSecret& secret, std::uint64_t epoch);

// Wipes a local copy of keys.
void cleanse(EpochKeys& keys);

}  // namespace synproxy
