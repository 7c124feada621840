// SPDX-License-Identifier: BSD-3-Clause
// A small TCP end for simulated networks: RFC 9293 with timestamps, PAWS, SACK blocks, window
// scaling and go-back-N retransmission.
//
// It is a suspicious one: whatever a faulty translation would make visible (an acknowledgement or a
// SACK edge of bytes never sent, an echoed timestamp never sent, data beyond the window or the MSS)
// ends up in `violation`. Congestion control, Nagle and delayed ACKs are left out.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "support/decoded_frame.h"
#include "support/packet_builder.h"
#include "synproxy/wire/seq_num.h"

namespace synproxy::test {

struct ToyTcpOptions {
  std::string address{};
  std::string peer{};
  std::uint16_t port = 0;
  std::uint16_t peer_port = 0;
  Mac mac{};
  Mac peer_mac{};
  std::vector<VlanTag> tags{};
  std::uint32_t isn = 0;
  bool timestamps = true;
  std::uint32_t ts_base = 0;  // TSval at time 0, a tick each millisecond
  bool sack = true;
  std::optional<std::uint8_t> scale = 7;
  std::uint32_t buffer = 65535;    // of the receiver
  std::uint16_t mss = 1460;        // announced
  std::size_t segment = 1000;      // payload sent at most at once
  std::uint32_t window_slack = 0;  // what a peer may send beyond the window
};

class ToyTcp {
 public:
  explicit ToyTcp(ToyTcpOptions options) : o_(std::move(options)) {}

  void connect(std::uint64_t now);   // sends a SYN
  void write(const Bytes& data);     // to be sent
  void close() { closing_ = true; }  // a FIN after what was written
  void read(std::uint64_t now);      // the application takes what has arrived
  void receive(const DecodedFrame& f, std::uint64_t now);
  void tick(std::uint64_t now);

  [[nodiscard]] bool established() const { return state_ == State::kOpen; }
  // Both directions closed and everything acknowledged.
  [[nodiscard]] bool done() const { return fin_acked_ && peer_fin_read_; }
  [[nodiscard]] const ToyTcpOptions& options() const { return o_; }

  std::deque<Bytes> out;  // frames for the network
  Bytes received;         // in order, whether read or not
  bool reset = false;     // by the peer
  std::string violation;  // the first one

 private:
  enum class State : std::uint8_t { kListen, kSynSent, kSynReceived, kOpen };

  void complain(const std::string& what, const DecodedFrame& f);
  void send(std::uint16_t flags, SeqNum seq, const Bytes& payload, std::uint64_t now);
  // Behind everything sent, but never outside the peer's window: it would be answered, and so on.
  void send_ack(std::uint64_t now) {
    send(kAck, snd_max_.after(snd_right_) ? snd_right_ : snd_max_, {}, now);
  }
  void send_syn(std::uint64_t now);
  void send_data(std::uint64_t now);
  void retransmit(std::uint64_t now);
  void learn_options(const DecodedFrame& syn);
  void on_listen(const DecodedFrame& f, std::uint64_t now);
  void on_syn_sent(const DecodedFrame& f, std::uint64_t now);
  [[nodiscard]] bool acceptable(const DecodedFrame& f, std::uint64_t now);
  void check_numbers(const DecodedFrame& f, std::uint64_t now);
  void on_ack(const DecodedFrame& f);
  void on_payload(const DecodedFrame& f, std::uint64_t now);
  [[nodiscard]] std::uint32_t free_window() const;
  [[nodiscard]] std::uint32_t ts_now(std::uint64_t now) const {
    return o_.ts_base + static_cast<std::uint32_t>(now);
  }
  // Sequence number of byte `i` of the stream.
  [[nodiscard]] SeqNum at(std::size_t i) const {
    return SeqNum(o_.isn + 1 + static_cast<std::uint32_t>(i));
  }

  ToyTcpOptions o_;
  State state_ = State::kListen;
  bool timestamps_ = false;
  bool sack_ = false;
  bool scaling_ = false;
  unsigned peer_scale_ = 0;
  std::uint16_t peer_mss_ = 536;

  // Sender.
  Bytes stream_;
  bool closing_ = false;
  bool fin_sent_ = false;
  bool fin_acked_ = false;
  std::size_t acked_ = 0;  // bytes of the stream
  SeqNum snd_una_;
  SeqNum snd_nxt_;
  SeqNum snd_max_;    // highest ever sent
  SeqNum snd_right_;  // right edge of the peer's window
  std::uint64_t timer_ = 0;
  std::uint64_t rto_ = 0;
  std::uint64_t first_ts_ = 0;  // time of the first segment

  // Receiver.
  SeqNum irs_;
  SeqNum rcv_nxt_;
  SeqNum rcv_right_;  // furthest edge ever announced
  SeqNum last_ack_sent_;
  std::uint32_t ts_recent_ = 0;
  std::size_t unread_ = 0;
  bool peer_fin_ = false;
  bool peer_fin_read_ = false;
  std::optional<SeqNum> peer_fin_at_;
  std::map<std::uint32_t, Bytes> ahead_;  // by distance from irs_
};

}  // namespace synproxy::test
