// SPDX-License-Identifier: BSD-3-Clause
// Stands beside one host and sees every frame that it sends and gets. It reports what no honest
// network could have brought: acknowledgements and SACK edges for bytes that were never sent,
// echoes of timestamps that never left, data beyond the window or the MSS, options that were not
// agreed on. It looks only at frames, so it works for lwIP as for the scripted end.
//
// It judges only frames of the host's present conversation: late frames of an earlier connection
// prove nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "links.h"
#include "plan.h"
#include "synproxy/wire/seq_num.h"

namespace synproxy::test::sim {

class Inspector {
 public:
  // `peer_is_lwip`: lwIP's probes of a closed window lack the agreed timestamps.
  Inspector(const HostPlan& plan, bool is_client, bool peer_is_lwip)
      : plan_(plan), is_client_(is_client), peer_is_lwip_(peer_is_lwip) {}

  void sent(const DecodedFrame& f);
  void delivered(const Flight& flight);
  // How much the peer may send in this conversation beyond the window that the host has shown.
  // Segments of the conversation before are still under way when the next one begins.
  void set_window_slack(std::uint32_t client_isn, std::uint32_t bytes) {
    window_slack_[client_isn] = bytes;
  }

  // In the present conversation the server was asked a second time, for less: its earlier answer
  // may still be under way.
  void set_asked_twice(bool yes) { asked_twice_ = yes; }

  // The server went on to show ECN though its SYN-ACK was reset once: the RST may be lost.
  void set_ecn_insisted(bool yes) { ecn_insisted_ = yes; }

  // The host has got everything, and all that it sent is acknowledged. So the proxy may have
  // forgotten the connection.
  void set_done(bool yes) { done_ = yes; }

  // What the host and the proxy have agreed on in the current conversation.
  [[nodiscard]] Conversation conversation() const { return conversation_; }
  [[nodiscard]] std::optional<std::uint32_t> peer_isn() const { return peer_isn_; }
  [[nodiscard]] std::uint32_t isn() const { return isn_; }
  [[nodiscard]] bool timestamps() const { return timestamps_; }
  [[nodiscard]] bool sack() const { return sack_; }
  [[nodiscard]] bool ecn() const { return ecn_; }
  [[nodiscard]] std::optional<std::uint8_t> own_scale() const { return own_scale_; }
  [[nodiscard]] std::optional<std::uint8_t> peer_scale() const { return peer_scale_; }
  [[nodiscard]] std::uint16_t own_mss() const;
  [[nodiscard]] bool sent_tsval(std::uint32_t tsval) const {
    return SeqNum(tsval).within(SeqNum(first_ts_), SeqNum(last_ts_));
  }

  [[nodiscard]] bool newer_tsval(std::uint32_t tsval) const {
    return SeqNum(tsval).after(SeqNum(last_ts_));
  }

  std::string violation;  // the first one

 private:
  void complain(const char* what, const DecodedFrame& f);
  void begin(std::uint32_t client_isn, const DecodedFrame& syn);
  void check_syn_ack(const DecodedFrame& f);
  void check_segment(const DecodedFrame& f, const Flight& flight);

  const HostPlan& plan_;
  bool is_client_;
  bool peer_is_lwip_;
  std::map<std::uint32_t, std::uint32_t> window_slack_;
  Conversation conversation_;
  std::uint32_t isn_ = 0;
  std::optional<std::uint32_t> peer_isn_;
  std::optional<std::uint32_t> refused_isn_;  // of a SYN-ACK that came when the client had another
  bool offered_timestamps_ = false;
  bool offered_sack_ = false;
  bool offered_ecn_ = false;
  std::optional<std::uint8_t> offered_scale_;
  std::optional<std::uint16_t> announced_mss_;
  bool timestamps_ = false;
  bool sack_ = false;
  bool ecn_ = false;
  bool agreed_ = false;
  bool asked_twice_ = false;
  bool ecn_insisted_ = false;
  bool done_ = false;
  std::optional<std::uint8_t> own_scale_;   // agreed
  std::optional<std::uint8_t> peer_scale_;  // agreed
  std::uint32_t first_ts_ = 0;
  std::uint32_t last_ts_ = 0;
  SeqNum snd_max_;
  bool right_known_ = false;
  SeqNum right_;  // furthest edge ever shown; for lwIP as the peer: that the largest window allows
  std::uint32_t largest_ = 0;
  SeqNum acked_;
};

}  // namespace synproxy::test::sim
