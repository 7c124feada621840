// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include "dataplane/frames.h"

namespace synproxy::dataplane {
namespace {

ChecksumHint hint(std::uint64_t flags) {
  rte_mbuf m{};
  m.ol_flags = flags;
  return checksum_hint(m);
}

TEST(ChecksumHint, GoodOnlyWhereTheDeviceVerifiedBoth) {
  EXPECT_EQ(hint(RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD), ChecksumHint::kGood);
  EXPECT_EQ(hint(RTE_MBUF_F_RX_L4_CKSUM_GOOD), ChecksumHint::kTcpGood);
  EXPECT_EQ(hint(RTE_MBUF_F_RX_IP_CKSUM_GOOD), ChecksumHint::kUnknown);
  EXPECT_EQ(hint(0), ChecksumHint::kUnknown);
}

TEST(ChecksumHint, EitherBadOneIsBad) {
  EXPECT_EQ(hint(RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_GOOD), ChecksumHint::kBad);
  EXPECT_EQ(hint(RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_BAD), ChecksumHint::kBad);
}

// NONE is both bits together, so neither may be read alone.
TEST(ChecksumHint, NotLookedAtIsNeitherGoodNorBad) {
  EXPECT_EQ(hint(RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_NONE),
            ChecksumHint::kUnknown);
  EXPECT_EQ(hint(RTE_MBUF_F_RX_IP_CKSUM_NONE | RTE_MBUF_F_RX_L4_CKSUM_GOOD),
            ChecksumHint::kUnknown);
}

}  // namespace
}  // namespace synproxy::dataplane
