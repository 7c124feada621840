// SPDX-License-Identifier: BSD-3-Clause
#include "scripted_peer.h"

#include <algorithm>

namespace synproxy::test::sim {
namespace {
constexpr std::uint64_t kFirstRto = 500;
constexpr std::uint64_t kSynRto = 1000;
constexpr std::uint32_t kOldestAck = 1U << 20;  // more than any window here
}  // namespace

std::unique_ptr<Peer> make_scripted_peer(const HostPlan& plan, std::uint64_t seed) {
  return std::make_unique<ScriptedPeer>(plan, seed);
}

// --- the application's calls

void ScriptedPeer::new_connection(const Part& part) {
  part_ = part;
  timestamps_ = sack_ = scaling_ = ecn_ = false;
  peer_scale_ = 0;
  stream_.clear();
  closing_ = fin_sent_ = fin_acked_ = active_close_ = echo_ce_ = send_cwr_ = false;
  acked_ = 0;
  snd_una_ = SeqNum(part.isn);
  snd_nxt_ = snd_max_ = SeqNum(part.isn + 1);
  timer_ = time_wait_until_ = prank_at_ = kNever;
  rto_ = kSynRto;
  unread_ = 0;
  shrunk_until_ = 0;
  peer_fin_ = false;
  peer_fin_at_.reset();
  duplicate_.reset();
  ahead_.clear();
  current_ = true;
}

void ScriptedPeer::connect(const Part& part, const Bytes& data, std::uint64_t now) {
  new_connection(part);
  // A SYN and an ACK of an earlier handshake would make a handshake together: only the client can
  // send both.
  std::erase_if(history_, [](const Bytes& frame) { return decode(frame)->has(kSyn); });
  received.clear();
  opened = peer_closed = all_acked = reset = false;
  stream_ = data;
  state_ = State::kSynSent;
  send_syn(now);
}

void ScriptedPeer::listen(const Part& part, bool refuse, std::uint64_t) {
  received.clear();
  opened = peer_closed = all_acked = reset = false;
  next_part_ = part;
  listening_ = true;
  refuse_ = refuse;
  current_ = false;
  if (state_ == State::kClosed) state_ = State::kListen;
}

void ScriptedPeer::write(const Bytes& data, std::uint64_t now) {
  if (!current_) return;
  stream_.insert(stream_.end(), data.begin(), data.end());
  send_data(now);
}

void ScriptedPeer::close(std::uint64_t now) {
  if (!current_) return;
  closing_ = true;
  send_data(now);
}

void ScriptedPeer::abort(std::uint64_t) {
  if (!current_ || state_ == State::kClosed || state_ == State::kListen) return;
  if (state_ == State::kOpen || state_ == State::kSynReceived) {
    send_rst(snd_max_, rcv_nxt_.value());
  }
  gone();
}

void ScriptedPeer::forget() { gone(); }

void ScriptedPeer::gone() {
  state_ = listening_ ? State::kListen : State::kClosed;
  timer_ = prank_at_ = time_wait_until_ = kNever;
  shrunk_until_ = 0;
  current_ = false;
}

bool ScriptedPeer::outstanding() const {
  return current_ && state_ == State::kOpen &&
         (acked_ < stream_.size() || (closing_ && !fin_acked_));
}

// --- segments

void ScriptedPeer::learn_options(const DecodedFrame& syn) {
  timestamps_ = plan_.timestamps && !syn.timestamps.empty();
  sack_ = plan_.sack && syn.sack_permitted;
  scaling_ = plan_.scale.has_value() && syn.window_scale.has_value();
  peer_scale_ = scaling_ ? *syn.window_scale : 0;
  peer_mss_ = syn.mss.value_or(syn.ipv6 ? 1220 : 536);
  irs_ = SeqNum(syn.seq);
  rcv_nxt_ = rcv_right_ = last_ack_sent_ = irs_ + 1;
  if (timestamps_) ts_recent_ = syn.timestamps.back().first;
  snd_right_ = SeqNum(part_.isn + 1) + syn.window;  // never scaled on a SYN
}

void ScriptedPeer::answer_without_connection(const DecodedFrame& f, std::uint64_t) {
  if (f.has(kRst)) return;
  if (f.has(kAck)) return send_rst(SeqNum(f.ack), std::nullopt);
  send_rst(SeqNum(0), f.seq + f.seq_length());
}

void ScriptedPeer::on_listen(const DecodedFrame& f, std::uint64_t now) {
  if (f.has(kRst)) return;
  if (f.has(kAck) || refuse_) return answer_without_connection(f, now);
  if (!f.has(kSyn)) return;
  if (answered_.is_late(f.seq, next_part_.peer_isn, opened)) return;
  answered_.answered(f.seq);
  new_connection(next_part_);
  // The proxy may still ask for a client that has gone; nobody here waits for that connection.
  current_ = f.seq == next_part_.peer_isn;
  state_ = State::kSynReceived;
  learn_options(f);
  ecn_ = plan_.ecn && f.has(kEce) && f.has(kCwr);
  send_syn(now);
}

void ScriptedPeer::on_syn_sent(const DecodedFrame& f, std::uint64_t now) {
  if (f.has(kAck) && f.ack != part_.isn + 1) {
    // Of an older connection: RFC 9293 section 3.10.7.3.
    if (!f.has(kRst)) send_rst(SeqNum(f.ack), std::nullopt);
    return;
  }
  if (f.has(kRst)) {
    if (!f.has(kAck)) return;
    reset = true;
    return gone();
  }
  if ((f.flags & (kSyn | kAck)) != (kSyn | kAck)) return;
  learn_options(f);
  ecn_ = plan_.ecn && f.has(kEce) && !f.has(kCwr);
  state_ = State::kOpen;
  opened = true;
  snd_una_ = SeqNum(part_.isn + 1);
  snd_nxt_ = snd_una_;
  rto_ = kFirstRto;
  timer_ = kNever;
  prank_at_ = now + 1 + dice_(300);
  const std::size_t before = out.size();
  if (plan_.mischief.ack_data) send_data(now);
  if (out.size() == before) send_ack(now);
  send_data(now);
}

void ScriptedPeer::on_time_wait(const DecodedFrame& f, std::uint64_t now) {
  if (f.has(kRst)) {
    if (!plan_.mischief.ignores_rst_in_time_wait && SeqNum(f.seq) == rcv_nxt_) gone();
    return;
  }
  if (f.has(kSyn) && !f.has(kAck) && listening_) {
    // RFC 6191 section 2; without timestamps RFC 9293 section 3.6.1.
    const bool both = timestamps_ && !f.timestamps.empty();
    const bool newer =
        both ? SeqNum(f.timestamps.back().first).after(SeqNum(ts_recent_)) ||
                   (f.timestamps.back().first == ts_recent_ && SeqNum(f.seq).after(rcv_nxt_))
             : SeqNum(f.seq).after(rcv_nxt_);
    if (newer) {
      gone();
      return on_listen(f, now);
    }
  }
  if (f.has(kFin)) {
    time_wait_until_ = now + plan_.time_wait_ms;
    return send_ack(now);
  }
  challenge(now);
}

void ScriptedPeer::on_rst(const DecodedFrame& f, bool in_window, std::uint64_t now) {
  // RFC 5961 section 3.2.
  if (SeqNum(f.seq) == rcv_nxt_) {
    if (current_ && state_ == State::kOpen) reset = true;
    return gone();
  }
  if (in_window) challenge(now);
}

// RFC 7323 section 5.3, then RFC 9293 section 3.10.7.4 with RFC 5961 for RST and SYN.
bool ScriptedPeer::acceptable(const DecodedFrame& f, std::uint64_t now) {
  if (timestamps_ && !f.has(kRst) &&
      (f.timestamps.empty() || SeqNum(f.timestamps.back().first).before(SeqNum(ts_recent_)))) {
    f.seq_length() != 0 ? send_ack(now) : challenge(now);
    return false;
  }
  const SeqNum seq(f.seq);
  const SeqNum end = seq + f.seq_length();
  const bool in_window =
      !end.before(rcv_nxt_) && !seq.after(rcv_right_) && !(f.seq_length() != 0 && end == rcv_nxt_);
  if (f.has(kRst)) {
    on_rst(f, in_window, now);
    return false;
  }
  if (f.has(kSyn)) {
    // Our SYN-ACK was lost, or this is a late copy, which is challenged.
    if (state_ == State::kSynReceived && seq == irs_) {
      send_syn(now);
    } else {
      challenge(now);
    }
    return false;
  }
  if (!f.has(kAck)) return false;
  if (!in_window) {
    if (!f.payload.empty() && sack_ && dice_.permille(plan_.mischief.dsack) &&
        seq.within(irs_ + 1, rcv_nxt_) && !end.after(rcv_nxt_)) {
      duplicate_ = {f.seq, f.seq + static_cast<std::uint32_t>(f.payload.size())};
    }
    f.seq_length() != 0 ? send_ack(now) : challenge(now);
    return false;
  }
  if (state_ == State::kSynReceived && f.ack != part_.isn + 1) {
    if (f.ack != part_.isn) send_rst(SeqNum(f.ack), std::nullopt);
    return false;
  }
  // RFC 5961 section 5.2.
  if (!SeqNum(f.ack).within(snd_una_ - kOldestAck, snd_max_)) {
    challenge(now);
    return false;
  }
  if (timestamps_ && !seq.after(last_ack_sent_)) ts_recent_ = f.timestamps.back().first;
  return true;
}

void ScriptedPeer::on_ack(const DecodedFrame& f) {
  const SeqNum ack(f.ack);
  if (ack.before(snd_una_)) return;
  if (ack.after(snd_una_)) {
    snd_una_ = ack;
    if (snd_nxt_.before(ack)) snd_nxt_ = ack;
    rto_ = kFirstRto;
    timer_ = kNever;
    acked_ = std::min<std::size_t>(stream_.size(), ack - SeqNum(part_.isn + 1));
    fin_acked_ = fin_sent_ && ack == at(stream_.size()) + 1;
    if (current_) all_acked = fin_acked_;
  }
  snd_right_ = ack + (std::uint32_t{f.window} << peer_scale_);
}

void ScriptedPeer::on_open(const DecodedFrame& f, std::uint64_t now) {
  if (!acceptable(f, now)) return;
  if (state_ == State::kSynReceived) {
    state_ = State::kOpen;
    opened = current_;
    rto_ = kFirstRto;
    timer_ = kNever;
    prank_at_ = now + 1 + dice_(300);
  }
  if (ecn_) {
    if (f.has(kCwr)) echo_ce_ = false;
    if ((f.traffic_class & 3U) == 3) echo_ce_ = true;
    if (f.has(kEce)) send_cwr_ = true;
  }
  on_ack(f);
  on_payload(f, now);
  finish_if_done(now);
  if (state_ == State::kOpen) send_data(now);
}

void ScriptedPeer::finish_if_done(std::uint64_t now) {
  if (state_ != State::kOpen || !fin_acked_ || !peer_fin_) return;
  if (!active_close_) return gone();
  state_ = State::kTimeWait;
  timer_ = prank_at_ = kNever;
  time_wait_until_ = now + plan_.time_wait_ms;
}

void ScriptedPeer::receive(const DecodedFrame& f, std::uint64_t now) {
  if (!f.checksums_good || !same_vlans(f.tags, plan_.tags) || f.destination != plan_.address ||
      f.source != plan_.peer || f.destination_port != plan_.port ||
      f.source_port != plan_.peer_port) {
    return;
  }
  switch (state_) {
    case State::kClosed:
      return answer_without_connection(f, now);
    case State::kListen:
      return on_listen(f, now);
    case State::kSynSent:
      return on_syn_sent(f, now);
    case State::kTimeWait:
      return on_time_wait(f, now);
    default:
      return on_open(f, now);
  }
}

std::uint64_t ScriptedPeer::next_timer() const {
  return std::min(
      {timer_, prank_at_, time_wait_until_, shrunk_until_ == 0 ? kNever : shrunk_until_});
}

void ScriptedPeer::tick(std::uint64_t now) {
  if (now >= time_wait_until_) gone();
  if (now >= timer_) {
    timer_ = kNever;
    retransmit(now);
  }
  if (shrunk_until_ != 0 && now >= shrunk_until_) {
    shrunk_until_ = 0;
    if (state_ == State::kOpen) send_ack(now);  // the window is open again
  }
  if (now >= prank_at_) {
    prank_at_ = now + 50 + dice_(300);
    prank(now);
  }
}

}  // namespace synproxy::test::sim
