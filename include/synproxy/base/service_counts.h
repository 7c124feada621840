// SPDX-License-Identifier: BSD-3-Clause
// Which reasons are counted for each service with a name.
//
// A packet counts for the service whose address and port it has, by what became of it. Fragments
// and ICMP have no port of their own, broken headers have none that could be believed, and SYNs are
// shed unread: those count in the totals alone. Of the events, those count whose service an
// operator wants to know.
#pragma once

#include <algorithm>
#include <array>

#include "synproxy/base/reasons.h"

namespace synproxy {

[[nodiscard]] constexpr bool counts_per_service(Reason r) {
  constexpr auto kEvents = std::to_array<Reason>({
      Reason::syn_received,
      Reason::cookie_valid,
      Reason::deny_monitored,
      Reason::bogons_monitored,
      Reason::min_ttl_monitored,
      Reason::strict_window_monitored,
      Reason::limit_rate_monitored,
      Reason::limit_conns_monitored,
      Reason::limit_allowed,
      Reason::backlog_waited,
      Reason::backlog_monitored,
      Reason::backlog_expired,
      Reason::conn_established,
      Reason::conn_watched,
      Reason::mode_monitored,
      Reason::conn_adopted,
      Reason::conn_contradicted,
      Reason::conn_refused,
      Reason::conn_timed_out,
      Reason::conn_aborted,
      Reason::conn_finished,
      Reason::conn_reset,
      Reason::conn_idle,
      Reason::flow_evicted,
  });
  constexpr auto kWithoutPorts = std::to_array<Reason>({
      Reason::icmp_translated,
      Reason::icmp_invalid,
      Reason::icmp_shed,
      Reason::fragment,
      Reason::fragment_held,
      Reason::fragment_bad,
      Reason::fragment_tiny,
      Reason::fragment_duplicate,
      Reason::fragment_overlap,
      Reason::fragment_shed,
      Reason::bad_ip_header,
      Reason::bad_tcp_header,
      Reason::vlan_depth,
      Reason::syn_shed,
  });
  const ReasonKind kind = kReasons[static_cast<std::size_t>(r)].kind;
  if (kind == ReasonKind::EVENT) return std::ranges::find(kEvents, r) != kEvents.end();
  return kind != ReasonKind::MADE && std::ranges::find(kWithoutPorts, r) == kWithoutPorts.end();
}

}  // namespace synproxy
