// SPDX-License-Identifier: BSD-3-Clause
// Zeroed pages straight from the kernel, or a piece of somebody else's memory (arena.h). A page of
// the kernel's takes memory when it is first touched, not before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace synproxy {

class Mapping {
 public:
  // kReserved: the kernel refuses it at once if the machine can obviously not hold it. kSparse:
  // address space only, for an array of which most may never be touched.
  enum class Kind : std::uint8_t { kReserved, kSparse };

  // A mapping of 2 MiB or more starts on a 2 MiB boundary and asks for transparent hugepages; a
  // kernel that has none gives ordinary pages. 0 bytes map nothing. Throws std::bad_alloc.
  Mapping(std::size_t bytes, Kind kind);
  // Memory of somebody else, who outlives it.
  explicit Mapping(std::span<std::byte> memory)
      : data_(memory.data()), bytes_(memory.size()), own_(false) {}
  ~Mapping();
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_), own_(other.own_) {}
  Mapping& operator=(Mapping&&) = delete;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  [[nodiscard]] void* data() const { return data_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  bool own_ = true;
};

}  // namespace synproxy
