// SPDX-License-Identifier: BSD-3-Clause
// The table of usual SYNs (syn/shapes.h) against SYNs that are written down here once more: what a
// row recognises and what it does not, and that all ways to answer one give the same bytes.
#include "syn/shapes.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "burst/kernels.h"
#include "bursts_and_singles.h"
#include "support/naive_checksum.h"
#include "support/rounds.h"

namespace synproxy {
namespace {

using namespace test;

struct Sample {
  const char* name;
  Bytes options;
  std::vector<std::size_t> values;  // the bytes of them that may be anything
};
const std::vector<Sample>& samples() {
  static const std::vector<Sample> all{
      {"Linux and Android",
       {2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7},
       {2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 19}},
      {"Windows", {2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2}, {2, 3, 7}},
      {"macOS and iOS",
       {2, 4, 5, 180, 1, 3, 3, 6, 1, 1, 8, 10, 5, 6, 7, 8, 0, 0, 0, 0, 4, 2, 0, 0},
       {2, 3, 7, 12, 13, 14, 15, 16, 17, 18, 19}},
      {"no options, as hping3 sends it", {}, {}},
  };
  return all;
}

bool is_value(const Sample& s, std::size_t option_byte) {
  return std::find(s.values.begin(), s.values.end(), option_byte) != s.values.end();
}

// Whether one at a time knows these options as row `row`'s.
template <std::size_t... kRow>
bool list_is(std::size_t row, const std::uint8_t* options, std::index_sequence<kRow...>) {
  bool known = false;
  ((known = known || (kRow == row && is_list<kSynShapes[kRow].options>(options))), ...);
  return known;
}
bool list_is(std::size_t row, const std::uint8_t* options) {
  return list_is(row, options, std::make_index_sequence<kSynShapes.size()>());
}

// Whether the row's kernel for the family takes eight such frames. That for any shape has to agree.
bool columns_take(std::size_t row, bool ipv6, Bytes frame) {
  SynGroup g;
  g.tight = g.tagged = false;
  g.frames.fill(frame.data());
  const std::size_t kernel = row + (ipv6 ? kSynShapes.size() : 0);
  const std::uint32_t lanes = (*kernels_for(most_vectors()).syns)[kernel].verify(g, 0xff);
  EXPECT_TRUE(lanes == 0 || lanes == 0xff);
  EXPECT_EQ((*kernels_for(most_vectors()).mixed_syns)[ipv6 ? 1 : 0].verify(g, 0xff), lanes);
  return lanes != 0;
}

PacketBuilder headers(std::uint16_t port, std::uint32_t isn, bool ipv6 = false) {
  PacketBuilder b;
  if (ipv6) b.ip("2001:db8:1::7", "2001:db8::10");
  b.ports(port, 80).seq(isn).flags(kSyn);
  return b;
}

// Good checksums for the lengths that the shape has, whatever the frame itself says of them.
void mend_sums(Bytes& frame, std::size_t tcp_size, bool ipv6) {
  constexpr std::size_t kIp = 14;
  const std::size_t kTcp = ipv6 ? 54 : 34;
  const auto put = [&](std::size_t at, std::uint16_t sum) {
    frame[at] = static_cast<std::uint8_t>(sum >> 8);
    frame[at + 1] = static_cast<std::uint8_t>(sum);
  };
  const std::span<const std::uint8_t> bytes(frame);
  if (!ipv6) {
    put(kIp + 10, 0);
    put(kIp + 10, NaiveSum().add(bytes.subspan(kIp, 20)).checksum());
  }
  put(kTcp + 16, 0);
  const auto ends = ipv6 ? bytes.subspan(kIp + 8, 32) : bytes.subspan(kIp + 12, 8);
  NaiveSum tcp = naive_pseudo_header(ends, 6, tcp_size);
  put(kTcp + 16, tcp.add(bytes.subspan(kTcp, tcp_size)).checksum());
}

// Of a frame's headers, what a shape leaves open. The source's first byte and both checksums are
// left out: they have rules of their own.
enum class Bit : std::uint8_t { kFixed, kFree, kOther };
Bit header_bit(std::size_t byte, unsigned bit, bool ipv6) {
  if (ipv6 && byte < 54) {
    if (byte == 22) return Bit::kOther;                          // the source
    if (byte == 14) return bit >= 4 ? Bit::kFixed : Bit::kFree;  // version
    return byte >= 18 && byte <= 20 ? Bit::kFixed : Bit::kFree;  // length, next header
  }
  if (ipv6) byte -= 20;
  switch (byte) {
    case 24:
    case 25:
    case 26:
    case 50:
    case 51:
      return Bit::kOther;
    case 20:  // reserved and DF; more fragments and the offset
      return bit >= 6 ? Bit::kFree : Bit::kFixed;
    case 46:  // offset, reserved, AE
      return bit >= 1 && bit <= 3 ? Bit::kFree : Bit::kFixed;
    case 14:
    case 16:
    case 17:
    case 21:
    case 23:
    case 47:
      return Bit::kFixed;
    default:
      return Bit::kFree;
  }
}

// A row, and the kernels that take its bursts.
class SynShapes : public ::testing::TestWithParam<std::tuple<std::size_t, Vectors>> {
 protected:
  [[nodiscard]] static std::size_t row() { return std::get<0>(GetParam()); }
  void SetUp() override {
    skip_without(std::get<1>(GetParam()));
    for (const Sample& s : samples()) {
      if (kSynShapes[row()].name == s.name) sample = &s;
    }
    ASSERT_NE(sample, nullptr) << "this test has no SYN for " << kSynShapes[row()].name;
  }
  // The sample with other values.
  [[nodiscard]] Bytes options(std::mt19937& random) const {
    Bytes o = sample->options;
    for (const std::size_t i : sample->values) o[i] = static_cast<std::uint8_t>(random());
    const std::size_t scale = kSynShapes[row()].options.at(OptionWord::kNopAndScale) + 3;
    if (scale < o.size()) o[scale] %= 15;
    if (!o.empty()) o[2] |= 8;  // an MSS that every layout takes
    return o;
  }

  void every_fixed_bit_counts(bool ipv6) const;

  const Sample* sample = nullptr;

 private:
  KernelScope scope_{std::get<1>(GetParam())};
};

TEST_P(SynShapes, ItsSynIsRecognised) {
  EXPECT_EQ(kSynShapes[row()].options.bytes(), sample->options.size());
  for (std::size_t other = 0; other < kSynShapes.size(); ++other) {
    if (kSynShapes[other].options.bytes() != sample->options.size()) continue;
    EXPECT_EQ(list_is(other, sample->options.data()), other == row());
  }
}

TEST_P(SynShapes, OneAtATimeEveryFixedBitOfTheOptionsCounts) {
  for (std::size_t i = 0; i < sample->options.size(); ++i) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bytes o = sample->options;
      o[i] = static_cast<std::uint8_t>(o[i] ^ 1U << bit);
      EXPECT_EQ(list_is(row(), o.data()), is_value(*sample, i)) << "byte " << i << ", bit " << bit;
    }
  }
}

void SynShapes::every_fixed_bit_counts(bool ipv6) const {
  const std::size_t tcp_size = 20 + sample->options.size();
  const std::size_t options = ipv6 ? 74 : 54;
  Bytes good = headers(40000, 7, ipv6).option(sample->options).build();
  const std::size_t end = good.size();
  good.resize(std::max<std::size_t>(end, columns::kMostRead + shift_of(ipv6)));
  ASSERT_TRUE(columns_take(row(), ipv6, good));
  ASSERT_FALSE(columns_take(row(), !ipv6, [&] {
    Bytes longer = good;
    longer.resize(good.size() + kIpv6Shift);
    return longer;
  }()));
  for (std::size_t byte = 14; byte < end; ++byte) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bit kind = Bit::kFixed;
      if (byte < options) {
        kind = header_bit(byte, bit, ipv6);
      } else if (is_value(*sample, byte - options)) {
        kind = Bit::kOther;
      }
      if (kind == Bit::kOther) continue;
      Bytes frame = good;
      frame[byte] = static_cast<std::uint8_t>(frame[byte] ^ 1U << bit);
      mend_sums(frame, tcp_size, ipv6);
      EXPECT_EQ(columns_take(row(), ipv6, frame), kind == Bit::kFree)
          << (ipv6 ? "IPv6, byte " : "IPv4, byte ") << byte << ", bit " << bit;
    }
  }
}

TEST_P(SynShapes, InColumnsEveryFixedBitCounts) {
  for (const bool ipv6 : {false, true}) every_fixed_bit_counts(ipv6);
}

// A shape that a flipped bit has made another is answered as it would be alone.
TEST_P(SynShapes, WhatAMutationMakesOfItMeansTheSameInABurst) {
  for (const bool ipv6 : {false, true}) {
    ProxyHarness bursts;
    ProxyHarness singles;
    bursts.checksums_must_be_good = singles.checksums_must_be_good = false;
    const Bytes good = headers(40000, 7, ipv6).option(sample->options).build();
    expect_alike(bursts, singles, {good});  // the service is known from here on
    for (std::size_t byte = 14; byte < good.size(); ++byte) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        Bytes frame = good;
        frame[byte] = static_cast<std::uint8_t>(frame[byte] ^ 1U << bit);
        mend_sums(frame, 20 + sample->options.size(), ipv6);
        std::vector<Bytes> burst(8, frame);
        burst.push_back(good);  // so that SYNs of the family are looked for
        ASSERT_NO_FATAL_FAILURE(expect_alike(bursts, singles, burst))
            << "byte " << byte << ", bit " << bit;
      }
    }
  }
}

// The first SYN to a service is answered by the general way, the next ones by the row's.
TEST_P(SynShapes, AllWaysToAnswerItGiveTheSameBytes) {
  std::mt19937 random(static_cast<unsigned>(row()) + 1);
  for (const bool ipv6 : {false, true}) {
    for (int round = 0; round < test::rounds(40); ++round) {
      std::vector<Bytes> syns;
      std::vector<Bytes> expected;
      for (std::uint16_t port = 1000; port < 1008; ++port) {
        PacketBuilder b = headers(port, static_cast<std::uint32_t>(random()), ipv6);
        syns.push_back(b.option(options(random)).build());
        ProxyHarness unlearned;
        ASSERT_EQ(unlearned.from_client(syns.back()), Verdict::kReply);
        expected.push_back(unlearned.take_raw(Role::kClient));
      }
      ProxyHarness p;
      ASSERT_EQ(p.from_client(syns[0]), Verdict::kReply);
      p.to_client.clear();  // and SYNs of its family are looked for in bursts
      for (std::size_t i = 0; i < syns.size(); ++i) {
        ASSERT_EQ(p.from_client(syns[i]), Verdict::kReply);
        ASSERT_EQ(p.take_raw(Role::kClient), expected[i]) << "alone, " << i;
      }
      p.feed_burst(Role::kClient, syns);
      for (std::size_t i = 0; i < syns.size(); ++i) {
        ASSERT_EQ(p.take_raw(Role::kClient), expected[i]) << "in a burst, " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, SynShapes,
                         ::testing::Combine(::testing::Range<std::size_t>(0, kSynShapes.size()),
                                            kernels()),
                         [](const auto& of_row) {
                           return std::to_string(std::get<0>(of_row.param)) + "_" +
                                  name_of(std::get<1>(of_row.param));
                         });

}  // namespace
}  // namespace synproxy
