// SPDX-License-Identifier: BSD-3-Clause
// The values of --limit-rate, --limit-conns, --reply-rate, --server-backlog and --monitor as text.
// The parse_ and add_ functions throw std::invalid_argument; the text completes "--flag value:
// ...".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "synproxy/base/limits.h"
#include "synproxy/policy/refused_sources.h"

namespace synproxy::control {

// "100/second,burst=200,mask4=24,mask6=48"; the unit may be cut short, as for iptables.
void add_limit(LimitList<RateLimit>& list, std::string_view text);
// "128,mask4=24,mask6=48"
void add_limit(LimitList<ConnsLimit>& list, std::string_view text);
[[nodiscard]] std::string limit_text(const RateLimit& limit);
[[nodiscard]] std::string limit_text(const ConnsLimit& limit);

// "20000,mask4=32,mask6=64", or "off"
[[nodiscard]] ReplyRate parse_reply_rate(std::string_view text);
[[nodiscard]] std::string reply_rate_text(const ReplyRate& rate);

// "128,mask4=32,mask6=64", "auto,mask4=32,mask6=64", or "off"
[[nodiscard]] ServerBacklog parse_server_backlog(std::string_view text);
[[nodiscard]] std::string server_backlog_text(const ServerBacklog& backlog);

// "limit-rate,limit-conns"
[[nodiscard]] std::uint16_t parse_monitored(std::string_view text);
[[nodiscard]] std::string monitored_text(std::uint16_t rules);

// "198.51.100.0/24"
[[nodiscard]] std::string prefix_text(const RefusedSource& source);

}  // namespace synproxy::control
