// SPDX-License-Identifier: BSD-3-Clause
// Whether a process that has died is to blame that a client is not heard.
//
// It has answered the SYN of the present connection, and the next process knows no longer which
// SYN-ACKs were sent. So that one cannot tell that a late handshake ACK is older than the SYN: it
// opens the connection of that ACK, and does not look at what the client of the present one says.
#pragma once

#include <cstdint>

namespace synproxy::test::sim {

class ForgottenSyn {
 public:
  // A connection begins, with this number of the client.
  void begin(std::uint32_t isn) { *this = ForgottenSyn(isn); }
  // The proxy sends a SYN-ACK to the client.
  void syn_ack(std::uint32_t ack) { answered_ = answered_ || ack == isn_ + 1; }
  void process_dies() { forgotten_ = answered_; }
  // The proxy sends a SYN to the server. With that of the present connection all is well.
  void syn(std::uint32_t isn) {
    if (isn == isn_) {
      answered_ = forgotten_ = false;
    } else {
      other_opened_ = other_opened_ || forgotten_;
    }
  }
  [[nodiscard]] bool other_opened() const { return other_opened_; }

  ForgottenSyn() = default;

 private:
  explicit ForgottenSyn(std::uint32_t isn) : isn_(isn) {}
  std::uint32_t isn_ = 0;
  bool answered_ = false;
  bool forgotten_ = false;
  bool other_opened_ = false;
};

}  // namespace synproxy::test::sim
