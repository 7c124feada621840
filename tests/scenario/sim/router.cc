// SPDX-License-Identifier: BSD-3-Clause
#include "router.h"

#include <algorithm>
#include <array>

#include "support/naive_checksum.h"

namespace synproxy::test::sim {
namespace {

constexpr std::size_t kIcmp = 8;       // bytes of an ICMP header
constexpr std::size_t kQuotedTcp = 8;  // that every error quotes at least
constexpr std::size_t kTcp = 20;       // a header without options
constexpr std::uint32_t kFarOff = 1U << 31;

struct Kind {
  std::uint8_t type, code;
};
// Unreachable by host and by port, too long, too many hops.
constexpr std::array<Kind, 4> kKinds4{{{3, 1}, {3, 3}, {3, 4}, {11, 0}}};
constexpr std::array<Kind, 4> kKinds6{{{1, 0}, {1, 4}, {2, 0}, {3, 0}}};

std::uint32_t u32(std::span<const std::uint8_t> b) {
  return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
}

Bytes packet_of(const DecodedFrame& f) {
  return {f.raw.begin() + static_cast<long>(14 + 4 * f.tags.size()),
          f.raw.end() - static_cast<long>(f.trailing)};
}

// TSval and TSecr of the first timestamps, where the header is quoted whole.
std::span<const std::uint8_t> timestamps_of(std::span<const std::uint8_t> tcp) {
  if (tcp.size() < kTcp) return {};
  const std::size_t header = (tcp[12] >> 4) * std::size_t{4};
  if (header > tcp.size()) return {};
  for (std::size_t at = kTcp; at < header && tcp[at] != 0;) {
    if (tcp[at] == 1) {
      ++at;
      continue;
    }
    if (at + 1 >= header || tcp[at + 1] < 2 || at + tcp[at + 1] > header) return {};
    if (tcp[at] == 8 && tcp[at + 1] == 10) return tcp.subspan(at + 2, 8);
    at += tcp[at + 1];
  }
  return {};
}

bool same(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  return std::ranges::equal(a, b);
}

}  // namespace

std::optional<Flight> Router::answer(Role side, const Flight& in, const Flight& out) {
  if (!dice_.permille(plan_.icmp) || !in.frame || !out.frame || in.corrupt) return std::nullopt;
  // A refusal of a SYN may end a connection, and a RST is never answered.
  if (out.frame->has(kSyn | kRst)) return std::nullopt;
  const HostPlan& host = side == Role::kClient ? plan_.client : plan_.server;
  auto error = std::make_shared<QuotedError>();
  error->original = packet_of(*in.frame);
  error->untouched = out.untouched;
  error->guessed = dice_.chance(20);
  Bytes quote = packet_of(*out.frame);
  const std::size_t ip = out.frame->ip_header;
  const std::size_t most = host.ipv6 ? 1'200 : 548;
  const auto least = static_cast<std::uint32_t>(ip + kQuotedTcp);
  std::size_t size = quote.size();
  if (dice_.chance(60)) size = least + dice_(static_cast<std::uint32_t>(size - least + 1));
  quote.resize(std::min({size, quote.size(), most}));
  error->quoted = quote.size();
  if (error->guessed) quote[ip + 4] ^= static_cast<std::uint8_t>(kFarOff >> 24);
  const Kind kind = (host.ipv6 ? kKinds6 : kKinds4)[dice_(4)];
  PacketBuilder b;
  b.macs(host.mac, host.peer_mac).vlans(host.tags);
  b.ip_raw(parse_address(host.ipv6 ? "2001:db8:77::1" : "192.0.2.77"), host.peer);
  Flight flight;
  flight.bytes = b.icmp_error(kind.type, kind.code, 1'400, std::move(quote)).build();
  flight.conversation = in.conversation;
  flight.error = std::move(error);
  return flight;
}

std::string check_error(const QuotedError& error, const Bytes& in, const Bytes& out,
                        const HostPlan& host, bool numbers) {
  const std::size_t ip = host.ipv6 ? 40 : 20;
  const std::size_t l3 = 14 + 4 * host.tags.size();
  const std::size_t l4 = l3 + ip;
  const std::size_t tcp = l4 + kIcmp + ip;
  if (in.size() != out.size()) return "an ICMP error has another length";
  const std::span<const std::uint8_t> a(in);
  const std::span<const std::uint8_t> b(out);
  const std::size_t header = std::min<std::size_t>(kTcp + 40, a.size() - tcp);
  if (!same(a.first(l4 + 2), b.first(l4 + 2)) ||
      !same(a.subspan(l4 + 4, tcp - l4 - 4), b.subspan(l4 + 4, tcp - l4 - 4)) ||
      !same(a.subspan(tcp + header), b.subspan(tcp + header))) {
    return "an ICMP error has changed outside the header that it quotes";
  }
  NaiveSum sum;
  if (host.ipv6) sum = naive_pseudo_header(b.subspan(l4 - 32, 32), 58, b.size() - l4);
  if (sum.add(b.subspan(l4)).sum() != 0xffff) return "an ICMP error with a wrong checksum";
  if (!numbers) return {};
  const std::span<const std::uint8_t> sent = std::span(error.original).subspan(ip);
  const auto seen = b.subspan(tcp, error.quoted - ip);
  if (!same(sent.first(kQuotedTcp), seen.first(kQuotedTcp))) {
    return "an ICMP error quotes the number " + std::to_string(u32(seen.subspan(4))) +
           ", sent was " + std::to_string(u32(sent.subspan(4)));
  }
  if (seen.size() < 12) return {};
  if (u32(seen.subspan(8)) != u32(sent.subspan(8))) return "an ICMP error quotes another ACK";
  const auto stamps = timestamps_of(seen);
  if (!stamps.empty() && !same(stamps, timestamps_of(sent))) {
    return "an ICMP error quotes other timestamps";
  }
  return {};
}

}  // namespace synproxy::test::sim
