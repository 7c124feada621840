// SPDX-License-Identifier: BSD-3-Clause
#include "support/proxy_harness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "synproxy/base/reasons.h"
#include "synproxy/base/service_counts.h"
#include "synproxy/proxy/arrival.h"

namespace synproxy::test {
namespace {

constexpr std::array<std::uint64_t, 4> kIndexKey{0x243f6a8885a308d3ULL, 0x13198a2e03707344ULL,
                                                 0xa4093822299f31d0ULL, 0x082efa98ec4e6c89ULL};

std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
  return x ^ x >> 31;
}

std::vector<ProtectRule> parse_rules(const HarnessOptions& options) {
  std::vector<ProtectRule> rules;
  rules.reserve(options.protect.size());
  for (const std::string& text : options.protect) {
    rules.push_back(parse_protect_rule(text));
    if (!options.services.empty()) rules.back().service = options.services.at(rules.size() - 1);
  }
  return rules;
}

std::vector<ProtectRule> as_one_service(const ProtectSet& protect) {
  std::vector<ProtectRule> rules(protect.rules().begin(), protect.rules().end());
  if (protect.named_services() != 0) return rules;
  for (ProtectRule& rule : rules) rule.service = 1;
  return rules;
}

}  // namespace

EpochKeys test_keys(std::uint64_t secret, std::uint64_t epoch) {
  EpochKeys keys;
  std::uint64_t x = mix(secret) ^ epoch;
  keys.epoch = epoch;
  for (LayoutKey* k : {&keys.timestamps, &keys.plain}) {
    k->k0 = x = mix(x);
    k->k1 = x = mix(x);
    k->multiplier = (x = mix(x)) | 1;
  }
  return keys;
}

// The results of one call of one engine: verdicts and frames, in the order in which they are sent.
class ProxyHarness::Collector final : public FrameSink {
 public:
  void emit(Role out, std::span<const std::uint8_t> frame) override {
    const int inside = std::exchange(inside_engine, 0);
    frames.emplace_back(out, Bytes(frame.begin(), frame.end()));
    inside_engine = inside;
  }
  void decided(Role, const Packet& whole) override { fates.push_back(whole.fate); }

  std::vector<Verdict> verdicts;
  std::vector<Reason> fates;
  std::vector<std::pair<Role, Bytes>> frames;
};

ProxyHarness::ProxyHarness(HarnessOptions options)
    : options_(std::move(options)),
      protect_(parse_rules(options_), VlanPairs(options_.vlan_pairs)),
      named_(as_one_service(protect_), VlanPairs(options_.vlan_pairs)) {
  options_.engine.shape.unix_ms_at_start = kUnixStart;
  publish_keys();
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    counters_[i] = std::make_unique<Counters>();
    if (options_.store) {
      stores_[i].emplace(Engine::store_bytes(options_.engine.shape, protect_),
                         Mapping::Kind::kSparse);
    }
    make_engine(i);
  }
}

void ProxyHarness::make_engine(std::size_t i) {
  engines_[i] =
      std::make_unique<Engine>(options_.engine, i == 0 ? protect_ : named_, ring_, kIndexKey,
                               *counters_[i], options_.store ? store(i) : std::span<std::byte>{});
  limits_[i] = std::make_unique<SourceLimits>(options_.limit_memory, kIndexKey);
  engines_[i]->limit_by(*limits_[i]);
  service_limits_[i].clear();
  for (NamedServiceId service = 1; service <= options_.own.count; ++service) {
    service_limits_[i].push_back(std::make_unique<SourceLimits>(options_.limit_memory, kIndexKey));
    engines_[i]->limit_by(*service_limits_[i].back(), service);
  }
  engines_[i]->retune(options_.engine.tuning, &options_.own);
  if (!options_.offload) return;
  kernels_[i] = std::make_unique<FakeKernel>(*options_.offload);
  engines_[i]->offload_to(kernels_[i]->table());
}

Found ProxyHarness::die() {
  died_ = true;
  std::array<Found, 2> found;
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    engines_[i].reset();
    make_engine(i);
    found[i] = engines_[i]->resume(now_ms_);
  }
  EXPECT_EQ(found[0].kept, found[1].kept);
  EXPECT_EQ(found[0].dropped, found[1].dropped);
  return found[0];
}

void ProxyHarness::carry(Engine& giver, Carried& carried, bool last,
                         const std::function<void(std::span<CarriedFlow>)>& spoil) const {
  auto& [taker, book, places, unfit] = carried;
  giver.begin_pass(book, last);
  std::vector<std::uint32_t> lines(giver.replays_to_carry());
  lines.resize(giver.find_changed_replays(book, 0, giver.replays_to_carry(), lines));
  std::vector<CarriedReplay> replays(lines.size());
  giver.carry_replays(book, lines, replays);
  taker->adopt_replays(replays, now_ms_);

  std::vector<FlowIndex> flows(giver.flows_to_carry(book));
  places.resize(std::max(places.size(), flows.size()), kNoFlow);
  flows.resize(giver.find_changed_flows(book, 0, giver.flows_to_carry(book), flows));
  for (const FlowIndex i : flows) {
    if (const FlowIndex place = std::exchange(places[i], kNoFlow); place != kNoFlow) {
      taker->forget(place);
    }
  }
  std::vector<CarriedFlow> copies(flows.size());
  giver.carry_flows(book, flows, copies);
  for (std::size_t i = 0; i < flows.size(); ++i) EXPECT_EQ(copies[i].index, flows[i]);
  if (spoil) spoil(copies);
  for (std::size_t i = 0; i < flows.size(); ++i) {
    if (copies[i].record.state() == FlowState::kFree) continue;
    places[flows[i]] = taker->adopt(copies[i], now_ms_);
    unfit += last && places[flows[i]] == kNoFlow ? 1U : 0U;
  }
}

Found ProxyHarness::hand_over(std::uint32_t max_flows, const std::function<void()>& meanwhile,
                              const std::function<void(std::span<CarriedFlow>)>& spoil) {
  died_ = true;
  spoiled_ = spoil != nullptr;
  options_.engine.shape.max_flows = max_flows;
  std::array<std::optional<Carried>, 2> carried;
  std::array<std::optional<Mapping>, 2> memory;
  std::array<std::unique_ptr<SourceLimits>, 2> limits;
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    std::span<std::byte> store;
    if (options_.store) {
      memory[i].emplace(Engine::store_bytes(options_.engine.shape, protect_),
                        Mapping::Kind::kSparse);
      store = {static_cast<std::byte*>(memory[i]->data()), memory[i]->bytes()};
    }
    limits[i] = std::make_unique<SourceLimits>(options_.limit_memory, kIndexKey);
    carried[i].emplace(Carried{std::make_unique<Engine>(options_.engine, i == 0 ? protect_ : named_,
                                                        ring_, kIndexKey, *counters_[i], store),
                               engines_[i]->begin_carrying(),
                               {},
                               0});
    carried[i]->taker->limit_by(*limits[i]);
    carried[i]->taker->adopt_services(engines_[i]->carry_services(), now_ms_);
    if (meanwhile) carry(*engines_[i], *carried[i], false, spoil);
  }
  if (meanwhile) meanwhile();
  std::array<Found, 2> found;
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    carry(*engines_[i], *carried[i], true, spoil);
    engines_[i] = std::move(carried[i]->taker);
    limits_[i] = std::move(limits[i]);
    stores_[i].reset();
    if (memory[i]) stores_[i].emplace(std::move(*memory[i]));
    found[i] = {.kept = engines_[i]->flows(), .dropped = carried[i]->unfit};
    engines_[i]->count_adopted(found[i]);
  }
  EXPECT_EQ(found[0].kept, found[1].kept);
  EXPECT_EQ(found[0].dropped, found[1].dropped);
  return found[0];
}

ProxyHarness::~ProxyHarness() { check_accounts(); }

void ProxyHarness::publish_keys() {
  const std::uint64_t epoch = (kUnixStart + now_ms_) / options_.engine.shape.epoch_ms;
  if (epoch == published_ || keys_stall) return;
  for (std::uint64_t e = epoch - 1; e <= epoch + 2; ++e)
    ring_.publish(test_keys(options_.secret, e));
  published_ = epoch;
}

void ProxyHarness::store(Role side, const Bytes& frame) {
  if (checksums_must_be_good) {
    if (const auto f = decode(frame)) {
      EXPECT_TRUE(f->checksums_good) << f->to_string();
    }
  }
  (side == Role::kClient ? to_client : to_server).push_back(frame);
}

namespace {

// What a reader of the packet may rely on.
void expect_told(const Packet& p, const Bytes& frame) {
  const bool drop = info(p.fate).kind == ReasonKind::DROP;
  EXPECT_TRUE(drop || info(p.fate).kind == ReasonKind::FATE) << info(p.fate).name;
  if (!drop) return;
  EXPECT_NE(p.verdict, Verdict::kForward) << info(p.fate).name;
  if (p.verdict == Verdict::kReply) {
    EXPECT_TRUE(may_be_answered(p.fate)) << info(p.fate).name;
  } else if (!may_be_answered(p.fate)) {
    EXPECT_EQ(Bytes(p.data, p.data + p.length), frame) << info(p.fate).name;
  }
}

}  // namespace

Verdict ProxyHarness::feed(Role side, const Bytes& frame) {
  return feed_burst(side, {frame}).at(0);
}

std::vector<Verdict> ProxyHarness::feed_burst(Role side, const std::vector<Bytes>& frames) {
  constexpr std::array<std::uint8_t, 2> kPoison{0xa5, 0x5a};
  std::array<Collector, 2> said;
  packets_in_ += frames.size();
  for (std::size_t e = 0; e < engines_.size(); ++e) {
    std::vector<std::unique_ptr<std::uint8_t[]>> buffers;
    std::vector<Packet> packets;
    // One engine gets its packets as with several workers, with what the steering has found out.
    std::vector<Arrival> arrivals(e == 0 ? 0 : frames.size());
    std::vector<const Bytes*> given;
    for (const Bytes& frame : frames) {
      if (Bytes carried = frame; kernels_[e] && kernels_[e]->carry(side, carried)) {
        said[e].verdicts.push_back(Verdict::kForward);
        said[e].fates.push_back(kernels_[e]->fate());
        said[e].frames.emplace_back(other(side), std::move(carried));
        continue;
      }
      given.push_back(&frame);
      const std::size_t size = std::max<std::size_t>(room, frame.size());
      buffers.emplace_back(new std::uint8_t[size]);
      std::uint8_t* data = buffers.back().get();
      std::copy(frame.begin(), frame.end(), data);
      std::fill(data + frame.size(), data + size, kPoison[e]);
      packets.push_back({.data = data,
                         .length = static_cast<std::uint32_t>(frame.size()),
                         .room = static_cast<std::uint32_t>(size),
                         .checksum = checksum_hint});
      if (arrivals.empty()) continue;
      Arrival& found = arrivals[packets.size() - 1];
      static_cast<void>(owner_of({data, frame.size()}, side, protect_, kIndexKey, 2, 0, found));
      packets.back().arrival = &found;
    }
    Collector made;
    ++inside_engine;
    if (!packets.empty()) engines_[e]->process(side, packets, now_ms_, made);
    engines_[e]->sent();
    --inside_engine;
    std::ranges::copy(made.fates, std::back_inserter(said[e].fates));
    for (std::size_t i = 0; i < packets.size(); ++i) {
      const Packet& p = packets[i];
      said[e].verdicts.push_back(p.verdict);
      if (p.verdict == Verdict::kCut) continue;
      said[e].fates.push_back(p.fate);
      if (!arrivals.empty() && arrivals[i].segment.result != ParseResult::kTcp) {
        ++portless_[static_cast<std::size_t>(p.fate)];
      }
      expect_told(p, *given[i]);
      if (p.verdict == Verdict::kDrop) continue;
      EXPECT_LE(p.length, p.room);
      said[e].frames.emplace_back(p.verdict == Verdict::kForward ? other(side) : side,
                                  Bytes(p.data, p.data + p.length));
    }
    std::move(made.frames.begin(), made.frames.end(), std::back_inserter(said[e].frames));
  }
  EXPECT_EQ(said[0].verdicts, said[1].verdicts);
  EXPECT_EQ(said[0].fates, said[1].fates);
  for (const Reason fate : said[0].fates) ++fates_[static_cast<std::size_t>(fate)];
  // What is to be cut has no fate yet: its segments have.
  packets_in_ -= static_cast<std::uint64_t>(std::ranges::count(said[0].verdicts, Verdict::kCut));
  EXPECT_EQ(said[0].frames, said[1].frames) << "a byte was left as it was in the buffer";
  for (const auto& [out, frame] : said[0].frames) store(out, frame);
  return said[0].verdicts;
}

void ProxyHarness::tick() {
  publish_keys();
  std::array<Collector, 2> said;
  for (std::size_t e = 0; e < engines_.size(); ++e) {
    ++inside_engine;
    engines_[e]->tick(now_ms_, said[e]);
    --inside_engine;
  }
  EXPECT_EQ(said[0].frames, said[1].frames);
  for (const auto& [out, frame] : said[0].frames) store(out, frame);
}

std::vector<FlowInfo> ProxyHarness::shown(std::uint32_t looks) const {
  std::vector<FlowInfo> all;
  FlowSlice slice{.count = 0, .next = 0};
  while (slice.next != kNoFlow) {
    std::array<FlowInfo, 5> part;
    slice = engines_[0]->copy_flows(slice.next, looks, part, now_ms_);
    all.insert(all.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(slice.count));
  }
  return all;
}

bool ProxyHarness::delete_flow(FlowIndex index, const FlowKey& key) {
  std::array<Collector, 2> said;
  std::array<bool, 2> deleted{};
  for (std::size_t e = 0; e < engines_.size(); ++e) {
    deleted[e] = engines_[e]->delete_flow(index, key, now_ms_, said[e]);
  }
  EXPECT_EQ(deleted[0], deleted[1]);
  EXPECT_EQ(said[0].frames, said[1].frames);
  for (const auto& [out, frame] : said[0].frames) store(out, frame);
  return deleted[0];
}

void ProxyHarness::retune(const EngineTuning& tuning, const ServiceTunings* own) {
  for (const auto& engine : engines_) engine->retune(tuning, own);
}

void ProxyHarness::advance(std::uint64_t ms) {
  const std::uint64_t end = now_ms_ + ms;
  const std::uint64_t step = ms > 60'000 ? 250 : 1;
  while (now_ms_ < end) {
    now_ms_ = std::min(end, now_ms_ + step);
    tick();
  }
}

void ProxyHarness::leap(std::uint64_t ms) {
  now_ms_ += ms;
  tick();
}

Bytes ProxyHarness::take_raw(Role side) {
  auto& queue = side == Role::kClient ? to_client : to_server;
  if (queue.empty()) {
    ADD_FAILURE() << "no frame to the " << (side == Role::kClient ? "client" : "server");
    return {};
  }
  Bytes frame = std::move(queue.front());
  queue.pop_front();
  return frame;
}

namespace {
DecodedFrame decoded(const Bytes& frame) {
  if (frame.empty()) return {};
  auto f = decode(frame);
  if (!f) {
    ADD_FAILURE() << "the frame is not whole TCP";
    return {};
  }
  return *f;
}
}  // namespace

DecodedFrame ProxyHarness::take_client() { return decoded(take_raw(Role::kClient)); }
DecodedFrame ProxyHarness::take_server() { return decoded(take_raw(Role::kServer)); }

void ProxyHarness::expect_quiet() {
  for (auto* queue : {&to_client, &to_server}) {
    for (const Bytes& frame : *queue) {
      const auto f = decode(frame);
      ADD_FAILURE() << "unexpected, to the " << (queue == &to_client ? "client: " : "server: ")
                    << (f ? f->to_string() : "not TCP");
    }
    queue->clear();
  }
}

void ProxyHarness::check_accounts() {
  if (options_.offload) end_offloads();  // what was carried counts now
  std::uint64_t fates = 0;
  for (std::size_t r = 0; r < kReasonCount; ++r) {
    const auto reason = static_cast<Reason>(r);
    const ReasonKind kind = info(reason).kind;
    if (kind == ReasonKind::FATE || kind == ReasonKind::DROP) {
      fates += count(reason);
      EXPECT_EQ(count(reason), fates_[r]) << info(reason).name << ": a packet says something else";
    }
    EXPECT_EQ(count(reason), counters_[1]->get(reason)) << info(reason).name;
  }
  EXPECT_EQ(fates, packets_in_ + count(Reason::fragments_joined))
      << "each packet has exactly one fate";
  EXPECT_LE(count(Reason::syn_to_server_retrans), count(Reason::syn_to_server));
  check_service();
}

void ProxyHarness::check_service() const {
  if (!options_.services.empty() || spoiled_) return;
  const Counters& all = *counters_[1];
  const ServiceCounters& service = all.services[0];
  EXPECT_EQ(service.flows.get(), all.flows.get());
  EXPECT_EQ(service.flows_embryonic.get(), all.flows_embryonic.get());
  EXPECT_EQ(service.flows_established.get(), all.flows_established.get());
  if (died_) return;  // what is counted of a service begins anew, here all together does not
  for (std::size_t r = 0; r < kReasonCount; ++r) {
    const auto reason = static_cast<Reason>(r);
    // These may meet packets to other addresses and ports too.
    if (!counts_per_service(reason) || reason == Reason::forwarded || reason == Reason::denied ||
        reason == Reason::bogon_source || reason == Reason::deny_monitored ||
        reason == Reason::bogons_monitored || reason == Reason::min_ttl_monitored) {
      continue;
    }
    EXPECT_EQ(service.get(reason) + portless_[r], all.get(reason))
        << info(reason).name << " of a service";
  }
}

void ProxyHarness::expect_empty_after(std::uint64_t ms) {
  advance(ms);
  EXPECT_EQ(flows(), 0U);
  EXPECT_EQ(early_buffers(), 0U);
  EXPECT_EQ(counters().flows.get(), 0U);
  EXPECT_EQ(counters().flows_embryonic.get(), 0U);
  EXPECT_EQ(counters().flows_established.get(), 0U);
}

}  // namespace synproxy::test
