// SPDX-License-Identifier: BSD-3-Clause
#include "flows/named_services.h"

#include <algorithm>

#include "synproxy/proxy/arrival.h"

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

bool same_server(const std::uint8_t* a, const std::uint8_t* b, bool ipv6) {
  return ipv6 ? same_address(a, b) : load_raw<std::uint32_t>(a) == load_raw<std::uint32_t>(b);
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
      all_(counters),
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
  differ_ = lists_differ_;
  modes_differ_ = unknowns_differ_ = forwards_unknown_ = resets_unknown_ = bounds_backlog_ = false;
  min_ttl_ = 0;
  mode_ = tunings_[0].mode;
  for (const ServiceTuning& t : std::span(tunings_).first(count + 1)) {
    differ_ |= t != tunings_[0];
    modes_differ_ |= t.mode != tunings_[0].mode ||
                     (t.mode == Mode::kAdaptive &&
                      (t.adaptive != tunings_[0].adaptive ||
                       t.monitors(kMonitorMode) != tunings_[0].monitors(kMonitorMode)));
    unknowns_differ_ |= t.unknown != tunings_[0].unknown ||
                        t.forwards_unknown() != tunings_[0].forwards_unknown() ||
                        t.monitors_unknown() != tunings_[0].monitors_unknown();
    forwards_unknown_ |= t.forwards_unknown();
    resets_unknown_ |= t.unknown == Unknown::kReset && !t.monitors(kMonitorUnknown);
    bounds_backlog_ |= t.backlog.bounds();
    min_ttl_ = std::max(min_ttl_, t.min_ttl);
    if (mode_ != Mode::kAdaptive && t.mode != Mode::kAlways) mode_ = t.mode;
  }
}

void NamedServices::note_lists(bool differ) {
  lists_differ_ = differ;
  differ_ = differ;
  const std::size_t count = std::min<std::size_t>(own_.count, counters_.size());
  for (const ServiceTuning& t : std::span(tunings_).first(count + 1)) differ_ |= t != tunings_[0];
}

NamedServiceId NamedServices::look_up(const KeyView& key) const {
  return protect_.service_of(server_of(key).data(), key.ipv6(), server_port_of(key.identity));
}

void NamedServices::count_event(const KeyView& key, Reason r, std::uint64_t n) {
  ServiceCounters* const to = counters_of(look_up(key));
  if (to != nullptr) to->count(r, n);
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
  // Most packets of a burst are of one service.
  const std::uint8_t* address = nullptr;
  std::uint16_t port = 0;
  bool ipv6 = false;
  NamedServiceId id = 0;
  for (std::size_t i = 0; i < burst_.size(); ++i) {
    Segment g;
    read_segment(burst_[i], g);
    of_[i] = 0;
    if (g.result != ParseResult::kTcp) continue;
    const std::uint8_t* const server = from_client ? g.destination() : g.source();
    const std::uint16_t server_port = from_client ? g.destination_port() : g.source_port();
    if (address == nullptr || server_port != port || g.ipv6 != ipv6 ||
        !same_server(server, address, ipv6)) {
      address = server;
      port = server_port;
      ipv6 = g.ipv6;
      id = services_.protect_.service_of(address, ipv6, port);
    }
    of_[i] = id;
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
