// SPDX-License-Identifier: BSD-3-Clause
// The first stage of a burst: parses each packet and sorts out what is not protected TCP.
#include <cstring>

#include "burst/flow_key.h"
#include "burst/stages.h"
#include "syn/known_syn.h"
#include "synproxy/policy/junk.h"
#include "synproxy/proxy/arrival.h"
#include "synproxy/wire/icmp.h"

namespace synproxy {
namespace {

// The address that may be protected: the destination of a client's packet, the source of a
// server's.
const std::uint8_t* protected_end(const Segment& s, Role sender) {
  return sender == Role::kClient ? s.destination() : s.source();
}

Kind decide(Rooms& rooms, Context& c, Reason why) {
  if (rooms.protect.matches_address(protected_end(c.segment, c.sender), c.segment.ipv6)) {
    drop(rooms.counters, c, why);
  } else {
    forward(rooms.counters, c, Reason::forwarded);
  }
  return Kind::kDecided;
}

Kind classify_tcp(Rooms& rooms, Context& c) {
  const Segment& g = c.segment;
  const KeyView key = key_view(g, c.sender);
  const ServiceName service = service_name(key.identity);
  const Arrival* const found = c.packet->arrival;
  if (found != nullptr) {
    if (!found->owned) {
      forward(rooms.counters, c, Reason::forwarded);
      return Kind::kDecided;
    }
  } else if (!rooms.answerer.knows(service, key.server, g.vlan)) [[unlikely]] {
    // Services of recent SYNs are known to be protected. For all others the rules decide.
    const bool from_client = c.sender == Role::kClient;
    const std::uint16_t port = from_client ? g.destination_port() : g.source_port();
    if (!rooms.protect.matches(protected_end(g, c.sender), g.ipv6, port)) {
      forward(rooms.counters, c, Reason::forwarded);
      return Kind::kDecided;
    }
  }
  if (c.sender == Role::kClient && !surely_sound(g)) {
    if (const auto reason = junk(g)) {
      drop(rooms.counters, c, *reason);
      return Kind::kDecided;
    }
  }
  // Copied word by word: a copy as a whole would be assembled in memory first, and the reader would
  // wait for it.
  c.identity.addresses = key.identity.addresses;
  c.identity.ports_and_vlan = key.identity.ports_and_vlan;
  c.service = service;
  c.hash = found != nullptr ? found->hash : rooms.flows.hash_of(key);
  if (rooms.now.tuning().forward_tcp_auth) [[unlikely]] {
    c.passes_signed = parse_tcp_options(g.options(), g.options_size()).auth;
  }
  return Kind::kTcp;
}

Kind classify_fragment(Rooms& rooms, Context& c) {
  const Fragments policy = rooms.now.tuning().fragments;
  const bool monitored = (rooms.now.tuning().limits.monitored & kMonitorFragments) != 0;
  if (policy == Fragments::kDrop && !monitored) return decide(rooms, c, Reason::fragment);
  if (policy != Fragments::kForward &&
      rooms.protect.matches_address(protected_end(c.segment, c.sender), c.segment.ipv6)) {
    if (policy == Fragments::kReassemble) return Kind::kFragment;
    rooms.counters.count(Reason::fragments_monitored);
  }
  forward(rooms.counters, c, Reason::forwarded);
  return Kind::kDecided;
}

// What it quotes is found here, so that the flow's bucket is on its way before it is looked at.
Kind classify_icmp(Rooms& rooms, Context& c) {
  QuotedFlow& quoted = rooms.quoted_by(c);
  if (!quoted_flow(c.segment, c.sender, rooms.protect, quoted)) {
    forward(rooms.counters, c, Reason::forwarded);
    return Kind::kDecided;
  }
  const Arrival* const found = c.packet->arrival;
  c.hash = found != nullptr ? found->hash : rooms.flows.hash_of(quoted.key);
  return Kind::kIcmp;
}

Kind classify_other(Rooms& rooms, Context& c) {
  switch (c.segment.result) {
    case ParseResult::kFragment:
      return classify_fragment(rooms, c);
    case ParseResult::kBadIp:
      return decide(rooms, c, Reason::bad_ip_header);
    case ParseResult::kBadTcp:
      return decide(rooms, c, Reason::bad_tcp_header);
    case ParseResult::kTooDeep:
      return decide(rooms, c, Reason::vlan_depth);
    case ParseResult::kTagPile:
      drop(rooms.counters, c, Reason::vlan_depth);
      return Kind::kDecided;
    case ParseResult::kIcmp:
      if (c.sender == Role::kClient && rooms.sheds(c.segment)) {
        drop(rooms.counters, c, Reason::icmp_shed);
        return Kind::kDecided;
      }
      return classify_icmp(rooms, c);
    default:
      break;
  }
  forward(rooms.counters, c, Reason::forwarded);
  return Kind::kDecided;
}

bool is_client_syn(const Context& c) {
  return (c.segment.flags & (kSyn | kAck | kRst)) == kSyn && c.sender == Role::kClient;
}

// Done before the flow is looked up: the frame is in the cache here, and the bucket is still being
// fetched. The walk over the options of any other SYN overlaps with the next packets here; in the
// stage that needs the options it would be waited for.
void plan_if_known(Rooms& rooms, Context& c) {
  if (rooms.reply_cap.on()) {
    rooms.reply_cap.prefetch(rooms.reply_cap.place_of(c.segment.source(), c.segment.ipv6));
  }
  if (rooms.kernels.any_syns != nullptr && c.segment.l3_offset != kEthernetHeader) {
    // Columns take it whatever its shape is, and hash its tags too.
    rooms.syn_kinds.tagged |= rooms.tags_matter(c.segment);
    rooms.asked_by(c) = parse_tcp_options(c.segment.options(), c.segment.options_size());
    return;
  }
  (c.segment.ipv6 ? rooms.syn_kinds.ipv6 : rooms.syn_kinds.ipv4) = true;
  const KnownSyn known = c.segment.ipv6
                             ? plan_known_syn<true>(rooms.now, rooms.answerer, rooms.counters, c)
                             : plan_known_syn<false>(rooms.now, rooms.answerer, rooms.counters, c);
  if (known == KnownSyn::kYes) c.kind = Kind::kSynPlanned;
  if (known == KnownSyn::kBad) c.kind = Kind::kDecided;
  if (known == KnownSyn::kNo) {
    rooms.asked_by(c) = parse_tcp_options(c.segment.options(), c.segment.options_size());
  }
}

void classify_one(Rooms& rooms, Context& c) {
  if (c.kind == Kind::kRefuted) return;
  read_segment(*c.packet, c.segment);
  c.ack.macs = 0;
  c.ack.refuted = false;
  c.passes_signed = false;
  if (c.segment.result == ParseResult::kTcp) [[likely]] {
    c.kind = classify_tcp(rooms, c);
    if (c.kind == Kind::kTcp && is_client_syn(c)) plan_if_known(rooms, c);
  } else {
    c.kind = classify_other(rooms, c);
  }
}

// A prefetch waits until its page is found, and the core has room for the instructions of two
// packets. So the buckets of a few are asked for together: then it looks for their pages side by
// side. A packet without a key has the hash of an earlier one; to fetch for that costs less than to
// check.
void fetch_buckets(const FlowBook& flows, std::span<const Context> packets) {
  for (const Context& c : packets) flows.prefetch_bucket(c.hash);
}

}  // namespace

void classify(Rooms& rooms, std::span<Context> burst) {
  constexpr std::size_t kTogether = 4;
  std::size_t fetched = 0;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    classify_one(rooms, burst[i]);
    if (i - fetched + 1 < kTogether) continue;
    fetch_buckets(rooms.flows, burst.subspan(fetched, kTogether));
    fetched = i + 1;
  }
  fetch_buckets(rooms.flows, burst.subspan(fetched));
}

}  // namespace synproxy
