// SPDX-License-Identifier: BSD-3-Clause
// Wakes a worker that sleeps because nothing arrived, when another worker hands a packet to it.
//
// The sleeper says that it will sleep, looks at its rings once more, and only then sleeps. The
// ringer puts its packets into the ring, and only then looks whether the owner sleeps. A full fence
// between the two steps on both sides makes sure that one of them sees the other.
#pragma once

#include <atomic>

namespace synproxy::dataplane {

class alignas(64) Doorbell {
 public:
  Doorbell();  // throws std::system_error
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  [[nodiscard]] int descriptor() const { return fd_; }  // readable once it was rung

  void will_sleep();  // by the owner, before its last look
  void awake();       // by the owner, after the sleep or instead of it
  void ring();        // by anybody, after the packets are in the ring

 private:
  int fd_;
  std::atomic<bool> sleeping_{false};
};

}  // namespace synproxy::dataplane
