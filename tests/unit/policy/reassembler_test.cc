// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/reassembler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>

#include "support/fragments.h"
#include "support/rounds.h"

namespace synproxy {
namespace {

using namespace test;

constexpr IndexKey kKey{0x0123456789abcdef, 0xfedcba9876543210, 0x5555aaaa5555aaaa, 42};

Bytes text(std::size_t size) {
  Bytes b(size);
  std::mt19937 random(static_cast<unsigned>(size));
  for (auto& x : b) x = static_cast<std::uint8_t>(random());
  return b;
}

PacketBuilder packet(bool ipv6, std::string source = "") {
  if (source.empty()) source = ipv6 ? "2001:db8:1::7" : "198.51.100.7";
  PacketBuilder b;
  b.ip(source, ipv6 ? "2001:db8::10" : "203.0.113.10").flags(kAck).seq(1).ack(2);
  if (!ipv6) b.fragment(0);
  return b;
}

class Joiner {
 public:
  Reason give(const Bytes& fragment, Role sender = Role::kClient) {
    frame_ = fragment;
    Segment s;
    parse_frame(frame_.data(), frame_.size(), s);
    EXPECT_EQ(s.result, ParseResult::kFragment);
    Reassembler::Whole w;
    const Reason fate = reassembler_->take(s, sender, *known, now, w);
    whole.clear();
    if (w.frame != nullptr) {
      whole.assign(w.frame, w.frame + w.length);
      came = w.came;
    }
    return fate;
  }
  // Gives all of them; true if exactly the last one made a packet whole.
  bool give_all(const std::vector<Bytes>& fragments) {
    for (std::size_t i = 0; i < fragments.size(); ++i) {
      now += i % 32 == 31 ? 1 : 0;  // within what one source may send
      if (give(fragments[i]) != Reason::fragment_held) return false;
      if (whole.empty() != (i + 1 < fragments.size())) return false;
    }
    return true;
  }
  void tick_for(std::uint64_t ms) {
    for (; ms != 0; --ms) reassembler_->tick(++now);
  }
  [[nodiscard]] std::uint32_t waiting() const { return reassembler_->waiting(); }
  [[nodiscard]] std::uint64_t lost() const { return counters->get(Reason::fragments_lost); }

  std::uint64_t now = 10'000;
  Bytes whole;
  CameInFragments came;
  std::unique_ptr<KnownSources> known = std::make_unique<KnownSources>();
  std::unique_ptr<Counters> counters = std::make_unique<Counters>();

 private:
  Bytes frame_;
  std::unique_ptr<Reassembler> reassembler_ = std::make_unique<Reassembler>(kKey, *counters);
};

TEST(Reassembler, GivesBackThePacketInWhateverOrderItsFragmentsCome) {
  std::mt19937 random(7);
  for (const bool ipv6 : {false, true}) {
    for (const std::size_t tags : {0U, 1U, 2U}) {
      for (const std::size_t size : {60U, 1460U, 8960U, 16'000U}) {
        for (const std::size_t each : {24U, 552U, 1232U, 1480U, 8000U}) {
          PacketBuilder b = packet(ipv6).payload(text(size));
          for (std::size_t t = 0; t < tags; ++t) b.vlan(static_cast<std::uint16_t>(100 + t));
          const Bytes frame = b.ip_id(77).build();
          std::vector<Bytes> fragments = cut(frame, each);
          if (fragments.size() < 2) continue;
          std::shuffle(fragments.begin(), fragments.end(), random);
          Joiner j;
          ASSERT_TRUE(j.give_all(fragments)) << ipv6 << tags << " " << size << " " << each;
          EXPECT_EQ(j.whole, frame);
          EXPECT_EQ(j.came.id, 77U);
          EXPECT_EQ(j.came.largest, each + (ipv6 ? 48 : 20));
          EXPECT_EQ(j.waiting(), 0U);
        }
      }
    }
  }
}

TEST(Reassembler, OptionsAndExtensionHeadersStay) {
  const Bytes options = packet(false).ip_options({0x94, 4, 0, 0}).payload(text(900)).build();
  Joiner j;
  EXPECT_TRUE(j.give_all(cut(options, 400)));
  EXPECT_EQ(j.whole,
            packet(false).ip_options({0x94, 4, 0, 0}).ip_id(77).payload(text(900)).build());
  // The fragment header stands behind other headers; the builder puts it last.
  const Bytes l4 = packet(true).payload(text(60)).build();
  const auto part = [&](std::size_t begin, std::size_t end, unsigned field) {
    return packet(true)
        .extension(60, {1, 4, 0, 0, 0, 0})
        .fragment(static_cast<std::uint16_t>(field))
        .raw_l4(Bytes(l4.begin() + 54 + static_cast<long>(begin),
                      l4.begin() + 54 + static_cast<long>(end)))
        .build();
  };
  EXPECT_EQ(j.give(part(40, 80, 40)), Reason::fragment_held);
  EXPECT_EQ(j.give(part(0, 40, 1)), Reason::fragment_held);
  EXPECT_EQ(j.whole, packet(true).extension(60, {1, 4, 0, 0, 0, 0}).payload(text(60)).build());
}

TEST(Reassembler, PacketsThatDifferInAnyPartOfTheirNameAreNotMixed) {
  const Bytes frame = packet(false).payload(text(100)).build();
  const std::vector<Bytes> others{
      cut(frame, 64, 78)[1],
      cut(packet(false, "198.51.100.8").payload(text(100)).build(), 64)[1],
      cut(packet(false).ip("198.51.100.7", "203.0.113.11").payload(text(100)).build(), 64)[1],
      cut(packet(false).vlan(5).payload(text(100)).build(), 64)[1],
  };
  Joiner j;
  EXPECT_EQ(j.give(cut(frame, 64)[0]), Reason::fragment_held);
  for (const Bytes& other : others) {
    EXPECT_EQ(j.give(other), Reason::fragment_held);
    EXPECT_TRUE(j.whole.empty());
  }
  EXPECT_EQ(j.give(cut(frame, 64)[1], Role::kServer), Reason::fragment_held);
  EXPECT_TRUE(j.whole.empty());
  EXPECT_EQ(j.give(cut(frame, 64)[1]), Reason::fragment_held);
  EXPECT_FALSE(j.whole.empty());
}

// Ranges of one packet at random, often overlapping: what is whole is that packet.
TEST(Reassembler, NeverMakesAnotherPacketThanWasSent) {
  std::mt19937 random(11);
  std::uint32_t wholes = 0;
  for (int n = 0; n < test::rounds(3000); ++n) {
    const bool ipv6 = random() % 2 != 0;
    const std::size_t size = 24 + random() % 400;
    const Bytes frame = packet(ipv6).ip_id(77).payload(text(size)).build();
    const std::size_t units = (size + 20 + 7) / 8;
    Joiner j;
    for (int i = 0; i < 12; ++i) {
      const std::size_t begin = random() % units / 3 * 3;
      const std::size_t end = std::min(units, begin + 3 * (1 + random() % units));
      const bool last = end == units;
      if (begin == 0 && last) continue;  // no fragment
      const Reason fate = j.give(piece(frame, begin * 8, last ? size + 20 : end * 8, !last));
      if (j.whole.empty()) continue;
      ++wholes;
      ASSERT_EQ(fate, Reason::fragment_held);
      ASSERT_EQ(j.whole, frame);
    }
  }
  EXPECT_GT(wholes, test::rounds(100U));
}

TEST(Reassembler, OverlapCostsThePacketAndAllThatStillComesOfIt) {
  for (const bool ipv6 : {false, true}) {
    Bytes frame = packet(ipv6).payload(text(220)).build();
    Bytes other = frame;
    other[other.size() - 100] ^= 1;  // byte 140 of the data
    struct Row {
      const char* what;
      Bytes hostile;
    };
    const std::vector<Row> rows{
        {"the same place, other bytes", piece(other, 120, 160, true)},
        {"from before", piece(frame, 112, 136, true)},
        {"beyond", piece(frame, 152, 184, true)},
        {"around", piece(frame, 112, 168, true)},
        {"inside, other bytes", piece(other, 128, 152, true)},
    };
    for (const Row& row : rows) {
      Joiner j;
      EXPECT_EQ(j.give(piece(frame, 120, 160, true)), Reason::fragment_held);
      EXPECT_EQ(j.give(row.hostile), Reason::fragment_overlap) << row.what;
      for (const Bytes& f : {piece(frame, 0, 120, true), piece(frame, 160, 240, false)}) {
        EXPECT_EQ(j.give(f), Reason::fragment_overlap) << row.what;
      }
      EXPECT_EQ(j.lost(), 1U);
      j.now += Reassembler::kLifeMs + 1;
      EXPECT_TRUE(j.give_all(cut(frame, 120))) << "the name may be used again";
    }
  }
}

TEST(Reassembler, FragmentsThatDisagreeAboutTheEndCostThePacket) {
  const Bytes frame = packet(true).payload(text(220)).build();
  const std::vector<std::vector<Bytes>> rows{
      {piece(frame, 120, 160, false), piece(frame, 160, 200, false)},
      {piece(frame, 160, 200, false), piece(frame, 120, 160, false)},
      {piece(frame, 120, 160, false), piece(frame, 160, 200, true)},
      {piece(frame, 160, 200, true), piece(frame, 120, 160, false)},
  };
  for (const auto& row : rows) {
    Joiner j;
    EXPECT_EQ(j.give(row[0]), Reason::fragment_held);
    EXPECT_EQ(j.give(row[1]), Reason::fragment_overlap);
  }
}

TEST(Reassembler, DuplicateIsDroppedAndThePacketGoesOn) {
  for (const bool ipv6 : {false, true}) {
    const Bytes frame = packet(ipv6).payload(text(220)).ip_id(77).build();
    const std::vector<Bytes> f = cut(frame, 80);
    Joiner j;
    ASSERT_EQ(f.size(), 3U);
    for (const std::size_t i : {0U, 2U}) {
      EXPECT_EQ(j.give(f[i]), Reason::fragment_held);
      EXPECT_EQ(j.give(f[i]), Reason::fragment_duplicate);
    }
    EXPECT_EQ(j.give(f[1]), Reason::fragment_held);
    EXPECT_EQ(j.whole, frame);
    EXPECT_EQ(j.give(f[1]), Reason::fragment_held) << "late copy of a packet that is gone";
    EXPECT_TRUE(j.whole.empty());
  }
}

TEST(Reassembler, FragmentsOfWhichNoPacketCanBeMadeAreRefused) {
  for (const bool ipv6 : {false, true}) {
    const Bytes frame = packet(ipv6).payload(text(220)).build();
    Bytes nothing = piece(frame, 80, 80, false);
    const std::vector<std::pair<Bytes, Reason>> rows{
        {piece(frame, 0, 8, true), Reason::fragment_tiny},  // RFC 1858: no flags in the first
        {piece(frame, 0, 16, true), Reason::fragment_tiny},
        {piece(frame, 80, 96, true), Reason::fragment_tiny},
        {piece(frame, 8, 80, true), Reason::fragment_tiny},  // begins inside the TCP header
        {piece(frame, 16, 240, false), Reason::fragment_tiny},
        {piece(frame, 0, 44, true), Reason::fragment_bad},  // no multiple of eight
        {nothing, Reason::fragment_bad},
    };
    for (const auto& [row, why] : rows) {
      Joiner j;
      EXPECT_EQ(j.give(row), why);
      EXPECT_EQ(j.waiting(), 0U);
    }
  }
  const Bytes large = packet(false).payload(text(20'000)).build();
  Joiner j;
  EXPECT_EQ(j.give(piece(large, 16'000, 16'392, true)), Reason::fragment_bad);
  EXPECT_EQ(j.give(piece(large, 16'000, 16'384, true)), Reason::fragment_held);
  Bytes damaged = piece(large, 0, 80, true);
  damaged[22] ^= 1;  // TTL
  EXPECT_EQ(j.give(damaged), Reason::bad_checksum);
}

TEST(Reassembler, AtomicFragmentIsAPacketByItself) {
  const Bytes frame = packet(true).payload(text(100)).build();
  Joiner j;
  EXPECT_EQ(j.give(piece(frame, 0, 64, true)), Reason::fragment_held);
  EXPECT_EQ(j.give(piece(frame, 0, 120, false)), Reason::fragment_held);
  EXPECT_EQ(j.whole, frame);
  EXPECT_EQ(j.give(piece(frame, 64, 120, false)), Reason::fragment_held);
  EXPECT_EQ(j.whole, frame);
}

// RFC 3168 section 5.3.
TEST(Reassembler, CongestionMarkOfOneFragmentIsThePackets) {
  constexpr std::uint8_t kEct0 = 2;
  constexpr std::uint8_t kCe = 3;
  for (const bool ipv6 : {false, true}) {
    const auto with = [&](std::uint8_t ecn) {
      return packet(ipv6).traffic_class(ecn).ip_id(77).payload(text(100)).build();
    };
    Joiner j;
    EXPECT_EQ(j.give(cut(with(kEct0), 64)[0]), Reason::fragment_held);
    EXPECT_EQ(j.give(cut(with(kCe), 64)[1]), Reason::fragment_held);
    EXPECT_EQ(j.whole, with(kCe));
    EXPECT_EQ(j.give(cut(with(0), 64)[0]), Reason::fragment_held);
    EXPECT_EQ(j.give(cut(with(kCe), 64)[1]), Reason::fragment_bad);
    EXPECT_TRUE(j.whole.empty());
  }
}

TEST(Reassembler, WhatWaitsTooLongIsGivenUp) {
  const Bytes frame = packet(false).payload(text(100)).build();
  Joiner j;
  EXPECT_EQ(j.give(cut(frame, 64)[0]), Reason::fragment_held);
  EXPECT_EQ(j.waiting(), 1U);
  j.tick_for(Reassembler::kLifeMs);
  EXPECT_EQ(j.waiting(), 1U);
  j.tick_for(2 * Reassembler::kBuckets);
  EXPECT_EQ(j.waiting(), 0U);
  EXPECT_EQ(j.lost(), 1U);
  EXPECT_EQ(j.give(cut(frame, 64)[1]), Reason::fragment_held);
  EXPECT_TRUE(j.whole.empty());
}

// The newest packets of a source are kept, and those of others do not suffer.
TEST(Reassembler, OneSourceHoldsSixteenPacketsAtMost) {
  for (const bool ipv6 : {false, true}) {
    // Every address of a /64 is the same client's.
    const auto source = [&](std::uint32_t n) {
      return ipv6 ? "2001:db8:1::" + std::to_string(n % 999 + 1) : std::string("198.51.100.7");
    };
    const Bytes honest =
        packet(ipv6, ipv6 ? "2001:db8:2::1" : "192.0.2.1").payload(text(100)).build();
    Joiner j;
    EXPECT_EQ(j.give(cut(honest, 64)[0]), Reason::fragment_held);
    for (std::uint32_t id = 1; id <= 1000; ++id) {
      const Bytes frame = packet(ipv6, source(id)).payload(text(100)).build();
      ASSERT_EQ(j.give(cut(frame, 64, id)[0]), Reason::fragment_held);
      ASSERT_LE(j.waiting(), 17U);
      if (id % 32 == 0) ++j.now;
    }
    EXPECT_EQ(j.give(cut(packet(ipv6, source(1000)).payload(text(100)).build(), 64, 1000)[1]),
              Reason::fragment_held);
    EXPECT_FALSE(j.whole.empty()) << "the newest is still there";
    EXPECT_EQ(j.give(cut(honest, 64)[1]), Reason::fragment_held);
    EXPECT_FALSE(j.whole.empty()) << "another source's is still there";
  }
}

// A flood of forged sources, a million fragments a second.
TEST(Reassembler, FloodDoesNotKeepKnownSourcesOut) {
  Joiner j;
  const Bytes honest = packet(false, "192.0.2.1").payload(text(100)).build();
  Bytes copy = cut(honest, 64)[0];
  Segment s;
  parse_frame(copy.data(), copy.size(), s);
  j.known->learn(fragment_source(s, Role::kClient, kKey), j.now);
  std::mt19937 random(3);
  const std::vector<Bytes> pattern = cut(packet(false).payload(text(100)).build(), 64);
  std::uint64_t held = 0;
  std::uint32_t whole = 0;
  constexpr std::uint32_t kMs = 200;
  for (std::uint32_t ms = 0; ms < kMs; ++ms, ++j.now) {
    for (unsigned i = 0; i < 1000; ++i) {
      Bytes f = pattern[0];
      for (std::size_t at = 26; at < 30; ++at) f[at] = static_cast<std::uint8_t>(random());
      f[24] = f[25] = 0;
      std::uint32_t sum = 0;
      for (std::size_t at = 14; at < 34; at += 2) sum += f[at] * 256U + f[at + 1];
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
      f[24] = static_cast<std::uint8_t>(~sum >> 8);
      f[25] = static_cast<std::uint8_t>(~sum);
      const Reason fate = j.give(f);
      ASSERT_TRUE(fate == Reason::fragment_held || fate == Reason::fragment_shed);
      held += fate == Reason::fragment_held ? 1 : 0;
      if (i == 500) j.give(cut(honest, 64, ms)[0]);
    }
    j.give(cut(honest, 64, ms)[1]);
    whole += j.whole.empty() ? 0 : 1;
    ASSERT_LE(j.waiting(), Reassembler::kBuckets * Reassembler::kWays);
  }
  EXPECT_EQ(whole, kMs) << "packets of the known source";
  EXPECT_LE(held, std::uint64_t{kMs} * FragmentGate::kStrangers);
}

}  // namespace
}  // namespace synproxy
