// SPDX-License-Identifier: BSD-3-Clause
#include "felt/felt_book.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

ProtectRule rule(const char* text, NamedServiceId service) {
  ProtectRule out = parse_protect_rule(text);
  out.service = service;
  return out;
}

FlowKey key_to(std::uint8_t last, std::uint16_t port) {
  FlowKey key;
  key.server = {203, 0, 113, last};
  key.server_port = port;
  return key;
}

class FeltBookTest : public testing::Test {
 protected:
  const ProtectSet protect_{{rule("203.0.113.0/28", 0), rule("203.0.113.10:80-443", 3)}};
  FeltCounters counters_;
  FeltBook book_{protect_, counters_};
};

TEST_F(FeltBookTest, AServiceWithANameIsOneWhateverItsAddressesAndPorts) {
  book_.handshake(key_to(10, 80), 5, 0, 1);
  book_.handshake(key_to(10, 443), 7, 2, 2);
  book_.handshake(key_to(11, 80), 9, 0, 3);
  const FeltService& web = counters_.services[0];
  EXPECT_EQ(web.name[0].get(), 3U);
  EXPECT_EQ(web.name[2].get(), FeltService::kNamed);
  EXPECT_EQ(web.felt.handshake.sum_ms.get(), 12U);
  EXPECT_EQ(web.felt.syn_repeats.get(), 2U);
  EXPECT_EQ(counters_.services[1].version.load(), 0U);
  EXPECT_EQ(counters_.other.handshake.sum_ms.get(), 9U);
  EXPECT_EQ(counters_.all.handshake.sum_ms.get(), 21U);
}

TEST_F(FeltBookTest, APlaceIsKeptForAServerThatThinksAndNotForEver) {
  ASSERT_TRUE(book_.await_first_byte(77, 1000));
  EXPECT_FALSE(book_.await_first_byte(77, 1000 + FeltBook::kPatienceMs - 1)) << "it is taken";
  book_.first_byte(key_to(11, 80), 78, 2000);
  EXPECT_EQ(counters_.all.first_byte.sum_ms.get(), 0U) << "of another connection";
  EXPECT_TRUE(book_.await_first_byte(77, 1000 + FeltBook::kPatienceMs));
  book_.first_byte(key_to(11, 80), 77, 1003 + FeltBook::kPatienceMs);
  EXPECT_EQ(counters_.all.first_byte.sum_ms.get(), 3U);
  EXPECT_FALSE(book_.awaits_first_byte(77));
  ASSERT_TRUE(book_.await_first_byte(77, 50'000));
  book_.forget_first_byte(77);
  EXPECT_FALSE(book_.awaits_first_byte(77));
  EXPECT_FALSE(book_.await_first_byte(0, 60'000)) << "the number of a free place";
}

}  // namespace
}  // namespace synproxy
