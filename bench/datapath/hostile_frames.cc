// SPDX-License-Identifier: BSD-3-Clause
#include "datapath/hostile_frames.h"

#include <optional>

#include "synproxy/wire/tcp_options.h"

namespace synproxy::bench {
namespace {

using test::Bytes;
using test::PacketBuilder;

enum class Family : std::uint8_t { kFour, kSix };
using enum Family;

Bytes random_bytes(Random& r, std::size_t n) {
  Bytes out(n);
  for (std::uint8_t& b : out) b = static_cast<std::uint8_t>(r.next());
  return out;
}

void put(Bytes& to, std::initializer_list<std::uint8_t> bytes) {
  for (const std::uint8_t b : bytes) to.push_back(b);
}
void put(Bytes& to, const Bytes& bytes) {
  for (const std::uint8_t b : bytes) to.push_back(b);
}

Bytes stranger(Random& r, Family family) {
  Bytes out = random_bytes(r, family == kSix ? 16 : 4);
  out[0] = family == kSix ? 0x20 : static_cast<std::uint8_t>(32 + out[0] % 32);
  return out;
}
// The first protected address of a bed, see ends_of().
Bytes service(Family family) {
  return test::parse_address(family == kSix ? "2001:db8:1::8" : "203.0.113.8");
}

// noinline: inlined, GCC 12 takes the builder's own addresses for uninitialized.
[[gnu::noinline]] PacketBuilder blank() { return {}; }

PacketBuilder segment(Random& r, Family family, std::uint16_t flags) {
  PacketBuilder b = blank();
  b.ip_raw(stranger(r, family), service(family))
      .ports(static_cast<std::uint16_t>(0x8000U | r.below(0x8000)), kFirstPort)
      .seq(r.next32());
  if ((flags & kAck) != 0) b.ack(r.next32());
  return b.flags(flags);
}

// --- option lists of 40 bytes

Bytes nops(Random&) { return Bytes(kMaxOptionBytes, kOptionNop); }

// As many options as fit, of a kind that nobody knows.
Bytes shortest(Random&) {
  Bytes out;
  while (out.size() < kMaxOptionBytes) put(out, {0xfd, 2});
  return out;
}

// Whole options of any kind and in any order, NOPs between them.
Bytes any_options(Random& r) {
  Bytes out;
  while (out.size() < kMaxOptionBytes) {
    const std::size_t room = kMaxOptionBytes - out.size();
    const auto add = [&](unsigned kind, std::size_t length) {
      if (length > room) return out.push_back(kOptionNop);
      put(out, {static_cast<std::uint8_t>(kind), static_cast<std::uint8_t>(length)});
      put(out, random_bytes(r, length - 2));
    };
    switch (r.below(8)) {
      case 0:
        out.push_back(kOptionNop);
        break;
      case 1:
        add(kOptionMss, 4);
        break;
      case 2:
        add(kOptionWindowScale, 3);
        break;
      case 3:
        add(kOptionSackPermitted, 2);
        break;
      case 4:
        add(kOptionTimestamps, 10);
        break;
      case 5:
        add(kOptionSack, 10);
        break;
      case 6:
        add(64 + r.below(64), 2);
        break;
      default:
        add(64 + r.below(64), 2 + r.below(6));
        break;
    }
  }
  return out;
}

// All that a SYN may say, each value across two words.
Bytes odd(Random& r) {
  Bytes out;
  put(out, {kOptionNop, kOptionMss, 4, 5, 180, kOptionNop, kOptionNop, kOptionWindowScale, 3, 7});
  put(out, {kOptionSackPermitted, 2, kOptionNop, kOptionTimestamps, 10});
  put(out, random_bytes(r, 8));
  while (out.size() < kMaxOptionBytes) out.push_back(kOptionNop);
  return out;
}

// Single blocks, each an option of its own.
Bytes many_sacks(Random& r) {
  Bytes out;
  for (unsigned i = 0; i < 4; ++i) {
    put(out, {kOptionSack, 10});
    put(out, random_bytes(r, 8));
  }
  return out;
}

// Length bytes at random: where the list ends is anybody's guess.
Bytes noise(Random& r) {
  Bytes out = random_bytes(r, kMaxOptionBytes);
  for (std::uint8_t& b : out) b = static_cast<std::uint8_t>(b % 12);
  return out;
}

using Options = Bytes (*)(Random&);
HostileFrame with_options(Family family, std::uint16_t flags, Options options) {
  return [=](Random& r) { return segment(r, family, flags).option(options(r)).build(); };
}

// --- headers before TCP

HostileFrame behind_extensions(std::uint16_t flags, unsigned headers, std::uint32_t most_bytes) {
  return [=](Random& r) {
    PacketBuilder b = segment(r, kSix, flags);
    for (unsigned i = 0; i < headers; ++i) {
      const std::size_t words = 1 + r.below(most_bytes / 8);
      b.extension(r.below(2) == 0 ? kDestinationOptions : kHopByHop, Bytes(words * 8 - 2));
    }
    return b.build();
  };
}

HostileFrame behind_tags(unsigned tags) {
  return [=](Random& r) {
    PacketBuilder b = segment(r, kFour, kSyn);
    for (unsigned i = 0; i < tags; ++i) b.vlan(static_cast<std::uint16_t>(r.below(4095)));
    return b.build();
  };
}

// --- usual shapes, as a site with VLANs sees them, or several systems in one flood

Bytes stamps(Random& r) {
  Bytes out{kOptionTimestamps, kTimestampsLength};
  put(out, random_bytes(r, 4));
  put(out, {0, 0, 0, 0});
  return out;
}
enum class System : std::uint8_t { kLinux, kWindows, kMacos, kBare };
PacketBuilder syn_of(Random& r, Family family, System system) {
  PacketBuilder b = segment(r, family, kSyn);
  switch (system) {
    case System::kLinux:
      b.mss(1460).option({kOptionSackPermitted, 2}).option(stamps(r)).nop();
      return b.option({kOptionWindowScale, 3, 7});
    case System::kWindows:
      b.mss(1460).nop().option({kOptionWindowScale, 3, 8}).nop(2);
      return b.option({kOptionSackPermitted, 2});
    case System::kMacos:
      b.mss(1460).nop().option({kOptionWindowScale, 3, 6}).nop(2).option(stamps(r));
      return b.option({kOptionSackPermitted, 2, 0, 0});
    case System::kBare:
      return b;
  }
  return b;
}
PacketBuilder usual_ack(Random& r, Family family, bool stamped) {
  PacketBuilder b = segment(r, family, kAck);
  if (stamped) b.nop(2).option(stamps(r));
  return b;
}
void add_tags(PacketBuilder& b, unsigned tags) {
  if (tags == 2) b.vlan(200, kEtherTypeQinQ);
  if (tags != 0) b.vlan(100);
}
Family any_family(Random& r) { return r.below(2) == 0 ? kFour : kSix; }

HostileFrame usual_syn(Family family, unsigned tags) {
  return [=](Random& r) {
    PacketBuilder b = syn_of(r, family, System::kLinux);
    add_tags(b, tags);
    return b.build();
  };
}
HostileFrame tagged_ack(Family family, unsigned tags) {
  return [=](Random& r) {
    PacketBuilder b = usual_ack(r, family, true);
    add_tags(b, tags);
    return b.build();
  };
}
// Of all systems, and of either family. `most`: tags.
HostileFrame any_usual_syn(std::optional<Family> family, unsigned most) {
  return [=](Random& r) {
    PacketBuilder b = syn_of(r, family.value_or(any_family(r)), static_cast<System>(r.below(4)));
    add_tags(b, r.below(most + 1));
    return b.build();
  };
}
HostileFrame any_usual_ack(unsigned most) {
  return [=](Random& r) {
    PacketBuilder b = usual_ack(r, any_family(r), r.below(2) == 0);
    add_tags(b, r.below(most + 1));
    return b.build();
  };
}

Bytes behind_ip_options(Random& r) {
  return segment(r, kFour, kAck).ip_options(Bytes(40, 1)).option(any_options(r)).build();
}

// --- ICMP

HostileFrame quoting(Family family, unsigned headers) {
  return [=](Random& r) {
    const bool v6 = family == kSix;
    PacketBuilder lost = blank();
    const Bytes client = stranger(r, family);
    lost.ip_raw(service(family), client)
        .ports(kFirstPort, static_cast<std::uint16_t>(0x8000U | r.below(0x8000)))
        .seq(r.next32())
        .ack(r.next32());
    for (unsigned i = 0; i < headers; ++i) {
      lost.extension(kDestinationOptions, Bytes(6 + 8 * r.below(2)));
    }
    PacketBuilder b = blank();
    b.ip_raw(client, service(family));
    const std::uint8_t type = v6 ? 2 : 3;
    return b.icmp_error(type, v6 ? 0 : 4, 1400, lost.option(any_options(r)).build_packet(250))
        .build();
  };
}

Bytes fragment(Random& r) {
  return segment(r, r.below(2) == 0 ? kFour : kSix, kAck).fragment(0x2000).build();
}

Bytes junk(Random& r) {
  return segment(r, r.below(2) == 0 ? kFour : kSix, static_cast<std::uint16_t>(r.below(512)))
      .build();
}

Bytes answer(Random& r, std::uint16_t flags) {
  const Family family = r.below(2) == 0 ? kFour : kSix;
  PacketBuilder b = blank();
  return b.ip_raw(service(family), stranger(r, family))
      .ports(kFirstPort, static_cast<std::uint16_t>(0x8000U | r.below(0x8000)))
      .seq(r.next32())
      .ack(r.next32())
      .flags(flags)
      .option(any_options(r))
      .build();
}

// Each packet another shape, both families in one burst.
Bytes anything(Random& r) {
  static const std::vector<HostileFrame> kAll = [] {
    std::vector<HostileFrame> all;
    for (const HostileRow& row : hostile_rows()) {
      if (row.from == Role::kClient && !row.usual && row.name != "mixed/ipv4+ipv6")
        all.push_back(row.make);
    }
    return all;
  }();
  return kAll[r.below(kAll.size())](r);
}

}  // namespace

std::vector<HostileRow> hostile_rows() {
  std::vector<HostileRow> rows;
  struct List {
    const char* name;
    Options options;
  };
  for (const List& list :
       {List{"40_nops", nops}, List{"20_options", shortest}, List{"any_options", any_options},
        List{"odd_options", odd}, List{"sacks", many_sacks}, List{"noise", noise}}) {
    for (const Family family : {kFour, kSix}) {
      const std::string name = std::string(family == kSix ? "/ipv6/" : "/ipv4/") + list.name;
      rows.push_back({"syn" + name, with_options(family, kSyn, list.options)});
      rows.push_back({"ack" + name, with_options(family, kAck, list.options)});
    }
  }
  rows.push_back({"syn/ipv6/4_extensions", behind_extensions(kSyn, 4, 8)});
  rows.push_back({"ack/ipv6/4_extensions", behind_extensions(kAck, 4, 16)});
  rows.push_back({"ack/ipv6/8_extensions", behind_extensions(kAck, 8, 16)});
  rows.push_back({"ack/ipv6/8_long_extensions", behind_extensions(kAck, 8, 160)});
  rows.push_back({"ack/ipv6/2_long_extensions", behind_extensions(kAck, 2, 600)});
  rows.push_back({"syn/ipv4/linux_1_tag", usual_syn(kFour, 1)});
  rows.push_back({"syn/ipv4/2_tags", behind_tags(2)});
  rows.push_back({"syn/ipv4/365_tags", behind_tags(365)});
  rows.push_back({"ack/ipv4/ip_options", behind_ip_options});
  rows.push_back({"icmp/ipv4", quoting(kFour, 0)});
  rows.push_back({"icmp/ipv6", quoting(kSix, 0)});
  rows.push_back({"icmp/ipv6/4_extensions", quoting(kSix, 4)});
  rows.push_back({"fragment/ipv4+ipv6", fragment});
  rows.push_back({"junk/ipv4+ipv6", junk});
  rows.push_back({"mixed/ipv4+ipv6", anything});
  rows.push_back({"server/ack", [](Random& r) { return answer(r, kAck); }, Role::kServer});
  rows.push_back(
      {"server/syn_ack", [](Random& r) { return answer(r, kSyn | kAck); }, Role::kServer});
  const auto add_usual = [&](const char* name, HostileFrame make) {
    rows.push_back({.name = name, .make = std::move(make), .usual = true});
  };
  add_usual("syn/ipv6/linux_1_tag", usual_syn(kSix, 1));
  add_usual("syn/ipv4/linux_2_tags", usual_syn(kFour, 2));
  add_usual("syn/ipv4/usual", any_usual_syn(kFour, 0));
  add_usual("syn/ipv6/usual", any_usual_syn(kSix, 0));
  add_usual("syn/ipv4+ipv6/usual", any_usual_syn(std::nullopt, 0));
  add_usual("syn/ipv4+ipv6/usual_tagged", any_usual_syn(std::nullopt, 2));
  add_usual("ack/ipv4/linux_1_tag", tagged_ack(kFour, 1));
  add_usual("ack/ipv6/linux_1_tag", tagged_ack(kSix, 1));
  add_usual("ack/ipv4+ipv6/usual", any_usual_ack(0));
  add_usual("ack/ipv4+ipv6/usual_tagged", any_usual_ack(2));
  return rows;
}

}  // namespace synproxy::bench
