// SPDX-License-Identifier: BSD-3-Clause
// Two equal proxies: one gets frames in bursts, the other one by one.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

#include "support/rounds.h"
#include "support/session.h"

namespace synproxy::test {

template <typename T, std::size_t N>
[[nodiscard]] T pick(std::mt19937& random, const std::array<T, N>& from) {
  return from[random() % N];
}

// True once in `n` times.
[[nodiscard]] inline bool seldom(std::mt19937& random, unsigned n) { return random() % n == 0; }

// Mostly tags as switches write them; now and then more than a connection may have, a priority tag,
// or another EtherType.
inline void add_tags(PacketBuilder& b, std::mt19937& random) {
  constexpr std::array<std::uint16_t, 6> kTci{7, 7, 0x6007, 4095, 0, 0xe000};
  constexpr std::array<std::uint16_t, 6> kTpid{kEtherTypeVlan, kEtherTypeVlan, kEtherTypeVlan,
                                               kEtherTypeQinQ, kEtherTypeQinQ, 0x9100};
  if (!seldom(random, 3)) {
    b.vlan(7);
    return;
  }
  for (std::size_t n = seldom(random, 5) ? 3 + random() % 3 : 1 + random() % 2; n != 0; --n) {
    b.vlan(pick(random, kTci), seldom(random, 3) ? pick(random, kTpid) : kEtherTypeVlan);
  }
}
// Says something else of the length of the IP packet behind the tags.
inline void lie_about_length(Bytes& frame, std::mt19937& random) {
  std::size_t at = 12;
  while (at + 4 < frame.size() && (frame[at] == 0x81 || frame[at] == 0x88)) at += 4;
  at += frame.size() > at && frame[at] == 0x86 ? 7 : 5;
  if (at < frame.size()) frame[at] = static_cast<std::uint8_t>(random() % 90);
}

// Bursts are something else than their packets one by one only where there are kernels for them, so
// a comparison runs with each set of kernels. What this CPU cannot run is skipped.
inline auto kernels() { return ::testing::Values(Vectors::kAvx2, Vectors::kAvx512); }
inline std::string name_of(Vectors v) { return v == Vectors::kAvx2 ? "avx2" : "avx512"; }
inline std::string kernels_name(const ::testing::TestParamInfo<Vectors>& info) {
  return name_of(info.param);
}
inline void skip_without(Vectors v) {
  if (v > cpu_vectors()) GTEST_SKIP() << "this CPU has no " << name_of(v);
}
// While it lives, harnesses have these kernels.
class KernelScope {
 public:
  explicit KernelScope(Vectors v) : before_(most_vectors()) { most_vectors() = v; }
  ~KernelScope() { most_vectors() = before_; }
  KernelScope(const KernelScope&) = delete;
  KernelScope& operator=(const KernelScope&) = delete;

 private:
  Vectors before_;
};
class WithKernels : public ::testing::TestWithParam<Vectors> {
 protected:
  void SetUp() override { skip_without(GetParam()); }

 private:
  KernelScope scope_{GetParam()};
};

// The same frames come back, and are counted the same.
inline void expect_alike(ProxyHarness& bursts, ProxyHarness& singles,
                         const std::vector<Bytes>& frames) {
  const std::vector<Verdict> verdicts = bursts.feed_burst(Role::kClient, frames);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    ASSERT_EQ(verdicts[i], singles.from_client(frames[i])) << "frame " << i;
  }
  // In each burst, frames that the engine makes leave after those that it has rewritten.
  for (ProxyHarness* p : {&bursts, &singles}) {
    std::sort(p->to_client.begin(), p->to_client.end());
    std::sort(p->to_server.begin(), p->to_server.end());
  }
  ASSERT_EQ(bursts.to_client, singles.to_client);
  ASSERT_EQ(bursts.to_server, singles.to_server);
  for (std::size_t r = 0; r < kReasonCount; ++r) {
    const auto reason = static_cast<Reason>(r);
    ASSERT_EQ(bursts.count(reason), singles.count(reason)) << "reason " << r;
  }
  for (ProxyHarness* p : {&bursts, &singles}) {
    p->to_client.clear();
    p->to_server.clear();
  }
}

// Bursts of equal kind in which one frame is of another kind, in each place, and of each length.
// `frame`: makes one of that family, with these tags.
template <typename FrameOf>
void expect_alike_with_one_other(ProxyHarness& bursts, ProxyHarness& singles, FrameOf&& frame) {
  using Tags = std::vector<std::uint16_t>;
  const std::vector<Tags> stacks{{}, {7}, {8}, {7, 7}, {0}, {7, 7, 7}};
  struct Kind {
    bool ipv6;
    Tags tags;
  };
  std::vector<Kind> kinds;
  for (const bool ipv6 : {false, true}) {
    for (const Tags& tags : stacks) kinds.push_back({ipv6, tags});
  }
  const auto look_at = [&](const Kind& kind, std::size_t size, std::size_t place, Bytes other) {
    std::vector<Bytes> frames(size);
    for (Bytes& f : frames) f = frame(kind.ipv6, kind.tags);
    frames[place] = std::move(other);
    ASSERT_NO_FATAL_FAILURE(expect_alike(bursts, singles, frames))
        << "place " << place << " of " << size;
  };
  constexpr std::array<std::size_t, 6> kSizes{4, 5, 8, 11, 17, kMaxBurst};
  // Under the sanitizers a third of the places, each time others.
  constexpr std::size_t kStride = kSanitized ? 3 : 1;
  std::size_t n = 0;
  for (const Kind& kind : kinds) {
    for (const Kind& other : kinds) {
      const std::size_t size = kSizes[n++ % kSizes.size()];
      for (std::size_t place = n % kStride; place < size; place += kStride) {
        look_at(kind, size, place, frame(other.ipv6, other.tags));
      }
    }
    for (std::size_t place = n % kStride; place < kMaxBurst; place += kStride) {
      Bytes cut = frame(kind.ipv6, kind.tags);
      cut.resize(place * cut.size() / kMaxBurst);
      look_at(kind, kMaxBurst, place, std::move(cut));
    }
  }
}

// Bursts of random SYNs, of one family and of both. After a third of them one of the servers is
// known, with its TTL; now and then come other keys, the other parity, and plain cookies that are
// tight. `syn_of`: gets the source of chance, and how many in eight shall be of IPv6.
template <typename SynOf>
void expect_alike_at_random(const HarnessOptions& h, unsigned seed, int count, SynOf&& syn_of) {
  count = rounds(count);
  constexpr std::array<unsigned, 4> kParts{0, 1, 5, 8};
  std::mt19937 random(seed);
  ProxyHarness bursts(h);
  ProxyHarness singles(h);
  bursts.checksums_must_be_good = singles.checksums_must_be_good = false;
  for (int round = 0; round < count; ++round) {
    std::vector<Bytes> frames(1 + random() % kMaxBurst);
    const unsigned ipv6_of_8 = pick(random, kParts);
    for (Bytes& f : frames) f = syn_of(random, ipv6_of_8);
    ASSERT_NO_FATAL_FAILURE(expect_alike(bursts, singles, frames)) << "round " << round;
    for (ProxyHarness* p : {&bursts, &singles}) {
      if (round == count / 3) {
        SessionOptions o;
        o.timestamps = h.engine.tuning.offer.timestamps == Offer::kOn;
        o.sack = h.engine.tuning.offer.sack == Offer::kOn;
        o.server_path.ttl = 200;
        Session(*p, o).open();
      }
      if (round % 100 == 99) {
        p->want_tight_cookies(round % 200 == 99);
        p->advance(64'000);
      }
    }
  }
  EXPECT_GT(bursts.count(Reason::synack_sent), rounds(1000U));
}

}  // namespace synproxy::test
