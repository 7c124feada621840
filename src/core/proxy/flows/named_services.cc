// SPDX-License-Identifier: BSD-3-Clause
#include "flows/named_services.h"

#include <algorithm>
#include <cstring>

#include "synproxy/proxy/arrival.h"
#include "synproxy/wire/segment.h"

namespace synproxy {
namespace {

// Whether a client's SYN with this fate is one that syn_received counts.
bool counts_as_syn(Reason fate) {
  switch (fate) {
    case Reason::synack_sent:
    case Reason::reply_capped:
    case Reason::watched:
    case Reason::asked:
    case Reason::passed:
    case Reason::syn_own_isn:
    case Reason::no_buffer_room:
      return true;
    default:
      return false;
  }
}

struct Gauges {
  bool flows;
  bool embryonic;
  bool established;
};
Gauges gauges_of(FlowState s) {
  return {.flows = s != FlowState::kFree,
          .embryonic = s == FlowState::kSynSent,
          .established = s == FlowState::kEstablished || s == FlowState::kPassed};
}

void move(Counter& gauge, bool from, bool to) {
  gauge.set(gauge.get() + (to ? 1U : 0U) - (from ? 1U : 0U));
}

}  // namespace

NamedServices::NamedServices(const ProtectSet& protect, Counters& counters,
                             const EngineTuning& tuning)
    : protect_(protect),
      memory_(protect.named_services() == 0 ? nullptr
                                            : new ServiceCounters[protect.named_services()]),
      counters_(memory_.get(), protect.named_services()) {
  counters.services = counters_;
  retune(tuning);
}

void NamedServices::retune(const EngineTuning& tuning, const ServiceTunings* own) {
  if (own != nullptr) own_ = *own;
  const std::size_t count = std::min<std::size_t>(own_.count, counters_.size());
  tunings_.fill(service_tuning(tuning));
  std::copy_n(own_.of.begin(), count, tunings_.begin() + 1);
  differ_ = modes_differ_ = resets_unknown_ = bounds_backlog_ = false;
  min_ttl_ = 0;
  mode_ = tunings_[0].mode;
  for (const ServiceTuning& t : std::span(tunings_).first(count + 1)) {
    differ_ |= t != tunings_[0];
    modes_differ_ |= t.mode != tunings_[0].mode;
    resets_unknown_ |= t.unknown == Unknown::kReset;
    bounds_backlog_ |= t.backlog.bounds();
    min_ttl_ = std::max(min_ttl_, t.min_ttl);
    if (mode_ != Mode::kAdaptive && t.mode != Mode::kAlways) mode_ = t.mode;
  }
}

NamedServiceId NamedServices::look_up(const KeyView& key) const {
  std::array<std::uint8_t, 4> ipv4;
  const auto word = static_cast<std::uint32_t>(key.identity.addresses >> 32);
  std::memcpy(ipv4.data(), &word, sizeof word);
  const auto port = static_cast<std::uint16_t>(key.identity.ports_and_vlan >> 16);
  const std::uint8_t* const address = key.ipv6() ? key.server : ipv4.data();
  return protect_.service_of(address, key.ipv6(), port);
}

void NamedServices::count_event(const KeyView& key, Reason r) {
  ServiceCounters* const to = counters_of(look_up(key));
  if (to != nullptr) to->count(r);
}

void NamedServices::moves(const FlowKey& key, FlowState from, FlowState to) {
  ServiceCounters* const c =
      counters_of(protect_.service_of(key.server.data(), key.ipv6, key.server_port));
  if (c == nullptr) return;
  const Gauges was = gauges_of(from);
  const Gauges is = gauges_of(to);
  move(c->flows, was.flows, is.flows);
  move(c->flows_embryonic, was.embryonic, is.embryonic);
  move(c->flows_established, was.established, is.established);
}

void NamedServices::Tally::begin(Role sender, std::span<Packet> burst) {
  burst_ = burst.first(std::min(burst.size(), kMaxBurst));
  const bool from_client = sender == Role::kClient;
  for (std::size_t i = 0; i < burst_.size(); ++i) {
    const Packet& p = burst_[i];
    Segment g;
    if (p.arrival != nullptr) {
      g = p.arrival->segment;
    } else {
      parse_frame(p.data, p.length, g);
    }
    of_[i] = 0;
    if (g.result != ParseResult::kTcp) continue;
    of_[i] = services_.protect_.service_of(from_client ? g.destination() : g.source(), g.ipv6,
                                           from_client ? g.destination_port() : g.source_port());
    const bool syn = from_client && (g.flags & (kSyn | kAck | kRst)) == kSyn;
    syns_ |= std::uint32_t{syn} << i;
  }
}

void NamedServices::Tally::end() {
  for (std::size_t i = 0; i < burst_.size(); ++i) {
    const Packet& p = burst_[i];
    ServiceCounters* const c = services_.counters_of(of_[i]);
    if (c == nullptr || (decided_ >> i & 1U) == 0 || p.verdict == Verdict::kCut) continue;
    c->count(p.fate);
    if ((syns_ >> i & 1U) != 0 && counts_as_syn(p.fate)) c->count(Reason::syn_received);
  }
}

}  // namespace synproxy
