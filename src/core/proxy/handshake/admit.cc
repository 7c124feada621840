// SPDX-License-Identifier: BSD-3-Clause
#include "handshake/admit.h"

#include "burst/verdicts.h"

namespace synproxy {
namespace {

void list(Rooms& rooms, const Context& c, const SourceLimits::Charge& charge, bool by_rate,
          bool monitored) {
  const LimitRules& rules = rooms.limiter.rules(charge.table);
  const SourceMask& mask =
      by_rate ? rules.rates()[charge.rule].mask : rules.conns()[charge.rule].mask;
  RefusedSource who = refused_source(c.segment.source(), c.segment.ipv6, mask);
  who.by_rate = by_rate;
  who.monitored = monitored;
  rooms.limiter.refused().note(who, rooms.now.ms());
}

[[gnu::noinline]] Admission charge_source(Rooms& rooms, const Context& c,
                                          SourceLimits::Charge& charge) {
  const Segment& g = c.segment;
  charge = rooms.limiter.charge(c.key(), g.source(), c.flow);
  if (charge.refused != SourceLimits::Refusal::kNone) {
    const bool by_rate = charge.refused == SourceLimits::Refusal::kRate;
    list(rooms, c, charge, by_rate, false);
    return by_rate ? Admission::kOverRate : Admission::kOverConns;
  }
  if (charge.over_rate) rooms.services.count(c.key(), Reason::limit_rate_monitored);
  if (charge.over_conns) rooms.services.count(c.key(), Reason::limit_conns_monitored);
  if (charge.over_rate || charge.over_conns) list(rooms, c, charge, charge.over_rate, true);
  if (charge.shared != 0) rooms.counters.count(Reason::limit_shared);
  return Admission::kAdmitted;
}

}  // namespace

bool is_allowed(const Rooms& rooms, const Context& c) {
  const Segment& g = c.segment;
  return rooms.screen.allows(g.source(), g.ipv6, rooms.services.number_of(c.key()));
}

Admission admit(Rooms& rooms, const Context& c, const CookieMatch& match,
                SourceLimits::Charge& charge) {
  if (rooms.flows.replayed(match.epoch, match.mac)) return Admission::kReplayed;
  return admit_watched(rooms, c, charge);
}

Admission admit_watched(Rooms& rooms, const Context& c, SourceLimits::Charge& charge) {
  if (!checksum_ok(c)) return Admission::kBadChecksum;
  // The source is proven to be real, and its flow has cost nothing yet. A source that the operator
  // allows is above all limits.
  if (rooms.limiter.on()) [[unlikely]] {
    if (!is_allowed(rooms, c)) return charge_source(rooms, c, charge);
    rooms.services.count(c.key(), Reason::limit_allowed);
  }
  return Admission::kAdmitted;
}

Reason reason_of(Admission refusal) {
  switch (refusal) {
    case Admission::kReplayed:
      return Reason::cookie_replayed;
    case Admission::kOverRate:
      return Reason::limit_rate;
    case Admission::kOverConns:
      return Reason::limit_conns;
    default:
      return Reason::bad_checksum;
  }
}

}  // namespace synproxy
