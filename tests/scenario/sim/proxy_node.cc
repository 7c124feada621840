// SPDX-License-Identifier: BSD-3-Clause
#include "proxy_node.h"

#include <algorithm>

#include "support/fragments.h"
#include "support/proxy_harness.h"

namespace synproxy::test::sim {
namespace {

constexpr std::size_t kRoom = 2048;
constexpr std::array<std::uint64_t, 4> kIndexKey{0x13198a2e03707344ULL, 0xa4093822299f31d0ULL,
                                                 0x082efa98ec4e6c89ULL, 0x452821e638d01377ULL};

const ProtectSet& protected_services() {
  static const ProtectSet set(
      {parse_protect_rule("203.0.113.10:80"), parse_protect_rule("[2001:db8::10]:80")});
  return set;
}

class Collector final : public FrameSink {
 public:
  explicit Collector(std::vector<ProxyNode::Output>& out) : out_(out) {}
  void emit(Role out, std::span<const std::uint8_t> frame) override {
    out_.push_back({out, Bytes(frame.begin(), frame.end()), -1});
  }

 private:
  std::vector<ProxyNode::Output>& out_;
};

constexpr const char* kRival4 = "198.51.109.9";
constexpr const char* kRival6 = "2001:db8:9::9";

Prefix prefix_of(const Bytes& address) {
  Prefix p;
  std::copy(address.begin(), address.end(), p.address.begin());
  p.ipv6 = address.size() == 16;
  p.length = static_cast<std::uint8_t>(8 * address.size());
  return p;
}

SourceLists lists_of(const Plan& plan) {
  std::vector<Prefix> allowed;
  std::vector<Prefix> denied;
  if (plan.allows_client) allowed.push_back(prefix_of(plan.client.address));
  if (plan.denies_rival) {
    for (const char* rival : {kRival4, kRival6}) denied.push_back(prefix_of(parse_address(rival)));
  }
  return make_source_lists(allowed, denied, false);
}

}  // namespace

ProxyNode::ProxyNode(const Plan& plan)
    : config_(plan.engine),
      engines_in_use_(plan.poison ? 2 : 1),
      offloads_(plan.offloads),
      offload_dice_(static_cast<unsigned>(plan.seed)),
      over_limits_(plan.over_limits),
      tight_(plan.tight),
      allows_client_(plan.allows_client),
      denies_rival_(plan.denies_rival),
      adopts_at_(plan.adopts_at),
      lists_(lists_of(plan)),
      rival_(plan.rival),
      host_(plan.client),
      rival_address_(parse_address(plan.client.ipv6 ? kRival6 : kRival4)),
      fragments_(plan.seed % 4 == 1 && !plan.rival),
      dice_(static_cast<unsigned>(plan.seed)),
      modes_(plan.modes),
      mode_dice_(static_cast<unsigned>(plan.seed)) {
  config_.shape.unix_ms_at_start = ProxyHarness::kUnixStart + plan.engine_starts_at;
  publish_keys(0);
  for (std::size_t i = 0; i < engines_in_use_; ++i) {
    counters_[i] = std::make_unique<Counters>();
    if (plan.deaths != 0) {
      stores_[i].emplace(Engine::store_bytes(config_.shape, protected_services()),
                         Mapping::Kind::kSparse);
    }
    make_engine(i);
  }
  const LimitTuning& limits = config_.tuning.limits;
  if (limits.rate.count != 0 && !allows_client_) {
    const RateLimit& rate = limits.rate.limits[0];
    admitted_ = {1.0 * rate.connections / rate.period_ms, 1.0 * rate.burst};
  }
  // A quarter of a second's worth at once, and another quarter for those that ask again.
  const std::uint32_t replies = limits.reply.per_second;
  answered_ = {replies / 1000.0, 2.0 * std::max(replies / 4, 1U)};
}

void ProxyNode::make_engine(std::size_t i) {
  std::span<std::byte> store;
  if (stores_[i]) store = {static_cast<std::byte*>(stores_[i]->data()), stores_[i]->bytes()};
  engines_[i] = std::make_unique<Engine>(config_, protected_services(), ring_, kIndexKey,
                                         *counters_[i], store);
  limits_[i] = std::make_unique<SourceLimits>(4096, kIndexKey);
  engines_[i]->limit_by(*limits_[i]);
  engines_[i]->use_lists(&lists_);
  if (!offloads_) return;
  kernels_[i] = std::make_unique<FakeKernel>();
  engines_[i]->offload_to(kernels_[i]->table());
}

// A capture begins and ends now and then.
void ProxyNode::allow_offloads() {
  if (!offloads_) return;
  const std::uint32_t die = offload_dice_() % 512;
  for (std::size_t i = 0; i < engines_in_use_ && die < 2; ++i) {
    engines_[i]->allow_offloads(die == 0);
  }
}

void ProxyNode::die(std::uint64_t now) {
  out.clear();
  const std::uint32_t before = flows();
  if (kernels_[0]) carried_before_ += kernels_[0]->carried();
  for (std::size_t i = 0; i < engines_in_use_; ++i) {
    engines_[i].reset();
    kernels_[i].reset();
    make_engine(i);
    const Found found = engines_[i]->resume(now);
    if ((found.kept != before || found.dropped != 0) && violation.empty()) {
      violation = "a connection was not found again";
    }
  }
  // What sources have spent of their rates ends with the process.
  admitted_.forgive();
  answered_.forgive();
}

void ProxyNode::publish_keys(std::uint64_t now) {
  const std::uint64_t epoch = (config_.shape.unix_ms_at_start + now) / config_.shape.epoch_ms;
  if (epoch == published_) return;
  for (std::uint64_t e = epoch - 1; e <= epoch + 2; ++e) ring_.publish(test_keys(1, e));
  published_ = epoch;
  ring_.want_tight(tight_ && epoch % 2 == 0);  // for the next one
}

void ProxyNode::check_limits(std::uint64_t now) {
  const auto count = [&](Reason r) { return counters_[0]->get(r); };
  if (!admitted_.allows(now, count(Reason::cookie_valid) + count(Reason::conn_watched)) &&
      violation.empty()) {
    violation = "more connections than --limit-rate allows";
  }
  if (!answered_.allows(now, count(Reason::synack_sent) + count(Reason::synack_repeated)) &&
      violation.empty()) {
    violation = "more SYN-ACKs than --reply-rate allows";
  }
  if (count(Reason::limit_conns) != 0 && violation.empty()) {
    violation = "a refusal by --limit-conns below the limit";
  }
  const Counters& c = *counters_[0];
  const std::uint64_t asking = c.flows_embryonic.get() - c.flows_waiting.get();
  const std::uint32_t backlog = config_.tuning.limits.backlog.connections;
  // Where the server was asked before the client was answered, its place there is taken already.
  if (backlog != 0 && asking > backlog && count(Reason::asked) == 0 && violation.empty()) {
    violation = "more connections ask the server than --server-backlog allows";
  }
  const std::uint64_t refused = count(Reason::limit_rate) + count(Reason::reply_capped);
  if (!over_limits_ && refused != 0 && violation.empty()) violation = "a refusal below all limits";
  if (allows_client_ && count(Reason::limit_rate) != 0 && violation.empty()) {
    violation = "a limit for an allowed source";
  }
}

void ProxyNode::run(std::size_t engine, Role side, const std::vector<const Bytes*>& frames,
                    std::uint64_t now, std::vector<Output>& said) {
  std::array<Packet, kMaxBurst> packets;
  std::array<int, kMaxBurst> cause{};
  std::size_t given = 0;
  said.clear();
  while (buffers_.size() < frames.size()) buffers_.emplace_back(kRoom);
  for (std::size_t n = 0; n < frames.size(); ++n) {
    const Bytes& frame = *frames[n];
    if (kernels_[engine]) {
      Bytes rewritten = frame;
      if (kernels_[engine]->carry(side, rewritten)) {
        said.push_back({other(side), std::move(rewritten), static_cast<int>(n)});
        continue;
      }
    }
    const std::size_t i = given++;
    cause[i] = static_cast<int>(n);
    std::vector<std::uint8_t>& buffer = buffers_[i];
    std::copy(frame.begin(), frame.end(), buffer.begin());
    if (engines_in_use_ == 2) {
      std::fill(buffer.begin() + static_cast<long>(frame.size()), buffer.end(),
                engine == 0 ? 0xa5 : 0x5a);
    }
    packets[i] = {
        .data = buffer.data(), .length = static_cast<std::uint32_t>(frame.size()), .room = kRoom};
  }
  std::vector<Output> made;
  Collector sink(made);
  if (given != 0) engines_[engine]->process(side, std::span(packets).first(given), now, sink);
  engines_[engine]->sent();
  for (std::size_t i = 0; i < given; ++i) {
    const Packet& p = packets[i];
    if (p.verdict == Verdict::kDrop) continue;
    if (p.length > p.room && violation.empty()) violation = "a packet longer than its buffer";
    said.push_back({p.verdict == Verdict::kForward ? other(side) : side,
                    Bytes(p.data, p.data + p.length), cause[i]});
  }
  std::move(made.begin(), made.end(), std::back_inserter(said));
}

PacketBuilder ProxyNode::rival_frame() const {
  PacketBuilder b;
  b.macs(host_.mac, host_.peer_mac).vlans(host_.tags).ip_raw(rival_address_, host_.peer);
  b.ports(static_cast<std::uint16_t>(2000 + rivals_), host_.peer_port).window(1000);
  return b;
}

void ProxyNode::feed_rival(const Bytes& frame, std::uint64_t now) {
  ++packets_in_;
  run(0, Role::kClient, {&frame}, now, out);
  if (engines_in_use_ == 2) run(1, Role::kClient, {&frame}, now, second_);
  check_limits(now);
  const bool answered = std::ranges::any_of(out, [](const Output& o) { return o.cause == 0; });
  if (denies_rival_ && answered && violation.empty()) violation = "a packet of a denied source";
}

// A SYN, and the ACK of its cookie, if it got one.
void ProxyNode::play_rival(std::uint64_t now) {
  if (!rival_ || now < rival_comes_) return;
  rival_comes_ = now + 3'000;
  ++rivals_;
  const std::uint32_t isn = rivals_ * 0x10000;
  std::vector<Output> rest = std::move(out);
  feed_rival(rival_frame().seq(isn).flags(kSyn).mss(1000).build(), now);
  std::vector<Output> said = std::move(out);
  for (const Output& o : said) {
    const auto f = decode(o.bytes);
    if (!f || o.cause != 0 || f->flags != (kSyn | kAck)) continue;
    feed_rival(rival_frame().seq(isn + 1).ack(f->seq + 1).build(), now);
    std::move(out.begin(), out.end(), std::back_inserter(rest));
    break;
  }
  // What was said to others meanwhile is theirs.
  for (Output& o : said) {
    if (o.cause < 0) rest.push_back(std::move(o));
  }
  out = std::move(rest);
}

// Nobody else sees what is said to the rival, or in its name.
void ProxyNode::hide_rival() {
  if (rivals_ == 0) return;
  std::erase_if(out, [&](const Output& o) {
    const auto f = decode(o.bytes);
    return f && (f->source == rival_address_ || f->destination == rival_address_);
  });
}

// There is only a wire.
void ProxyNode::pass_on(Role side, const std::vector<const Bytes*>& frames) {
  out.clear();
  for (std::size_t i = 0; i < frames.size(); ++i) {
    out.push_back({other(side), *frames[i], static_cast<int>(i)});
  }
}

void ProxyNode::feed(Role side, const std::vector<const Bytes*>& frames, std::uint64_t now) {
  if (now < adopts_at_) return pass_on(side, frames);
  feed_host(side, frames, now);
  hide_rival();
}

void ProxyNode::feed_host(Role side, const std::vector<const Bytes*>& frames, std::uint64_t now) {
  if (fragments_) return feed_in_pieces(side, frames, now);
  packets_in_ += frames.size();
  run(0, side, frames, now, out);
  check_limits(now);
  if (engines_in_use_ == 1) return;
  run(1, side, frames, now, second_);
  if (out != second_ && violation.empty()) violation = "a byte was left as it was in the buffer";
}

std::uint64_t ProxyNode::passed() const {
  std::uint64_t sum = 0;
  for (const Reason r : {Reason::translated, Reason::forwarded, Reason::passed, Reason::watched,
                         Reason::unknown_forwarded, Reason::synack_sent, Reason::icmp_translated}) {
    sum += counters_[0]->get(r);
  }
  return sum;
}

// One frame after the other, because each has its own cause.
void ProxyNode::feed_in_pieces(Role side, const std::vector<const Bytes*>& frames,
                               std::uint64_t now) {
  std::vector<Output> all;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    std::vector<Bytes> pieces{*frames[i]};
    const auto f = decode(*frames[i]);
    const bool whole = !f || !f->checksums_good || dice_() % 2 == 0;
    if (!whole) {
      const std::size_t data =
          frames[i]->size() - f->trailing - f->ip_header - 14 - 4 * f->tags.size();
      pieces = cut(*frames[i], std::max<std::size_t>(24, (data + 15) / 16 * 8), ++fragment_id_);
      std::shuffle(pieces.begin(), pieces.end(), dice_);
    }
    const bool cut_up = pieces.size() > 1;
    if (!cut_up) pieces = {*frames[i]};
    std::vector<const Bytes*> given;
    for (const Bytes& p : pieces) given.push_back(&p);
    packets_in_ += given.size();
    const std::uint64_t passed_before = passed();
    run(0, side, given, now, out);
    check_limits(now);
    if (engines_in_use_ == 2) {
      run(1, side, given, now, second_);
      if (out != second_ && violation.empty())
        violation = "a byte was left as it was in the buffer";
    }
    std::vector<Bytes> waiting;
    for (Output& o : out) {
      if (o.cause < 0 && is_fragment(o.bytes)) {
        waiting.push_back(std::move(o.bytes));
        const auto joined = join(waiting);
        if (!joined) continue;
        waiting.clear();
        o.bytes = *joined;
      }
      o.cause = o.cause < 0 ? -1 : static_cast<int>(i);
      all.push_back(std::move(o));
    }
    if (!waiting.empty() && violation.empty()) violation = "fragments that do not fit together";
    // The packet itself leaves last.
    if (cut_up && passed() != passed_before && !all.empty()) all.back().cause = static_cast<int>(i);
  }
  out = std::move(all);
}

// In each round trip of some connection. So small a backlog that one that is half-open begins
// cookies.
void ProxyNode::change_mode(std::uint64_t now) {
  if (!modes_ || now < mode_until_) return;
  mode_until_ = now + 1 + mode_dice_() % (mode_dice_() % 2 == 0 ? 300 : 5'000);
  config_.tuning.mode = static_cast<Mode>(mode_dice_() % 3);
  config_.tuning.adaptive = {.backlog = mode_dice_() % 2 == 0 ? 1U : 100U, .hold_ms = 1'000};
  for (std::size_t i = 0; i < engines_in_use_; ++i) engines_[i]->retune(config_.tuning);
}

void ProxyNode::tick(std::uint64_t now) {
  if (now < adopts_at_) return out.clear();
  tick_engines(now);
  play_rival(now);
  hide_rival();
}

void ProxyNode::tick_engines(std::uint64_t now) {
  publish_keys(now);
  change_mode(now);
  allow_offloads();
  out.clear();
  Collector sink(out);
  engines_[0]->tick(now, sink);
  check_limits(now);
  if (engines_in_use_ == 1) return;
  second_.clear();
  Collector second(second_);
  engines_[1]->tick(now, second);
  if (out != second_ && violation.empty()) violation = "the timers of two engines differ";
}

std::string ProxyNode::check_accounts() const {
  std::uint64_t fates = 0;
  for (std::size_t r = 0; r < kReasonCount; ++r) {
    const auto reason = static_cast<Reason>(r);
    const ReasonKind kind = info(reason).kind;
    const std::uint64_t n = counters_[0]->get(reason);
    if (kind == ReasonKind::FATE || kind == ReasonKind::DROP) fates += n;
    if (engines_in_use_ == 2 && n != counters_[1]->get(reason)) {
      return "two engines count differently: " + std::string(info(reason).name);
    }
  }
  // What the kernel has carried counts with the next look.
  if (kernels_[0]) {
    fates +=
        carried_before_ + kernels_[0]->carried() - counters_[0]->get(Reason::segment_offloaded);
  }
  if (fates != packets_in_ + counters_[0]->get(Reason::fragments_joined)) {
    return std::to_string(packets_in_) + " packets in, " + std::to_string(fates) + " fates";
  }
  const Counters& c = *counters_[0];
  if (c.flows.get() != flows() ||
      c.flows_embryonic.get() + c.flows_established.get() > c.flows.get()) {
    return "the gauges of flows disagree";
  }
  return {};
}

std::string ProxyNode::check_empty() const {
  const Counters& c = *counters_[0];
  if (flows() != 0) return std::to_string(flows()) + " flows left";
  if (c.early_buffers.get() != 0) {
    return std::to_string(c.early_buffers.get()) + " early buffers left";
  }
  if (c.flows_embryonic.get() + c.flows_established.get() != 0) return "gauges left";
  return {};
}

}  // namespace synproxy::test::sim
