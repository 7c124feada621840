// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/capture_filter.h"

#include <algorithm>
#include <utility>

#include "synproxy/policy/prefix_set.h"
#include "synproxy/wire/icmp.h"
#include "synproxy/wire/ip_header.h"
#include "synproxy/wire/segment.h"

namespace synproxy::dataplane {
namespace {

struct End {
  const std::uint8_t* address = nullptr;
  std::uint16_t port = 0;
};

enum class Ports : std::uint8_t { kKnown, kUnknown, kNone };

// What a frame says of the two ends.
struct Ends {
  End client;
  End server;
  Ports ports = Ports::kNone;
  bool ipv6 = false;

  // Of a frame that goes from `source` to `destination`.
  Ends(Role sender, End source, End destination, Ports known, bool six)
      : client(source), server(destination), ports(known), ipv6(six) {
    if (sender == Role::kServer) std::swap(client, server);
  }
};

bool holds(const ProtectRule& rule, const End& end, const Ends& ends) {
  if (!covers({rule.address, rule.prefix_length, rule.ipv6}, end.address, ends.ipv6)) {
    return false;
  }
  if (rule.whole_address() || ends.ports == Ports::kUnknown) return true;
  return ends.ports == Ports::kKnown && end.port >= rule.first_port && end.port <= rule.last_port;
}

bool holds(const std::vector<ProtectRule>& rules, const End& end, const Ends& ends) {
  return rules.empty() || std::ranges::any_of(rules, [&](const ProtectRule& rule) {
           return holds(rule, end, ends);
         });
}

bool holds(const CaptureFilter& filter, const Ends& ends) {
  return (holds(filter.client, ends.client, ends) && holds(filter.server, ends.server, ends)) ||
         (filter.either_way && holds(filter.client, ends.server, ends) &&
          holds(filter.server, ends.client, ends));
}

// What lies behind the addresses is not looked at.
bool has_any_port(const std::vector<ProtectRule>& rules) {
  return std::ranges::all_of(rules, &ProtectRule::whole_address);
}

Ports ports_of(const Segment& seen) {
  switch (seen.result) {
    case ParseResult::kTcp:
      return Ports::kKnown;
    case ParseResult::kOther:
    case ParseResult::kIcmp:
      return Ports::kNone;
    default:  // a fragment, or damaged
      return Ports::kUnknown;
  }
}

}  // namespace

bool CaptureFilter::matches(Role sender, std::uint8_t* frame, std::size_t length) const {
  if (client.empty() && server.empty()) return true;
  const IpHeader ip = find_ip_header(frame, length);
  if (ip.at == nullptr) return false;
  if (has_any_port(client) && has_any_port(server) &&
      holds(*this, Ends(sender, {ip.source()}, {ip.destination()}, Ports::kUnknown, ip.ipv6))) {
    return true;
  }
  Segment seen;
  parse_frame(frame, length, seen);
  if (seen.result == ParseResult::kIcmp) {
    const QuotedSegment quoted = parse_quoted(seen);
    if (!quoted.valid) return false;
    const std::uint8_t* const at = frame + quoted.ip_offset;
    // It travels against the packet that it quotes.
    return holds(*this, Ends(other(sender), {at + ip_source_at(ip.ipv6), quoted.source_port},
                             {at + ip_destination_at(ip.ipv6), quoted.destination_port},
                             Ports::kKnown, ip.ipv6));
  }
  End source{ip.source()};
  End destination{ip.destination()};
  if (seen.result == ParseResult::kTcp) {
    source.port = seen.source_port();
    destination.port = seen.destination_port();
  }
  return holds(*this, Ends(sender, source, destination, ports_of(seen), ip.ipv6));
}

}  // namespace synproxy::dataplane
