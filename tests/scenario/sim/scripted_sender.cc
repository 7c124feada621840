// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <initializer_list>

#include "scripted_peer.h"

namespace synproxy::test::sim {
namespace {

constexpr std::uint64_t kLongestRto = 8000;
constexpr std::uint32_t kInFlight = 10'000;  // bytes: keeps the queues of the simulation short
constexpr std::size_t kHistory = 24;
constexpr std::size_t kMaxOptions = 40;

void put32(Bytes& b, std::uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) b.push_back(static_cast<std::uint8_t>(v >> shift));
}

// Not insert(): GCC 12 warns of overflows that do not exist.
void put(Bytes& b, std::initializer_list<std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) b.push_back(byte);
}

}  // namespace

Bytes ScriptedPeer::make_options(bool syn, bool answer, std::uint64_t now) {
  Bytes o;
  const auto put_timestamps = [&] {
    put(o, {8, 10});
    put32(o, ts_now(now));
    put32(o, syn && !answer ? 0 : ts_recent_);
  };
  if (syn) {
    if (plan_.mss != 0) {
      put(o,
          {2, 4, static_cast<std::uint8_t>(plan_.mss >> 8), static_cast<std::uint8_t>(plan_.mss)});
    }
    // Side by side they share a word, as Linux writes them; alone, each is padded.
    const bool sack = answer ? sack_ : plan_.sack;
    const bool timestamps = answer ? timestamps_ : plan_.timestamps;
    if (sack != timestamps) put(o, {1, 1});
    if (sack) put(o, {4, 2});
    if (timestamps) put_timestamps();
    if (answer ? scaling_ : plan_.scale.has_value()) put(o, {1, 3, 3, *plan_.scale});
    return o;
  }
  const bool odd = dice_.permille(plan_.mischief.odd_options);
  const std::uint32_t form = odd ? dice_(4) : 0;
  if (timestamps_ && form != 3) {
    o.insert(o.end(), form == 0 ? 2 : form - 1, std::uint8_t{1});  // aligned; none; one NOP
    put_timestamps();
  }
  std::vector<Block> blocks;
  if (sack_ && duplicate_) blocks.push_back(*duplicate_);
  duplicate_.reset();
  const std::size_t reserved = timestamps_ ? (form == 3 ? 24 : 12) : 0;
  if (sack_) {
    const std::size_t room = (kMaxOptions - reserved - 4) / 8;
    for (const auto& [distance, bytes] : ahead_) {
      const std::uint32_t left = irs_.value() + distance;
      if (blocks.size() < room) {
        blocks.emplace_back(left, left + static_cast<std::uint32_t>(bytes.size()));
      }
    }
    if (blocks.size() > room) blocks.resize(room);
  }
  if (!blocks.empty()) {
    if (form == 0) put(o, {1, 1});
    put(o, {5, static_cast<std::uint8_t>(2 + 8 * blocks.size())});
    for (const auto& [left, right] : blocks) {
      put32(o, left);
      put32(o, right);
    }
  }
  if (timestamps_ && form == 3) {  // last, unaligned, and twice
    put_timestamps();
    put_timestamps();
  }
  while (o.size() % 4 != 0) o.push_back(odd ? 0 : 1);
  return o;
}

void ScriptedPeer::send(std::uint16_t flags, SeqNum seq, Bytes payload, std::uint64_t now) {
  const bool syn = (flags & kSyn) != 0;
  if (!syn && (flags & kAck) != 0 && dice_.permille(plan_.mischief.shrink) && shrunk_until_ == 0) {
    shrunk_to_ = dice_.chance(50) ? 0 : dice_(part_.buffer);
    shrunk_until_ = now + 1 + dice_(400);
  }
  const unsigned shift = !syn && scaling_ ? *plan_.scale : 0U;
  const auto window = static_cast<std::uint16_t>(std::min(0xffffU, window_field(shift, now)));
  PacketBuilder b;
  b.macs(plan_.mac, plan_.peer_mac).vlans(plan_.tags).ip_raw(plan_.address, plan_.peer);
  b.ports(plan_.port, plan_.peer_port).seq(seq.value()).window(window);
  if ((flags & kAck) != 0) {
    b.ack(rcv_nxt_.value());
    last_ack_sent_ = rcv_nxt_;
    const SeqNum right = rcv_nxt_ + (std::uint32_t{window} << shift);
    if (right.after(rcv_right_)) rcv_right_ = right;
  }
  if (ecn_ && !syn) {
    if (!payload.empty()) b.traffic_class(2);
    if (echo_ce_) flags |= kEce;
    if (send_cwr_ && !payload.empty()) {
      flags |= kCwr;
      send_cwr_ = false;
    }
  }
  if (!payload.empty() && !syn && dice_.permille(plan_.mischief.urgent)) {
    flags |= kUrg;
    b.urgent(static_cast<std::uint16_t>(dice_(static_cast<std::uint32_t>(payload.size()) + 5)));
  }
  b.option(make_options(syn, (flags & kAck) != 0, now)).flags(flags).payload(std::move(payload));
  out.push_back({b.build()});
  if (plan_.mischief.stale != 0) {
    if (history_.size() < kHistory) {
      history_.push_back(out.back().bytes);
    } else {
      history_[dice_(kHistory)] = out.back().bytes;
    }
  }
}

void ScriptedPeer::send_rst(SeqNum seq, std::optional<std::uint32_t> ack) {
  PacketBuilder b;
  b.macs(plan_.mac, plan_.peer_mac).vlans(plan_.tags).ip_raw(plan_.address, plan_.peer);
  b.ports(plan_.port, plan_.peer_port).seq(seq.value()).flags(kRst).window(0);
  if (ack) b.ack(*ack);
  out.push_back({b.build()});
}

// Behind everything sent, but never outside the peer's window: otherwise it would be answered, and
// the answer answered, and so on.
void ScriptedPeer::send_ack(std::uint64_t now) {
  send(kAck, snd_max_.after(snd_right_) && snd_right_.after(snd_una_) ? snd_right_ : snd_max_, {},
       now);
}

// RFC 5961 section 7: not at the speed of the wire.
void ScriptedPeer::challenge(std::uint64_t now) {
  if (now < challenge_at_) return;
  challenge_at_ = now + 40;
  send_ack(now);
}

void ScriptedPeer::send_syn(std::uint64_t now) {
  timer_ = now + rto_;
  if (state_ == State::kSynReceived) {
    return send(static_cast<std::uint16_t>(kSyn | kAck | (ecn_ ? kEce : 0)), SeqNum(part_.isn), {},
                now);
  }
  Bytes data;
  if (plan_.mischief.syn_data && !stream_.empty()) {
    data.assign(stream_.begin(),
                stream_.begin() + std::min<long>(100, static_cast<long>(stream_.size())));
    snd_max_ = at(data.size());
  }
  send(static_cast<std::uint16_t>(kSyn | (plan_.ecn ? kEce | kCwr : 0)), SeqNum(part_.isn),
       std::move(data), now);
}

// The next segment from snd_nxt_; false when there is none to send.
bool ScriptedPeer::send_segment(std::uint64_t now) {
  const std::size_t sent = snd_nxt_ - SeqNum(part_.isn + 1);
  if (sent > stream_.size()) return false;  // the FIN too
  const std::size_t room = std::min<std::size_t>(part_.segment, peer_mss_ - kMaxOptions);
  const std::uint32_t in_flight = snd_nxt_ - snd_una_;
  const std::size_t left = stream_.size() - sent;
  const std::uint32_t window = snd_right_.before(snd_nxt_) ? 0 : snd_right_ - snd_nxt_;
  std::size_t n = std::min({left, room, std::size_t{window},
                            std::size_t{kInFlight > in_flight ? kInFlight - in_flight : 0}});
  std::size_t back = 0;
  if (n > 1 && dice_.permille(plan_.mischief.overlap)) {
    n = 1 + dice_(static_cast<std::uint32_t>(n));
    back = dice_(static_cast<std::uint32_t>(std::min(sent, room - n) + 1));
  }
  const bool fin = closing_ && n == left;
  if (n == 0 && !fin) return false;
  const auto begin = stream_.begin() + static_cast<long>(sent);
  send(static_cast<std::uint16_t>(kAck | (fin ? kFin : 0) | (n == left ? kPsh : 0)),
       snd_nxt_ - static_cast<std::uint32_t>(back),
       Bytes(begin - static_cast<long>(back), begin + static_cast<long>(n)), now);
  if (fin && !fin_sent_) {
    fin_sent_ = true;
    active_close_ = !peer_fin_;
  }
  snd_nxt_ = snd_nxt_ + static_cast<std::uint32_t>(n + (fin ? 1 : 0));
  if (snd_nxt_.after(snd_max_)) snd_max_ = snd_nxt_;
  if (timer_ == kNever) timer_ = now + rto_;
  return !fin;
}

void ScriptedPeer::send_data(std::uint64_t now) {
  if (state_ != State::kOpen) return;
  const std::size_t first = out.size();
  while (send_segment(now)) {
  }
  const auto fresh = static_cast<std::uint32_t>(out.size() - first);
  if (fresh > 1 && dice_.permille(plan_.mischief.shuffle)) {
    for (std::uint32_t i = fresh - 1; i > 0; --i)
      std::swap(out[first + i], out[first + dice_(i + 1)]);
  }
  if (timer_ == kNever && (acked_ < stream_.size() || (closing_ && !fin_acked_))) {
    timer_ = now + rto_;
  }
}

void ScriptedPeer::retransmit(std::uint64_t now) {
  rto_ = std::min(rto_ * 2, kLongestRto);
  if (state_ == State::kSynSent || state_ == State::kSynReceived) return send_syn(now);
  if (state_ != State::kOpen) return;
  if (acked_ >= stream_.size() && (!closing_ || fin_acked_)) return;
  timer_ = now + rto_;
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

void ScriptedPeer::prank(std::uint64_t now) {
  if (state_ != State::kOpen) return;
  const Mischief& m = plan_.mischief;
  if (!history_.empty() && dice_.permille(m.stale * 4)) {
    out.push_back({history_[dice_(static_cast<std::uint32_t>(history_.size()))], true});
  }
  if (dice_.permille(m.keepalive) && snd_una_ == snd_max_) {
    // RFC 9293 section 3.8.4, with the garbage byte of old stacks or without.
    send(kAck, snd_una_ - 1, dice_.chance(50) ? Bytes{} : Bytes{0xee}, now);
  }
  if (dice_.permille(m.wild_rst * 4)) {
    // In the window, but only where no byte will ever be: it must not become exact on the way.
    const bool in_window = closing_ && dice_.chance(50);
    send_rst(in_window ? at(stream_.size()) + 2 + dice_(500) : snd_una_ + 0x40000000U,
             rcv_nxt_.value());
  }
}

}  // namespace synproxy::test::sim
