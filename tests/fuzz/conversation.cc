// SPDX-License-Identifier: BSD-3-Clause
#include "fuzz/conversation.h"

#include <algorithm>
#include <array>

#include "fuzz/require.h"
#include "synproxy/wire/icmp.h"

namespace synproxy::fuzz {
namespace {

constexpr std::size_t kRemembered = 32;

// The first command of an input says how the proxy is configured.
test::HarnessOptions options_of(const Command& c) {
  constexpr std::array<std::uint32_t, 4> kFlows{8, 3, 16, 2};
  constexpr std::array<std::uint32_t, 4> kWindow{14'600, 0, 65'535, 700};
  constexpr std::array<std::uint32_t, 4> kMemory{8192, 512, 65'536, 0};
  constexpr std::array<std::uint32_t, 4> kEpoch{64'000, 1'000, 64'000, 300'000};
  constexpr std::array<std::uint8_t, 4> kScale{kAutoScale, 0, 14, 7};
  constexpr std::array<std::uint16_t, 4> kMss{0, 1460, 536, 65'535};
  test::HarnessOptions h;
  h.protect = {"203.0.113.10:80", "2001:db8::10"};
  EngineConfig& e = h.engine;
  e.shape.max_flows = kFlows[c.op & 3U];
  e.tuning.early_window = kWindow[c.op >> 2 & 3U];
  e.shape.early_data_memory = kMemory[c.op >> 4 & 3U];
  e.shape.epoch_ms = kEpoch[c.op >> 6];
  // With `auto` the proxy must first learn what the servers can do; with `on` it offers at once.
  const Offer offer = (c.flags & 8) != 0 ? Offer::kAuto : Offer::kOn;
  e.tuning.offer.sack = (c.who & 1) != 0 ? Offer::kOff : offer;
  e.tuning.offer.timestamps = (c.who & 2) != 0 ? Offer::kOff : offer;
  e.tuning.offer.ecn = (c.who & 4) != 0 ? Offer::kOff : offer;
  e.tuning.synack_repeats = c.flags >> 4 & 3U;
  e.tuning.hide_rtt = (c.who & 128) != 0 ? HideRtt::kOn : HideRtt::kAuto;
  e.tuning.fragments = (c.flags & 64) != 0 ? Fragments::kReassemble : Fragments::kDrop;
  e.tuning.forward_tcp_auth = (c.flags & 128) != 0;
  e.tuning.unknown = (c.a & 1) != 0 ? Unknown::kReset : Unknown::kDrop;
  e.tuning.offer.window_scale = kScale[c.who >> 3 & 3U];
  e.tuning.offer.mss = kMss[c.who >> 5 & 3U];
  if ((c.flags & 1) != 0) e.tuning.idle_timeout_ms = 20'000;
  if ((c.flags & 2) != 0) e.tuning.server_timeout_ms = 1'000;
  if ((c.flags & 4) != 0) e.tuning.close_timeout_ms = 500;
  return h;
}

bool icmp_good(Bytes frame) {
  Segment s;
  parse_frame(frame.data(), frame.size(), s);
  return s.result != ParseResult::kIcmp || icmp_checksum_good(s);
}

// The client's end and its ISN, as a key to look up.
std::string proof(const DecodedFrame& f, bool syn_ack) {
  const Bytes& address = syn_ack ? f.destination : f.source;
  std::string out(address.begin(), address.end());
  out += ':' + std::to_string(syn_ack ? f.destination_port : f.source_port);
  out += ' ' + std::to_string(syn_ack ? f.ack - 1 : f.seq);
  for (const test::VlanTag& tag : f.tags) {
    out += ' ' + std::to_string(tag.tpid) + '/' + std::to_string(tag.tci);
  }
  return out;
}

constexpr unsigned kBystander = 2000;

}  // namespace

Conversation::Conversation(Script script)
    : script_(script),
      options_(options_of(script_.next().value_or(Command{}))),
      p_(options_),
      bystander_(kBystander) {
  for (unsigned n = 0; n < Peer::kPeers; ++n) peers_.emplace_back(n);
}

void Conversation::run() {
  if (options_.engine.shape.max_flows > 2) open_bystander();
  for (std::size_t n = 0; n < kMaxCommands; ++n) {
    const auto c = script_.next();
    if (!c) break;
    step(*c);
  }
  flush();
  bystander_speaks(700);
  p_.check_accounts();
  p_.keys_stall = false;
  // Several times longer than any timeout: probes, expiry, tombstones.
  for (int i = 0; i < 5; ++i) {
    p_.leap(7'600'000);
    read_output();
    check();
  }
  require(p_.flows() == 0 && p_.early_buffers() == 0);
  require(p_.counters().flows_embryonic.get() == 0 && p_.counters().flows_established.get() == 0);
}

void Conversation::step(const Command& c) {
  Peer& x = peer(c);
  const std::uint64_t now = p_.now();
  const bool honest = !breaks_checksum(c);
  switch (c.kind()) {
    case Op::kClientSyn:
      return send(Role::kClient, x.syn(c, now), honest);
    case Op::kHandshakeAck:
      return send(Role::kClient, x.handshake_ack(c, now), honest);
    case Op::kServerSynAck:
      return send(Role::kServer, x.syn_ack(c, now), honest);
    case Op::kClientSegment:
      return send(Role::kClient, x.client_segment(c, now), honest);
    case Op::kServerSegment:
      return send(Role::kServer, x.server_segment(c, now), honest);
    case Op::kLeap:
      return leap(c);
    case Op::kOpen:
      return open(c);
    case Op::kClose:
      return close(c);
    case Op::kEarlyData:
      return early_data(c);
    case Op::kReplay:
    case Op::kMutate:
      return replay(c);
    case Op::kIcmp:
      return send((c.flags & 1) != 0 ? Role::kClient : Role::kServer, x.icmp(c));
    case Op::kRaw:
      return raw(c);
    case Op::kBurst:
      burst_size_ = 1U + c.a % kMaxBurst;
      return;
    case Op::kServerSyn:
      return send(Role::kServer, x.server_syn(c, now));
    case Op::kClientSynAck:
      return send(Role::kClient, x.client_syn_ack(c, now));
    case Op::kReuse:
      return x.reuse(c);
    case Op::kStallKeys:
      flush();
      p_.keys_stall = (c.a & 1) != 0;
      return;
    case Op::kBufferRoom:
      flush();
      p_.room = c.a * 8U;  // never less than the frame
      return;
    case Op::kBystander:
      flush();
      return bystander_speaks(c.a * 5U);
    case Op::kSynFlood:
    case Op::kAckFlood:
      return flood(c);
    case Op::kCount:
      return;
  }
}

void Conversation::open(const Command& c) {
  Peer& x = peer(c);
  Command step = c;
  step.seq = step.ack = step.shape = 0;
  send(Role::kClient, x.syn(step, p_.now()));
  flush();
  send(Role::kClient, x.handshake_ack(step, p_.now()));
  flush();
  step.a = honest_answer(x);
  send(Role::kServer, x.syn_ack(step, p_.now()));
  flush();
}

void Conversation::close(const Command& c) {
  Peer& x = peer(c);
  const bool client_first = (c.a & 1) == 0;
  for (const bool from_client : {client_first, !client_first, client_first}) {
    const bool last = x.client.seen.ack == x.client.nxt && x.server.seen.ack == x.server.nxt;
    const auto flags = static_cast<std::uint16_t>(last ? kAck : kAck | kFin);
    send(from_client ? Role::kClient : Role::kServer, x.plain(from_client, flags, 0, p_.now()));
    flush();
  }
}

void Conversation::early_data(const Command& c) {
  Peer& x = peer(c);
  for (unsigned i = 0; i < 1U + c.a % 20; ++i) {
    send(Role::kClient, x.plain(true, kAck | kPsh, payload_of(c), p_.now()));
  }
}

void Conversation::replay(const Command& c) {
  if (history_.empty()) return;
  auto [side, frame] = history_[c.who % history_.size()];
  if (c.kind() == Op::kReplay) {
    // An earlier frame may be broken, and on the wrong side it belongs to nobody.
    return send((c.flags & 0x80) != 0 ? other(side) : side, frame, false);
  }
  const std::size_t at = std::size_t{c.a} % std::max<std::size_t>(1, frame.size());
  if (!frame.empty()) frame[at] ^= c.b;
  if ((c.flags & 1) != 0) frame.resize(frame.size() * c.seq / 256);
  send(side, frame, false);
}

void Conversation::flood(const Command& c) {
  const bool syn = c.kind() == Op::kSynFlood;
  Peer& x = peer(c);
  for (unsigned i = 0; i < 1U + c.a % 40; ++i) {
    PacketBuilder b;
    b.ports(static_cast<std::uint16_t>(20'000 + c.b * 40 + i), 80).seq(i * 77777U);
    if (syn) {
      b.flags(kSyn).mss(1460);
    } else {
      b.ack(x.client.seen.isn + 1).timestamps(1, x.client.seen.tsval);
    }
    send(Role::kClient, b.build());
  }
}

void Conversation::leap(const Command& c) {
  constexpr std::array<std::uint64_t, 16> kLeaps{1,      5,      200,    400,      1'000,  1'001,
                                                 3'000,  10'000, 32'000, 64'000,   96'000, 100'000,
                                                 61'000, 20'000, 0,      7'450'000};
  flush();
  const std::uint64_t ms = (c.a & 0xf0) == 0xf0 ? 0xfff00000ULL : kLeaps[c.a & 15U];
  p_.leap(ms);
  if ((c.b & 1) != 0) p_.leap(1);
  // In a full table the timeout is an eighth, and the ends are asked some time before.
  bystander_lives_ =
      bystander_lives_ && p_.now() - bystander_spoke_ < options_.engine.tuning.idle_timeout_ms / 16;
  read_output();
  check();
}

void Conversation::raw(const Command& c) {
  Bytes frame;
  for (unsigned i = 0; i < c.a % 16U; ++i) {
    const Command part = script_.next().value_or(Command{});
    const auto* bytes = &part.op;
    frame.insert(frame.end(), bytes, bytes + sizeof part);
  }
  send((c.flags & 1) != 0 ? Role::kServer : Role::kClient, frame, false);
}

void Conversation::send(Role side, const Bytes& frame, bool honest) {
  if (!burst_.empty() && burst_side_ != side) flush();
  burst_side_ = side;
  burst_.push_back(frame);
  burst_honest_ = burst_honest_ && honest;
  history_.emplace_back(side, frame);
  if (history_.size() > kRemembered) history_.pop_front();
  if (burst_.size() >= burst_size_) flush();
}

void Conversation::flush() {
  if (burst_.empty()) return;
  const std::uint64_t full = count(Reason::table_full);
  p_.checksums_must_be_good = burst_honest_;
  p_.feed_burst(burst_side_, burst_);
  p_.checksums_must_be_good = true;
  if (burst_side_ == Role::kClient) refused_clients_ += count(Reason::table_full) - full;
  burst_.clear();
  read_output();
  burst_honest_ = true;
  check();
}

void Conversation::read_output() {
  frames_out_ += p_.to_client.size() + p_.to_server.size();
  for (const Bytes& frame : p_.to_client) read_one(frame, Role::kClient);
  for (const Bytes& frame : p_.to_server) read_one(frame, Role::kServer);
  p_.to_client.clear();
  p_.to_server.clear();
}

void Conversation::read_one(const Bytes& frame, Role side) {
  const auto f = test::decode(frame);
  if (!f) return require(!burst_honest_ || icmp_good(frame));
  const bool to_client = side == Role::kClient;
  if (to_client && (f->flags & (kSyn | kAck)) == (kSyn | kAck) && !f->timestamps.empty()) {
    proven_.insert(proof(*f, true));
  }
  // DF and no IP ID: the proxy made it and did not pass it on.
  const bool made = f->fragment == kDontFragment && f->ip_id == 0 && !f->ipv6;
  const bool by_tag = options_.engine.tuning.offer.timestamps == Offer::kOn;
  if (!to_client && burst_honest_ && made && by_tag && (f->flags & (kSyn | kAck)) == kSyn &&
      !f->timestamps.empty()) {
    require(proven_.contains(proof(*f, false)));
  }
  for (Peer& x : peers_) {
    if (x.owns(*f, to_client)) to_client ? x.at_client(*f) : x.at_server(*f);
  }
}

void Conversation::check() {
  const Counters& n = p_.counters();
  require(p_.flows() <= options_.engine.shape.max_flows);
  require(n.flows.get() == p_.flows());
  require(n.flows_embryonic.get() + n.flows_established.get() <= p_.flows());
  require(n.early_buffers.get() * 512 <= options_.engine.shape.early_data_memory);
  require(n.flows_embryonic.get() != 0 || n.early_buffers.get() == 0);

  const std::uint64_t opened =
      count(Reason::cookie_valid) + count(Reason::conn_passed) - refused_clients_;
  require(opened == p_.flows() + count(Reason::flow_freed));
  require(count(Reason::early_released) <= count(Reason::early_held));
  require(count(Reason::conn_established) <= count(Reason::cookie_valid));

  std::uint64_t left = count(Reason::synack_sent) - count(Reason::syn_to_server_retrans);
  for (const Reason r : {Reason::forwarded, Reason::passed, Reason::translated,
                         Reason::icmp_translated, Reason::asked}) {
    left += count(r);
  }
  for (std::size_t r = 0; r < kReasonCount; ++r) {
    if (info(static_cast<Reason>(r)).kind == ReasonKind::MADE)
      left += count(static_cast<Reason>(r));
  }
  require(left == frames_out_);
}

void Conversation::open_bystander() {
  through(Role::kClient, bystander_.syn({}, p_.now()));
  through(Role::kClient, bystander_.handshake_ack({}, p_.now()));
  // A server that shows more than the client was promised is asked again.
  for (int i = 0; i < 3 && count(Reason::conn_established) == 0; ++i) {
    Command answer;
    answer.a = honest_answer(bystander_);
    through(Role::kServer, bystander_.syn_ack(answer, p_.now()));
  }
  require(count(Reason::conn_established) == 1);
  bystander_lives_ = true;
  bystander_speaks(10);
}

void Conversation::bystander_speaks(std::size_t length) {
  if (!bystander_lives_) return;
  for (const bool client : {true, false}) {
    const Peer::End& from = client ? bystander_.client : bystander_.server;
    const Peer::End& to = client ? bystander_.server : bystander_.client;
    const std::uint32_t expected_seq = client ? from.nxt : to.seen.nxt;
    const auto tsval = from.ts_base + static_cast<std::uint32_t>(p_.now());
    const std::uint32_t last_tsval = to.ts_base + static_cast<std::uint32_t>(bystander_spoke_);
    const DecodedFrame f = through(client ? Role::kClient : Role::kServer,
                                   bystander_.plain(client, kAck | kPsh, length, p_.now()));
    require(f.payload.size() == length && f.flags == (kAck | kPsh));
    require(f.seq == expected_seq && f.ack == to.nxt);
    require(f.timestamps.size() == (to.seen.timestamps ? 1U : 0U));
    if (f.timestamps.empty()) continue;
    require(!client || f.tsval() == tsval);
    // The client's segment echoes what the server said before; the server's echoes what it just
    // got.
    require(f.tsecr() == (client ? last_tsval : to.ts_base + static_cast<std::uint32_t>(p_.now())));
  }
  bystander_spoke_ = p_.now();
}

DecodedFrame Conversation::through(Role from, const Bytes& frame) {
  const std::uint32_t room = p_.room;
  p_.room = 2048;
  p_.feed(from, frame);
  p_.room = room;
  DecodedFrame last;
  for (const Role side : {Role::kClient, Role::kServer}) {
    for (const Bytes& out : side == Role::kClient ? p_.to_client : p_.to_server) {
      const auto f = test::decode(out);
      if (!f || !bystander_.owns(*f, side == Role::kClient)) continue;
      side == Role::kClient ? bystander_.at_client(*f) : bystander_.at_server(*f);
      last = *f;
    }
  }
  read_output();
  check();
  return last;
}

}  // namespace synproxy::fuzz
