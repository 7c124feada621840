// SPDX-License-Identifier: BSD-3-Clause
// Zeroed pages straight from the kernel: a page is taken when it is first touched, not before.
#pragma once

#include <cstddef>
#include <cstdint>

namespace synproxy {

class Mapping {
 public:
  // kReserved: refused at once when the machine can obviously not hold it. kSparse: address space
  // only, for an array of which most may never be touched.
  enum class Kind : std::uint8_t { kReserved, kSparse };

  // Starts on a 2 MiB boundary when it is at least that long, and asks for transparent hugepages; a
  // kernel that has none gives ordinary pages. Throws std::bad_alloc. 0 bytes map nothing.
  Mapping(std::size_t bytes, Kind kind);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] void* data() const { return data_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace synproxy
