// SPDX-License-Identifier: BSD-3-Clause
#include "handshake/admit.h"

#include "burst/verdicts.h"

namespace synproxy {

Admission admit(const FlowBook& flows, const Context& c, const CookieMatch& match) {
  if (flows.replayed(match.epoch, match.mac)) return Admission::kReplayed;
  if (!checksum_ok(c)) return Admission::kBadChecksum;
  // Limits per source belong here, each with an Admission of its own: the source is proven to be
  // real, and its flow has cost nothing yet.
  return Admission::kAdmitted;
}

Reason reason_of(Admission refusal) {
  return refusal == Admission::kReplayed ? Reason::cookie_replayed : Reason::bad_checksum;
}

}  // namespace synproxy
