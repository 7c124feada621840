// SPDX-License-Identifier: BSD-3-Clause
#include "verify.h"

#include <rte_ip.h>

#include <cstring>

namespace synproxy::generator {
namespace {

Fault check_offered(const Options& o, const Offer& offer) {
  if (o.malformed) return Fault::options;
  const bool foreign = o.unknown || (o.timestamps && !offer.timestamps) ||
                       (o.sack_permitted && !offer.sack) ||
                       (o.has_window_scale && !offer.window_scaling);
  return foreign ? Fault::option_not_offered : Fault::none;
}

}  // namespace

Fault check_macs(std::span<const std::uint8_t> frame, Towards towards) {
  const bool up = towards == Towards::kServer;
  const Mac& destination = up ? kServerMac : kClientMac;
  const Mac& source = up ? kClientMac : kServerMac;
  return std::memcmp(frame.data(), destination.data(), 6) == 0 &&
                 std::memcmp(frame.data() + 6, source.data(), 6) == 0
             ? Fault::none
             : Fault::mac;
}

// With a right checksum field, the complement of the sum is zero.
Fault check_checksums(const Incoming& s) {
  const std::uint8_t* tcp = s.ip.data() + ip_header(s.ipv6);
  if (s.ipv6) {
    const auto* ip = reinterpret_cast<const rte_ipv6_hdr*>(s.ip.data());
    return rte_ipv6_udptcp_cksum(ip, tcp) == 0 ? Fault::none : Fault::tcp_checksum;
  }
  const auto* ip = reinterpret_cast<const rte_ipv4_hdr*>(s.ip.data());
  if (rte_ipv4_cksum(ip) != 0) return Fault::ip_checksum;
  return rte_ipv4_udptcp_cksum(ip, tcp) == 0 ? Fault::none : Fault::tcp_checksum;
}

Fault check_syn_ack(const Incoming& s, const Numbers& client, const Offer& offer) {
  if (s.flags != (kSyn | kAck)) return Fault::flags;
  if (s.ack != client.isn + 1) return Fault::ack;
  if (!s.payload.empty()) return Fault::payload;
  const Options o = read_options(s.options);
  if (const Fault f = check_offered(o, offer); f != Fault::none) return f;
  return o.timestamps && o.tsecr != client.tsval ? Fault::tsecr : Fault::none;
}

Fault check_syn(const Incoming& s, const Numbers& client, const Offer& offer) {
  if ((s.flags & ~(kEce | kCwr)) != kSyn) return Fault::flags;
  if (s.seq != client.isn) return Fault::seq;
  if (!s.payload.empty()) return Fault::payload;
  const Options o = read_options(s.options);
  if (o.malformed || o.unknown) return Fault::options;
  const bool lacks = !o.has_mss || o.mss > mss_of(s.ipv6) ||
                     o.has_window_scale != offer.window_scaling ||
                     (o.has_window_scale && o.window_scale != offer.window_scale) ||
                     (offer.sack && !o.sack_permitted) || (offer.timestamps && !o.timestamps);
  if (lacks) return Fault::options;
  return offer.timestamps && o.tsval != client.tsval ? Fault::tsval : Fault::none;
}

}  // namespace synproxy::generator
