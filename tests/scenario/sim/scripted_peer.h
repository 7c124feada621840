// SPDX-License-Identifier: BSD-3-Clause
// A TCP end written for this simulation: RFC 9293 with timestamps and PAWS (RFC 7323), SACK and
// D-SACK blocks (RFC 2018, 2883), window scaling, ECN (RFC 3168), challenge ACKs (RFC 5961),
// TIME_WAIT (RFC 6191, 1337) and go-back-N retransmission. Its Mischief adds what no polite stack
// does. It has no congestion control, no Nagle and no delayed ACKs.
//
//   scripted_peer.cc      states and numbers
//   scripted_sender.cc    what it sends
//   scripted_receiver.cc  what becomes of payload
#pragma once

#include <map>
#include <optional>
#include <utility>

#include "dice.h"
#include "peer.h"
#include "synproxy/wire/seq_num.h"

namespace synproxy::test::sim {

class ScriptedPeer final : public Peer {
 public:
  ScriptedPeer(const HostPlan& plan, std::uint64_t seed) : plan_(plan), dice_(seed) {}

  void connect(const Part& part, const Bytes& data, std::uint64_t now) override;
  void listen(const Part& part, bool refuse, std::uint64_t now) override;
  void write(const Bytes& data, std::uint64_t now) override;
  void close(std::uint64_t now) override;
  void abort(std::uint64_t now) override;
  void read(std::uint64_t now) override;
  void forget() override;
  void receive(const DecodedFrame& f, std::uint64_t now) override;
  void tick(std::uint64_t now) override;
  [[nodiscard]] std::uint64_t next_timer() const override;
  [[nodiscard]] bool outstanding() const override;

 private:
  enum class State : std::uint8_t { kClosed, kListen, kSynSent, kSynReceived, kOpen, kTimeWait };
  using Block = std::pair<std::uint32_t, std::uint32_t>;

  // scripted_peer.cc
  void new_connection(const Part& part);
  void gone();  // CLOSED, or listening again
  void learn_options(const DecodedFrame& syn);
  void on_listen(const DecodedFrame& f, std::uint64_t now);
  void on_syn_sent(const DecodedFrame& f, std::uint64_t now);
  void on_time_wait(const DecodedFrame& f, std::uint64_t now);
  void on_open(const DecodedFrame& f, std::uint64_t now);
  [[nodiscard]] bool acceptable(const DecodedFrame& f, std::uint64_t now);
  void on_rst(const DecodedFrame& f, bool in_window, std::uint64_t now);
  void on_ack(const DecodedFrame& f);
  void finish_if_done(std::uint64_t now);
  // RFC 9293 section 3.10.7.1.
  void answer_without_connection(const DecodedFrame& f, std::uint64_t now);

  // scripted_sender.cc
  void send(std::uint16_t flags, SeqNum seq, Bytes payload, std::uint64_t now);
  [[nodiscard]] Bytes make_options(bool syn, bool answer, std::uint64_t now);
  void send_rst(SeqNum seq, std::optional<std::uint32_t> ack);
  void send_ack(std::uint64_t now);
  void challenge(std::uint64_t now);
  void send_syn(std::uint64_t now);
  void send_data(std::uint64_t now);
  bool send_segment(std::uint64_t now);
  void retransmit(std::uint64_t now);
  void prank(std::uint64_t now);

  // scripted_receiver.cc
  void on_payload(const DecodedFrame& f, std::uint64_t now);
  void put_together();
  [[nodiscard]] std::uint32_t free_window(std::uint64_t now) const;
  [[nodiscard]] std::uint32_t window_field(unsigned shift, std::uint64_t now) const;

  [[nodiscard]] std::uint32_t ts_now(std::uint64_t now) const {
    return plan_.ts_base + static_cast<std::uint32_t>(now);
  }
  [[nodiscard]] SeqNum at(std::size_t i) const {  // of byte `i` of the stream
    return SeqNum(part_.isn + 1 + static_cast<std::uint32_t>(i));
  }

  const HostPlan& plan_;
  Dice dice_;
  State state_ = State::kClosed;
  Part part_;
  Part next_part_;  // for the connection that is awaited
  bool listening_ = false;
  bool refuse_ = false;
  bool current_ = false;  // the application's present connection, not the one before
  bool timestamps_ = false;
  bool sack_ = false;
  bool scaling_ = false;
  bool ecn_ = false;
  unsigned peer_scale_ = 0;
  std::uint16_t peer_mss_ = 536;
  AnsweredSyns answered_;
  std::vector<Bytes> history_;  // old frames, for pranks
  std::uint64_t prank_at_ = kNever;
  std::uint64_t challenge_at_ = 0;
  std::uint64_t time_wait_until_ = kNever;

  // Sender.
  Bytes stream_;
  bool closing_ = false;
  bool fin_sent_ = false;
  bool fin_acked_ = false;
  bool active_close_ = false;  // our FIN left before the peer's came
  bool echo_ce_ = false;
  bool send_cwr_ = false;
  std::size_t acked_ = 0;  // bytes of the stream
  SeqNum snd_una_;
  SeqNum snd_nxt_;
  SeqNum snd_max_;    // highest ever sent
  SeqNum snd_right_;  // right edge of the peer's window
  std::uint64_t timer_ = kNever;
  std::uint64_t rto_ = 0;

  // Receiver.
  SeqNum irs_;
  SeqNum rcv_nxt_;
  SeqNum rcv_right_;  // furthest edge ever shown
  SeqNum last_ack_sent_;
  std::uint32_t ts_recent_ = 0;
  std::size_t unread_ = 0;
  std::uint32_t shrunk_to_ = 0;
  std::uint64_t shrunk_until_ = 0;
  bool peer_fin_ = false;
  std::optional<SeqNum> peer_fin_at_;
  std::optional<Block> duplicate_;
  std::map<std::uint32_t, Bytes> ahead_;  // by distance from irs_
};

}  // namespace synproxy::test::sim
