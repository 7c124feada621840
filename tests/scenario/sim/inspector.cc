// SPDX-License-Identifier: BSD-3-Clause
#include "inspector.h"

#include <algorithm>

#include "peer.h"

namespace synproxy::test::sim {

void Inspector::complain(const char* what, const DecodedFrame& f) {
  if (!violation.empty()) return;
  violation = std::string(is_client_ ? "to the client" : "to the server") + ", " + what + ": " +
              f.to_string();
}

std::uint16_t Inspector::own_mss() const {
  return announced_mss_.value_or(plan_.ipv6 ? 1220 : 536);  // RFC 9293 section 3.7.1
}

void Inspector::begin(std::uint32_t client_isn, const DecodedFrame& syn) {
  const bool again = conversation_ == client_isn && isn_ == syn.seq;
  conversation_ = client_isn;
  isn_ = syn.seq;
  peer_isn_.reset();
  refused_isn_.reset();
  offered_timestamps_ = !syn.timestamps.empty();
  offered_sack_ = syn.sack_permitted;
  offered_ecn_ = is_client_ ? syn.has(kEce) && syn.has(kCwr) : syn.has(kEce) && !syn.has(kCwr);
  offered_scale_ = syn.window_scale;
  announced_mss_ = syn.mss;
  timestamps_ = sack_ = ecn_ = agreed_ = right_known_ = false;
  own_scale_.reset();
  peer_scale_.reset();
  if (offered_timestamps_ && !again) first_ts_ = syn.tsval();
  if (offered_timestamps_) last_ts_ = syn.tsval();
  snd_max_ = SeqNum(syn.seq + 1);
}

void Inspector::sent(const DecodedFrame& f) {
  if (f.has(kRst)) return;
  if (f.has(kSyn)) {
    const std::uint32_t client_isn = is_client_ ? f.seq : f.ack - 1;
    // A server that is asked again, for less, answers differently from the first time.
    const bool same = conversation_ == client_isn && isn_ == f.seq &&
                      offered_timestamps_ == !f.timestamps.empty() &&
                      offered_sack_ == f.sack_permitted && offered_scale_ == f.window_scale;
    if (!same) begin(client_isn, f);
    if (!is_client_) {
      // A SYN-ACK shows what both want.
      peer_isn_ = client_isn;
      timestamps_ = offered_timestamps_;
      sack_ = offered_sack_;
      ecn_ = offered_ecn_;
      own_scale_ = offered_scale_;
      agreed_ = true;
    }
  } else if (is_client_ && f.has(kAck) && !peer_isn_) {
    peer_isn_ = f.ack - 1;  // the first ACK takes the SYN-ACK and no more
  }
  if (!conversation_) return;
  const SeqNum end = SeqNum(f.seq) + f.seq_length();
  if (end.after(snd_max_)) snd_max_ = end;
  if (!f.timestamps.empty() && SeqNum(f.timestamps.back().first).after(SeqNum(last_ts_))) {
    last_ts_ = f.timestamps.back().first;
  }
  if (f.has(kAck)) {
    const unsigned shift = f.has(kSyn) ? 0 : own_scale_.value_or(0);
    const std::uint32_t window = std::uint32_t{f.window} << shift;
    SeqNum right = SeqNum(f.ack) + window;
    if (peer_is_lwip_) {
      // RFC 9293 section 3.10.7.4, SND.WL1: the scripted end's ACKs carry falling numbers, so that
      // the peer may leave out a window that closes.
      largest_ = right_known_ ? std::max(largest_, window) : window;
      if (!right_known_ || SeqNum(f.ack).after(acked_)) acked_ = SeqNum(f.ack);
      right = acked_ + largest_;
    }
    if (!right_known_ || right.after(right_)) right_ = right;
    right_known_ = true;
  }
}

void Inspector::check_syn_ack(const DecodedFrame& f) {
  if (f.ack != isn_ + 1) return complain("a SYN-ACK of another SYN", f);
  if (!f.timestamps.empty() && !offered_timestamps_) complain("timestamps not offered", f);
  if (f.sack_permitted && !offered_sack_) complain("SACK not offered", f);
  if (f.window_scale && !offered_scale_) complain("window scaling not offered", f);
  if (f.has(kEce) && !offered_ecn_) complain("ECN not offered", f);
  if (!f.timestamps.empty() && !sent_tsval(f.tsecr())) complain("echo never sent", f);
  if (f.timestamps.size() > 1) complain("timestamps twice", f);
  if (peer_isn_) return;  // a repeat: the host has chosen already
  timestamps_ = !f.timestamps.empty();
  sack_ = f.sack_permitted;
  ecn_ = f.has(kEce) && !f.has(kCwr) && offered_ecn_;
  if (f.window_scale) {
    own_scale_ = offered_scale_;
    peer_scale_ = f.window_scale;
  }
  agreed_ = true;
}

void Inspector::check_segment(const DecodedFrame& f, const Flight& flight) {
  if (!agreed_) return;
  // A client's data that has overtaken its handshake ACK may pass as it is. It has and echoes what
  // the proxy has agreed on with the client, and the server refuses it.
  if (flight.unknown && !is_client_) return;
  // While --adopt lets unknown segments pass, a server that has lost the client's last ACK repeats
  // its own, in numbers that the client does not know. The client needs none of them.
  if (flight.unknown && is_client_ && done_) return;
  // What the client says to the proxy's SYN-ACK may pass to a server that has answered a SYN of the
  // client's own. It acknowledges what that server has never sent, and is refused.
  if (flight.untouched && !is_client_ && !SeqNum(f.ack).within(SeqNum(isn_), snd_max_)) return;
  // A SYN that passed made the server begin a connection of its own beside that of the cookie,
  // which the client has taken. What it says there is not acceptable to the client.
  constexpr std::uint32_t kMost = 1U << 24;  // no plan sends so much
  if (flight.untouched && refused_isn_ && f.seq - *refused_isn_ < kMost) return;
  // Neither is a bare ACK of that SYN which overtakes its SYN-ACK.
  const bool of_syn = f.ack == isn_ + 1 && f.seq_length() == 0;
  if (flight.untouched && is_client_ && of_syn && peer_isn_ && f.seq - *peer_isn_ >= kMost) return;
  // The proxy's keepalive comes once without them: some stacks answer only that.
  const bool keepalive = flight.made && f.payload.empty() && f.window == 0;
  if (timestamps_ && f.timestamps.empty() && !asked_twice_ && !keepalive &&
      !(peer_is_lwip_ && f.payload.size() <= 1)) {
    complain("timestamps missing", f);
  }
  if (!timestamps_ && !f.timestamps.empty() && !asked_twice_)
    complain("timestamps never agreed on", f);
  for (const auto& [tsval, tsecr] : f.timestamps) {
    if (timestamps_ && tsecr != 0 && !sent_tsval(tsecr))
      complain("echo of a timestamp never sent", f);
  }
  for (const auto& [left, right] : f.sack) {
    if (!sack_ && !asked_twice_) complain("SACK never agreed on", f);
    if (!SeqNum(left).within(SeqNum(isn_), snd_max_) ||
        !SeqNum(right).within(SeqNum(left), snd_max_)) {
      complain("SACK of bytes never sent", f);
    }
  }
  if (!f.has(kAck)) complain("no ACK", f);
  // Segments of connections that the proxy does not know may pass, also those whose cookie it could
  // not check: they acknowledge what the server has never sent, and it refuses them.
  if (flight.untouched && !is_client_) return;
  // A keepalive quotes the last one that passed, and that may have been damaged. A lower one does
  // no harm, because the segment lies outside the window.
  if (keepalive ? SeqNum(f.ack).after(snd_max_) : !SeqNum(f.ack).within(SeqNum(isn_), snd_max_)) {
    complain("acknowledgement of what was never sent", f);
  }
  const SeqNum end = SeqNum(f.seq) + static_cast<std::uint32_t>(f.payload.size());
  if (right_known_ && !f.payload.empty() &&
      end.after(right_ + window_slack_[conversation_.value_or(0)] + 1)) {
    complain("data beyond the window", f);
  }
  if (f.payload.size() + f.options.size() > own_mss()) complain("more than the MSS", f);
  if (!ecn_ && (f.traffic_class & 3U) != 0 && !ecn_insisted_) complain("ECT without ECN", f);
}

void Inspector::delivered(const Flight& flight) {
  if (flight.error) return;  // the referee has seen it
  if (flight.corrupt) {
    // Fields that no checksum covers may have changed: the numbers are still good.
    if (!flight.frame || !flight.frame->checksums_good) return;
  } else if (!flight.frame) {
    if (violation.empty()) violation = "a frame that is not whole TCP";
    return;
  }
  const DecodedFrame& f = *flight.frame;
  if (!f.checksums_good) complain("a wrong checksum", f);
  if (f.destination_mac != plan_.mac || f.source_mac != plan_.peer_mac) {
    complain("foreign MAC addresses", f);
  }
  if (!same_vlans(f.tags, plan_.tags)) {
    // A SYN damaged in its tag is answered there, and again later. Any other segment belongs to
    // nothing there.
    if (!flight.corrupt && !(flight.made && (f.has(kSyn | kRst) || f.payload.empty())))
      complain("other tags", f);
    return;
  }
  // The referee judges a server's first SYN, because there is no conversation yet.
  if (!conversation_ || flight.conversation != conversation_ || f.has(kRst)) return;
  if (f.has(kSyn)) {
    if (is_client_) check_syn_ack(f);
    if (is_client_ && flight.untouched && peer_isn_ && f.seq != *peer_isn_) refused_isn_ = f.seq;
    return;
  }
  check_segment(f, flight);
}

}  // namespace synproxy::test::sim
