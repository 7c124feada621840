// SPDX-License-Identifier: BSD-3-Clause
#include "support/toy_tcp.h"

#include <algorithm>

namespace synproxy::test {
namespace {
constexpr std::uint64_t kFirstRto = 300;
constexpr std::uint64_t kLongestRto = 4000;
constexpr std::uint32_t kInFlight = 10'000;  // bytes: keeps the queues of the simulation short
}  // namespace

void ToyTcp::complain(const std::string& what, const DecodedFrame& f) {
  if (violation.empty()) violation = std::to_string(o_.port) + ": " + what + ": " + f.to_string();
}

std::uint32_t ToyTcp::free_window() const {
  return o_.buffer - std::min<std::uint32_t>(o_.buffer, static_cast<std::uint32_t>(unread_));
}

void ToyTcp::send(std::uint16_t flags, SeqNum seq, const Bytes& payload, std::uint64_t now) {
  PacketBuilder b;
  b.macs(o_.mac, o_.peer_mac).vlans(o_.tags).ip(o_.address, o_.peer).ports(o_.port, o_.peer_port);
  b.seq(seq.value()).flags(flags);
  const bool syn = (flags & kSyn) != 0;
  const unsigned shift = !syn && scaling_ ? *o_.scale : 0U;
  const auto window = static_cast<std::uint16_t>(std::min(0xffffU, free_window() >> shift));
  b.window(window);
  if ((flags & kAck) != 0) {
    b.ack(rcv_nxt_.value()).flags(flags);
    last_ack_sent_ = rcv_nxt_;
    const SeqNum right = rcv_nxt_ + (std::uint32_t{window} << shift);
    if (right.after(rcv_right_)) rcv_right_ = right;
  }
  if (syn) {
    const bool answer = (flags & kAck) != 0;
    b.mss(o_.mss);
    if (answer ? sack_ : o_.sack) b.sack_permitted();
    if (answer ? timestamps_ : o_.timestamps) b.timestamps(ts_now(now), answer ? ts_recent_ : 0);
    if (answer ? scaling_ : o_.scale.has_value()) b.window_scale(*o_.scale);
  } else {
    if (timestamps_) b.timestamps(ts_now(now), ts_recent_);
    if (sack_ && !ahead_.empty()) {
      std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks;
      for (const auto& [distance, bytes] : ahead_) {
        const std::uint32_t left = irs_.value() + distance;
        if (blocks.size() < 3) blocks.emplace_back(left, left + bytes.size());
      }
      b.nop(timestamps_ ? 2 : 1).sack(blocks);
    }
  }
  out.push_back(b.payload(payload).build());
}

void ToyTcp::send_syn(std::uint64_t now) {
  send(state_ == State::kSynReceived ? kSyn | kAck : kSyn, SeqNum(o_.isn), {}, now);
  timer_ = now + rto_;
}

void ToyTcp::connect(std::uint64_t now) {
  state_ = State::kSynSent;
  first_ts_ = now;
  rto_ = 1000;
  snd_una_ = SeqNum(o_.isn);
  snd_nxt_ = snd_max_ = SeqNum(o_.isn + 1);
  send_syn(now);
}

void ToyTcp::write(const Bytes& data) { stream_.insert(stream_.end(), data.begin(), data.end()); }

void ToyTcp::learn_options(const DecodedFrame& syn) {
  timestamps_ = o_.timestamps && !syn.timestamps.empty();
  sack_ = o_.sack && syn.sack_permitted;
  scaling_ = o_.scale.has_value() && syn.window_scale.has_value();
  peer_scale_ = scaling_ ? *syn.window_scale : 0;
  peer_mss_ = syn.mss.value_or(syn.ipv6 ? 1220 : 536);
  irs_ = SeqNum(syn.seq);
  rcv_nxt_ = rcv_right_ = last_ack_sent_ = irs_ + 1;
  if (timestamps_) ts_recent_ = syn.tsval();
  snd_right_ = SeqNum(o_.isn + 1) + syn.window;  // never scaled on a SYN
}

void ToyTcp::on_listen(const DecodedFrame& f, std::uint64_t now) {
  if (!f.has(kSyn) || f.has(kAck | kRst)) return;
  state_ = State::kSynReceived;
  first_ts_ = now;
  rto_ = 1000;
  learn_options(f);
  snd_una_ = SeqNum(o_.isn);
  snd_nxt_ = snd_max_ = SeqNum(o_.isn + 1);
  send_syn(now);
}

void ToyTcp::on_syn_sent(const DecodedFrame& f, std::uint64_t now) {
  if (f.has(kAck) && f.ack != o_.isn + 1) {
    // Of an older connection: RFC 9293 section 3.10.7.3.
    if (!f.has(kRst)) send(kRst, SeqNum(f.ack), {}, now);
    return;
  }
  if (f.has(kRst)) {
    reset = f.has(kAck);
    return;
  }
  if ((f.flags & (kSyn | kAck)) != (kSyn | kAck)) return;
  learn_options(f);
  check_numbers(f, now);
  state_ = State::kOpen;
  snd_una_ = SeqNum(o_.isn + 1);
  rto_ = kFirstRto;
  send_ack(now);
  send_data(now);
}

// What a wrong translation would change and no honest peer could say.
void ToyTcp::check_numbers(const DecodedFrame& f, std::uint64_t now) {
  if (timestamps_ && f.timestamps.empty() && !f.has(kRst)) complain("timestamps missing", f);
  if (!timestamps_ && !f.timestamps.empty()) complain("timestamps never agreed on", f);
  if (f.timestamps.size() == 1 && f.has(kAck) && f.tsecr() != 0) {
    const SeqNum echoed(f.tsecr());
    if (!echoed.within(SeqNum(ts_now(first_ts_)), SeqNum(ts_now(now)))) {
      complain("echo of a timestamp never sent", f);
    }
  }
  for (const auto& [left, right] : f.sack) {
    const SeqNum first(o_.isn + 1);
    if (!sack_) complain("SACK never agreed on", f);
    if (!SeqNum(left).within(first, snd_max_) || !SeqNum(right).within(first, snd_max_)) {
      complain("SACK of bytes never sent", f);
    }
  }
  if (f.payload.size() + f.options.size() > o_.mss) complain("more than the MSS", f);
}

// RFC 9293 section 3.10.7.4, first checks; RFC 7323 section 5.3 before them; RFC 5961 for RST and
// SYN.
bool ToyTcp::acceptable(const DecodedFrame& f, std::uint64_t now) {
  if (timestamps_ && !f.timestamps.empty() && !f.has(kRst) &&
      SeqNum(f.tsval()).before(SeqNum(ts_recent_))) {
    send_ack(now);
    return false;
  }
  const SeqNum seq(f.seq);
  const SeqNum end = seq + f.seq_length();
  const bool in_window =
      !end.before(rcv_nxt_) && !seq.after(rcv_right_) && !(f.seq_length() != 0 && end == rcv_nxt_);
  if (f.has(kRst)) {
    if (seq == rcv_nxt_ && state_ == State::kSynReceived) {
      state_ = State::kListen;
      timer_ = 0;
    } else if (seq == rcv_nxt_) {
      reset = true;
    } else if (in_window) {
      send_ack(now);
    }
    return false;
  }
  if (f.has(kSyn)) {
    // Our SYN-ACK was lost; or a late copy, which is challenged.
    if (state_ == State::kSynReceived && seq == irs_) {
      send_syn(now);
    } else {
      send_ack(now);
    }
    return false;
  }
  if (!f.has(kAck)) return false;
  if (!in_window) {
    send_ack(now);
    return false;
  }
  if (SeqNum(f.ack).after(snd_max_)) {
    complain("acknowledgement of what was never sent", f);
    return false;
  }
  if (f.seq_length() != 0 && end.after(rcv_right_ + o_.window_slack + 1)) {
    complain("data beyond the window", f);
  }
  check_numbers(f, now);
  if (timestamps_ && !f.timestamps.empty() && !seq.after(last_ack_sent_)) ts_recent_ = f.tsval();
  return true;
}

void ToyTcp::on_ack(const DecodedFrame& f) {
  const SeqNum ack(f.ack);
  if (ack.before(snd_una_)) return;
  if (ack.after(snd_una_)) {
    snd_una_ = ack;
    if (snd_nxt_.before(ack)) snd_nxt_ = ack;
    rto_ = kFirstRto;
    timer_ = 0;
    acked_ = std::min<std::size_t>(stream_.size(), ack - SeqNum(o_.isn + 1));
    fin_acked_ = fin_sent_ && ack == at(stream_.size()) + 1;
  }
  snd_right_ = ack + (std::uint32_t{f.window} << peer_scale_);
}

void ToyTcp::on_payload(const DecodedFrame& f, std::uint64_t now) {
  if (f.seq_length() == 0) return;
  const std::uint32_t distance = SeqNum(f.seq) - irs_;
  const std::uint32_t expected = rcv_nxt_ - irs_;
  if (f.has(kFin)) peer_fin_at_ = SeqNum(f.seq) + static_cast<std::uint32_t>(f.payload.size());
  // A receiver without room takes nothing (a probe of its closed window).
  if (!f.payload.empty() && (free_window() != 0 || distance < expected)) {
    Bytes fresh = f.payload;
    std::uint32_t from = distance;
    if (static_cast<std::int32_t>(from - expected) < 0) {
      const std::uint32_t old = expected - from;
      fresh.erase(fresh.begin(),
                  fresh.begin() + std::min<long>(old, static_cast<long>(fresh.size())));
      from = expected;
    }
    if (!fresh.empty()) {
      Bytes& slot = ahead_[from];
      if (slot.size() < fresh.size()) slot = fresh;
    }
  }
  for (auto it = ahead_.begin(); it != ahead_.end();) {
    const std::uint32_t next = rcv_nxt_ - irs_;
    if (it->first > next) break;
    const std::size_t skip = next - it->first;
    if (skip < it->second.size()) {
      received.insert(received.end(), it->second.begin() + static_cast<long>(skip),
                      it->second.end());
      unread_ += it->second.size() - skip;
      rcv_nxt_ = rcv_nxt_ + static_cast<std::uint32_t>(it->second.size() - skip);
    }
    it = ahead_.erase(it);
  }
  if (!peer_fin_ && peer_fin_at_ && rcv_nxt_ == *peer_fin_at_) {
    peer_fin_ = true;
    peer_fin_read_ = true;
    rcv_nxt_ = rcv_nxt_ + 1;
  }
  send_ack(now);
}

void ToyTcp::receive(const DecodedFrame& f, std::uint64_t now) {
  if (!f.checksums_good) return;
  if (state_ == State::kListen) return on_listen(f, now);
  if (state_ == State::kSynSent) return on_syn_sent(f, now);
  if (!acceptable(f, now)) return;
  if (state_ == State::kSynReceived) {
    if (f.ack == o_.isn) return;
    state_ = State::kOpen;
    rto_ = kFirstRto;
    timer_ = 0;
  }
  on_ack(f);
  on_payload(f, now);
  send_data(now);
}

void ToyTcp::read(std::uint64_t now) {
  if (unread_ == 0) return;
  const bool was_closed = free_window() < o_.segment;
  unread_ = 0;
  if (was_closed && state_ == State::kOpen) send_ack(now);  // window update
}

void ToyTcp::send_data(std::uint64_t now) {
  if (state_ != State::kOpen) return;
  const std::size_t room = std::min<std::size_t>(o_.segment, peer_mss_ - 40U);
  for (;;) {
    const std::size_t sent = snd_nxt_ - SeqNum(o_.isn + 1);
    if (sent > stream_.size()) break;  // the FIN too
    const std::uint32_t in_flight = snd_nxt_ - snd_una_;
    const std::size_t left = stream_.size() - sent;
    const std::uint32_t window = snd_right_.before(snd_nxt_) ? 0 : snd_right_ - snd_nxt_;
    const std::size_t n =
        std::min({left, room, std::size_t{window},
                  std::size_t{kInFlight > in_flight ? kInFlight - in_flight : 0}});
    const bool fin = closing_ && n == left;
    if (n == 0 && !fin) break;
    const auto begin = stream_.begin() + static_cast<long>(sent);
    send(static_cast<std::uint16_t>(kAck | (fin ? kFin : 0)), snd_nxt_,
         Bytes(begin, begin + static_cast<long>(n)), now);
    fin_sent_ = fin_sent_ || fin;
    snd_nxt_ = snd_nxt_ + static_cast<std::uint32_t>(n + (fin ? 1 : 0));
    if (snd_nxt_.after(snd_max_)) snd_max_ = snd_nxt_;
    if (timer_ == 0) timer_ = now + rto_;
    if (fin) break;
  }
  if (timer_ == 0 && (acked_ < stream_.size() || (closing_ && !fin_acked_))) timer_ = now + rto_;
}

void ToyTcp::retransmit(std::uint64_t now) {
  rto_ = std::min(rto_ * 2, kLongestRto);
  if (state_ == State::kSynSent || state_ == State::kSynReceived) return send_syn(now);
  timer_ = now + rto_;
  const bool all = acked_ >= stream_.size() && (!closing_ || fin_acked_);
  if (all) {
    timer_ = 0;
    return;
  }
  const bool closed = !snd_right_.after(snd_una_);
  snd_nxt_ = snd_una_;
  if (closed && acked_ < stream_.size()) {
    // Probe of a closed window: one byte (RFC 9293 section 3.8.6.1).
    send(kAck, snd_una_, Bytes(1, stream_[acked_]), now);
    if ((snd_una_ + 1).after(snd_max_)) snd_max_ = snd_una_ + 1;
    return;
  }
  send_data(now);
}

void ToyTcp::tick(std::uint64_t now) {
  if (timer_ != 0 && now >= timer_) {
    timer_ = 0;
    retransmit(now);
  }
  if (state_ == State::kOpen && timer_ == 0) send_data(now);
}

}  // namespace synproxy::test
