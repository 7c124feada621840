// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/doorbell.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace synproxy::dataplane {

Doorbell::Doorbell() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Doorbell::~Doorbell() { ::close(fd_); }

void Doorbell::will_sleep() {
  sleeping_.store(true, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void Doorbell::awake() {
  sleeping_.store(false, std::memory_order_relaxed);
  std::uint64_t rings = 0;
  // EAGAIN when nobody rang, which is fine.
  [[maybe_unused]] const ssize_t n = ::read(fd_, &rings, sizeof rings);
}

void Doorbell::ring() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!sleeping_.load(std::memory_order_relaxed)) return;
  if (!sleeping_.exchange(false, std::memory_order_relaxed)) return;
  const std::uint64_t one = 1;
  // Fails only by overflow, and then the descriptor is readable already.
  [[maybe_unused]] const ssize_t n = ::write(fd_, &one, sizeof one);
}

}  // namespace synproxy::dataplane
