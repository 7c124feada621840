// SPDX-License-Identifier: BSD-3-Clause
// The stages of a burst before anything is decided about a connection.
#include <cstring>

#include "burst/engine_state.h"
#include "burst/flow_key.h"
#include "syn/known_syn.h"
#include "synproxy/policy/junk.h"
#include "synproxy/wire/icmp.h"

namespace synproxy {
namespace {

// The end of the packet that may be protected: its destination from the client, its source from the
// server.
const std::uint8_t* protected_end(const Segment& s, Role sender) {
  return sender == Role::kClient ? s.destination() : s.source();
}

Kind decide(EngineState& s, Context& c, Reason why) {
  if (s.protect.matches_address(protected_end(c.segment, c.sender), c.segment.ipv6)) {
    drop(s, c, why);
  } else {
    forward(s, c, Reason::forwarded);
  }
  return Kind::kDecided;
}

Kind classify_tcp(EngineState& s, Context& c) {
  const Segment& g = c.segment;
  const KeyView key = key_view(g, c.sender);
  const ServiceName service = service_name(key.identity);
  // The services of the last SYNs are protected; for the others the rules are asked.
  if (!s.offers.knows(service, key.server)) [[unlikely]] {
    const bool from_client = c.sender == Role::kClient;
    const std::uint16_t port = from_client ? g.destination_port() : g.source_port();
    if (!s.protect.matches(protected_end(g, c.sender), g.ipv6, port)) {
      forward(s, c, Reason::forwarded);
      return Kind::kDecided;
    }
  }
  if (c.sender == Role::kClient && !surely_sound(g)) {
    if (const auto reason = junk(g)) {
      drop(s, c, *reason);
      return Kind::kDecided;
    }
  }
  // Word by word: as a whole it would be put together in memory first, and waited for.
  c.identity.addresses = key.identity.addresses;
  c.identity.ports_and_vlan = key.identity.ports_and_vlan;
  c.service = service;
  c.hash = index_hash(s.index_key, key);
  s.table.prefetch_bucket(c.hash);
  return Kind::kTcp;
}

Kind classify_other(EngineState& s, Context& c) {
  switch (c.segment.result) {
    case ParseResult::kFragment:
      if (s.tuning.forward_fragments) break;
      return decide(s, c, Reason::fragment);
    case ParseResult::kBadIp:
      return decide(s, c, Reason::bad_ip_header);
    case ParseResult::kBadTcp:
      return decide(s, c, Reason::bad_tcp_header);
    case ParseResult::kTooDeep:
      return decide(s, c, Reason::vlan_depth);
    case ParseResult::kIcmp:
      return Kind::kIcmp;
    default:
      break;
  }
  forward(s, c, Reason::forwarded);
  return Kind::kDecided;
}

bool is_client_syn(const Context& c) {
  return (c.segment.flags & (kSyn | kAck | kRst)) == kSyn && c.sender == Role::kClient;
}

// Before its flow is looked up: here the frame is at hand, and the bucket is still on its way.
void plan_if_known(EngineState& s, Context& c) {
  const KnownSyn known = c.segment.ipv6 ? plan_known_syn<true>(s, c) : plan_known_syn<false>(s, c);
  if (known == KnownSyn::kYes) c.kind = Kind::kSynPlanned;
  if (known == KnownSyn::kBad) c.kind = Kind::kDecided;
}

}  // namespace

void classify(EngineState& s, std::span<Context> burst) {
  for (Context& c : burst) {
    if (c.kind == Kind::kRefuted) continue;
    parse_frame(c.packet->data, c.packet->length, c.segment);
    c.ack.macs = 0;
    c.ack.refuted = false;
    if (c.segment.result == ParseResult::kTcp) [[likely]] {
      c.kind = classify_tcp(s, c);
      if (c.kind == Kind::kTcp && is_client_syn(c)) plan_if_known(s, c);
    } else {
      c.kind = classify_other(s, c);
    }
  }
}

void look_up(EngineState& s, std::span<Context> burst) {
  std::array<Context*, kMaxBurst> maybe;
  std::size_t n = 0;
  for (Context& c : burst) {
    if (c.kind != Kind::kTcp && c.kind != Kind::kSynPlanned) continue;
    c.flow = kNoFlow;
    maybe[n] = &c;
    n += s.table.prefetch_record(c.hash) ? 1U : 0U;
  }
  for (std::size_t i = 0; i < n; ++i) {
    Context& c = *maybe[i];
    c.flow = s.table.find(c.key(), c.hash);
    // On a flow a SYN has to wait for its turn.
    if (c.flow != kNoFlow && c.kind == Kind::kSynPlanned) c.kind = Kind::kTcp;
  }
}

void find_flow(EngineState& s, Context& c) { c.flow = s.table.find(c.key(), c.hash); }

FlowIndex insert_flow(EngineState& s, const Context& c) {
  FlowKey key;
  key_of(c.segment, c.sender, key);
  const FlowIndex i = s.table.insert(key, c.hash);
  if (i != kNoFlow) s.changes.note(c.hash);
  return i;
}

bool goes_past(const EngineState& s, const Context& c) {
  if (!s.tuning.forward_tcp_auth || c.flow != kNoFlow) return false;
  return parse_tcp_options(c.segment.options(), c.segment.options_size()).auth;
}

void publish_gauges(EngineState& s) {
  s.counters.flows.set(s.table.size());
  s.counters.flows_embryonic.set(s.embryonic);
  s.counters.flows_established.set(s.established);
  s.counters.early_buffers.set(s.early.buffers_in_use());
}

}  // namespace synproxy
