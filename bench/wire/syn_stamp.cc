// SPDX-License-Identifier: BSD-3-Clause
#include "syn_stamp.h"

#include <cstring>

#include "synproxy/wire/bytes.h"

namespace synproxy::generator {
namespace {

// Turns a sum of 32-bit words in the order of the packet into a checksum field.
std::uint16_t finish(std::uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void put(std::uint8_t* at, std::uint16_t raw) { std::memcpy(at, &raw, sizeof raw); }

}  // namespace

SynStamp::SynStamp(bool ipv6, const Offer& offer) : ipv6_(ipv6), timestamps_(offer.timestamps) {
  Outgoing syn;
  syn.ipv6 = ipv6;
  syn.flags = kSyn;
  syn.offer = &offer;
  length_ = write_segment(frame_.data(), syn);
  // While all fields that differ are zero, the checksum is the complement of the sum of the rest.
  if (!ipv6) ip_sum_ = static_cast<std::uint16_t>(~load_raw<std::uint16_t>(frame_.data() + 24));
  const std::uint8_t* sum = frame_.data() + kEthernet + ip_header(ipv6) + 16;
  tcp_sum_ = static_cast<std::uint16_t>(~load_raw<std::uint16_t>(sum));
}

void SynStamp::stamp(std::uint8_t* frame, const Tuple& client, const Numbers& numbers) const {
  std::uint64_t address = 0;  // its part of both sums
  if (ipv6_) {
    store_be(frame + kEthernet + 16, client.address);
    const auto raw = load_raw<std::uint64_t>(frame + kEthernet + 16);
    address = (raw & 0xffffffff) + (raw >> 32);
  } else {
    const be32 raw(static_cast<std::uint32_t>(client.address));
    address = raw.raw();
    std::memcpy(frame + kEthernet + 12, &raw, sizeof raw);
    put(frame + kEthernet + 10, finish(ip_sum_ + address));
  }
  std::uint8_t* tcp = frame + kEthernet + ip_header(ipv6_);
  const be16 port(client.port);
  const be32 isn(numbers.isn);
  std::memcpy(tcp, &port, sizeof port);
  std::memcpy(tcp + 4, &isn, sizeof isn);
  std::uint64_t sum = tcp_sum_ + address + port.raw() + isn.raw();
  if (timestamps_) {
    const be32 tsval(numbers.tsval);
    std::memcpy(tcp + 28, &tsval, sizeof tsval);
    sum += tsval.raw();
  }
  put(tcp + 16, finish(sum));
}

}  // namespace synproxy::generator
