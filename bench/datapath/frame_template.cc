// SPDX-License-Identifier: BSD-3-Clause
#include "datapath/frame_template.h"

#include <cstring>
#include <stdexcept>
#include <utility>

#include "support/decoded_frame.h"
#include "synproxy/wire/checksum.h"

namespace synproxy::bench {
namespace {

using test::Bytes;
using test::PacketBuilder;

constexpr std::size_t kIp = 14;

// The bytes before TSval identify the option: no other bytes of ours look like that.
constexpr std::uint32_t kMark = 0x71e57a3b;
std::size_t find_mark(const Bytes& bytes) {
  for (std::size_t i = 0; i + 4 <= bytes.size(); ++i) {
    if (load_be<std::uint32_t>(&bytes[i]) == kMark) return i;
  }
  return 0;
}

Bytes stamp() {
  return {8, 10, kMark >> 24, kMark >> 16 & 0xff, kMark >> 8 & 0xff, kMark & 0xff, 0, 0, 0, 0};
}

PacketBuilder base(bool ipv6, Role from) {
  PacketBuilder b;
  const bool up = from == Role::kClient;
  const char* client = ipv6 ? "2001:db8::7" : "198.51.100.7";
  const char* server = ipv6 ? "2001:db8:1::8" : "203.0.113.8";
  if (!up) b.macs(test::kServerMac, test::kClientMac);
  b.ip(up ? client : server, up ? server : client).window(501);
  return b;
}

PacketBuilder with_flags(bool ipv6, Role from, std::uint16_t flags) {
  return base(ipv6, from).flags(flags);
}

// The layout of current stacks: two NOPs and the timestamps.
PacketBuilder segment(bool ipv6, Role from, bool timestamps, std::uint16_t flags,
                      std::size_t payload) {
  PacketBuilder b = with_flags(ipv6, from, flags);
  if (timestamps) b.nop(2).option(stamp());
  b.payload(Bytes(payload, 0x5a));
  // Ethernet pads shorter frames to 64 bytes on the wire; the FCS is not part of the frame.
  return b.pad_to(60);
}

PacketBuilder linux_options(PacketBuilder b) {
  return b.mss(1460).option({4, 2}).option(stamp()).nop().option({3, 3, 7});
}
PacketBuilder linux_options_unstamped(PacketBuilder b) {
  return b.mss(1460).nop(2).option({4, 2}).nop().option({3, 3, 7});
}
PacketBuilder windows_options(PacketBuilder b) {
  return b.mss(1460).nop().option({3, 3, 8}).nop(2).option({4, 2});
}
PacketBuilder macos_options(PacketBuilder b) {
  return b.mss(1460).nop().option({3, 3, 6}).nop(2).option(stamp()).option({4, 2}).option({0, 0});
}

constexpr Role kUp = Role::kClient;
constexpr Role kDown = Role::kServer;

Templates::Pair pair(bool ipv6, Role from, std::uint16_t flags, std::size_t payload) {
  return {FrameTemplate(segment(ipv6, from, false, flags, payload), from),
          FrameTemplate(segment(ipv6, from, true, flags, payload), from)};
}

Templates::Pair full(bool ipv6, Role from) {
  const std::size_t most = 1500 - (ipv6 ? 60U : 40U);
  return {FrameTemplate(segment(ipv6, from, false, kAck, most), from),
          FrameTemplate(segment(ipv6, from, true, kAck, most - 12), from)};
}

}  // namespace

FrameTemplate::FrameTemplate(const PacketBuilder& builder, Role from)
    : bytes_(builder.build()), from_(from) {
  const auto before = test::decode(bytes_);
  if (!before) throw std::logic_error("a template is no TCP frame");
  ipv6_ = before->ipv6;
  payload_ = static_cast<std::uint32_t>(before->payload.size());
  tcp_ = kIp + before->ip_header;
  timestamps_ = find_mark(bytes_);
  const std::size_t addresses = ipv6_ ? 32 : 8;
  const std::size_t l4_length = bytes_.size() - before->trailing - tcp_;
  const auto zero = [&](std::size_t at, std::size_t n) { std::memset(&bytes_[at], 0, n); };
  zero(tcp_ - addresses, addresses);
  zero(tcp_, 12);  // ports and numbers
  if (timestamps_ != 0) zero(timestamps_, 8);
  zero(tcp_ + 16, 2);
  if (!ipv6_) {
    zero(kIp + 10, 2);
    ip_sum_ = add_to_sum(0, &bytes_[kIp], 20);
  }
  tcp_sum_ = add_to_sum(
      pseudo_header_sum(&bytes_[tcp_ - addresses], ipv6_, 6, static_cast<std::uint32_t>(l4_length)),
      &bytes_[tcp_], l4_length);

  Bytes trial(bytes_.size());
  write(trial.data(), ends_of(4711, ipv6_, 64), {0xfedcba98, 0x89abcdef, 0xffff0001, 0x1234});
  const auto after = test::decode(trial);
  if (!after || !after->checksums_good || after->seq != 0xfedcba98) {
    throw std::logic_error("a template writes bad frames");
  }
}

void FrameTemplate::write(std::uint8_t* out, const Ends& ends, const Numbers& numbers) const {
  std::memcpy(out, bytes_.data(), bytes_.size());
  const std::size_t size = ipv6_ ? 16 : 4;
  const bool up = from_ == Role::kClient;
  std::uint8_t* const addresses = out + tcp_ - 2 * size;
  std::memcpy(addresses, up ? ends.client.data() : ends.server.data(), size);
  std::memcpy(addresses + size, up ? ends.server.data() : ends.client.data(), size);
  const std::uint64_t address_sum = add_to_sum(0, addresses, 2 * size);
  std::uint8_t* const tcp = out + tcp_;
  store_be<std::uint16_t>(tcp, up ? ends.client_port : ends.server_port);
  store_be<std::uint16_t>(tcp + 2, up ? ends.server_port : ends.client_port);
  store_be<std::uint32_t>(tcp + 4, numbers.seq);
  store_be<std::uint32_t>(tcp + 8, numbers.ack);
  std::uint64_t sum = add_to_sum(add_word(tcp_sum_, address_sum), tcp, 12);
  if (timestamps_ != 0) {
    store_be<std::uint32_t>(out + timestamps_, numbers.tsval);
    store_be<std::uint32_t>(out + timestamps_ + 4, numbers.tsecr);
    sum = add_to_sum(sum, out + timestamps_, 8);
  }
  const std::uint16_t tcp_field = finish_sum(sum);
  std::memcpy(tcp + 16, &tcp_field, sizeof tcp_field);
  if (ipv6_) return;
  const std::uint16_t ip_field = finish_sum(add_word(ip_sum_, address_sum));
  std::memcpy(out + kIp + 10, &ip_field, sizeof ip_field);
}

Templates::Templates(bool v6)
    : syn_linux(linux_options(with_flags(v6, kUp, kSyn)), kUp),
      syn_windows(windows_options(with_flags(v6, kUp, kSyn)), kUp),
      syn_macos(macos_options(with_flags(v6, kUp, kSyn)), kUp),
      syn_bare(with_flags(v6, kUp, kSyn).pad_to(60), kUp),
      syn_ack_ecn(linux_options(with_flags(v6, kDown, kSyn | kAck | kEce)), kDown),
      syn{syn_windows, syn_linux},
      syn_ack{FrameTemplate(linux_options_unstamped(with_flags(v6, kDown, kSyn | kAck)), kDown),
              FrameTemplate(linux_options(with_flags(v6, kDown, kSyn | kAck)), kDown)},
      small_up(pair(v6, kUp, kAck, 0)),
      small_down(pair(v6, kDown, kAck, 0)),
      full_up(full(v6, kUp)),
      full_down(full(v6, kDown)),
      request(pair(v6, kUp, kAck | kPsh, kRequest)),
      response(pair(v6, kDown, kAck | kPsh, kResponse)),
      fin_up(pair(v6, kUp, kFin | kAck, 0)),
      fin_down(pair(v6, kDown, kFin | kAck, 0)) {}

}  // namespace synproxy::bench
