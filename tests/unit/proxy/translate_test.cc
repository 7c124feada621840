// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/translate.h"

#include <gtest/gtest.h>

#include <random>

#include "support/decoded_frame.h"
#include "support/exact_buffer.h"
#include "support/packet_builder.h"
#include "support/rounds.h"
#include "synproxy/proxy/window_scale.h"

namespace synproxy {
namespace {

using namespace test;

// Checks random segments by the decoder's fields before and after, and by a full checksum.
TEST(Translate, RandomSegmentsOfEveryShapeAgreeWithTheDecoder) {
  std::mt19937 random(23);
  const auto word = [&] {
    const auto v = static_cast<std::uint32_t>(random());
    return (v & 7) == 0 ? 0U : (v & 7) == 1 ? 0xffffffffU : (v & 7) == 2 ? 0xffffU : v;
  };
  for (int i = 0; i < test::rounds(60'000); ++i) {
    FlowRecord f;
    const std::uint32_t delta = word();
    const std::uint32_t ts_delta = word();
    f.become_spliced(FlowState::kEstablished,
                     {.delta = delta, .ts_delta = ts_delta, .window = 0, .mark_second = 0});
    f.options = static_cast<std::uint8_t>(random() & 0x38U);  // scales, no SACK
    f.set_scales(static_cast<unsigned>(random() % 15), static_cast<unsigned>(random() % 15));
    f.set_link(0, static_cast<unsigned>(random() % 15));
    const bool to_server = (random() & 1) != 0;
    PacketBuilder b;
    if ((random() & 1) != 0) b.ipv6("2001:db8:1::7", "2001:db8::10");
    b.seq(word()).ack(word()).flags(random() % 8 != 0 ? kAck : kRst);
    b.window(static_cast<std::uint16_t>(random()));
    std::size_t left = 40;
    for (auto n = random() % 4; n > 0; --n) {
      const auto kind = static_cast<unsigned>(random() % 3);
      if (kind == 0 && left >= 3) {
        const auto nops = static_cast<unsigned>(1 + random() % 3);
        b.nop(nops);
        left -= nops;
      } else if (kind == 1 && left >= 12) {
        b.timestamps(word(), word());
        left -= 12;
      } else if (kind == 2 && left >= 18) {
        b.sack({{word(), word()}, {word(), word()}});
        left -= 18;
      }
    }
    b.payload(Bytes(random() % 5, 0x77));
    const Bytes in = b.build();
    const auto before = decode(in);
    ASSERT_TRUE(before && before->checksums_good);
    const ExactBuffer buffer(in);
    Segment s;
    parse_frame(buffer.data(), buffer.size(), s);
    ASSERT_EQ(s.result, ParseResult::kTcp);
    EXPECT_TRUE(to_server ? translate_to_server(s, f) : translate_to_client(s, f));
    const auto after = decode(buffer.span());
    ASSERT_TRUE(after.has_value());
    ASSERT_TRUE(after->checksums_good) << "segment " << i << ": " << before->to_string();
    ASSERT_EQ(after->payload, before->payload);
    ASSERT_EQ(after->flags, before->flags);
    ASSERT_EQ(after->timestamps.size(), before->timestamps.size());
    if (to_server) {
      ASSERT_EQ(after->seq, before->seq);
      ASSERT_EQ(after->ack, before->has(kAck) ? before->ack + delta : before->ack);
      const bool blank = (f.options & kFlowServerNoSack) != 0;
      ASSERT_EQ(after->sack.size(), blank ? 0 : before->sack.size());
      for (std::size_t k = 0; k < after->sack.size(); ++k) {
        ASSERT_EQ(after->sack[k].first, before->sack[k].first + delta);
        ASSERT_EQ(after->sack[k].second, before->sack[k].second + delta);
      }
      for (std::size_t k = 0; k < after->timestamps.size(); ++k) {
        const auto [tsval, tsecr] = before->timestamps[k];
        ASSERT_EQ(after->timestamps[k], std::pair(tsval, tsecr == 0 ? 0 : tsecr + ts_delta));
      }
      const bool unscale =
          (f.options & (kFlowClientScales | kFlowServerScales)) == kFlowClientScales;
      ASSERT_EQ(after->window,
                unscale ? window_unscaled(before->window, f.client_scale()) : before->window);
    } else {
      ASSERT_EQ(after->seq, before->seq - delta);
      ASSERT_EQ(after->ack, before->ack);
      ASSERT_EQ(after->sack, before->sack);
      for (std::size_t k = 0; k < after->timestamps.size(); ++k) {
        const auto [tsval, tsecr] = before->timestamps[k];
        ASSERT_EQ(after->timestamps[k], std::pair(tsval - ts_delta, tsecr));
      }
      ASSERT_EQ(after->window,
                window_to_client(before->window, f.server_scale(), f.offered_scale()));
    }
  }
}

TEST(ClearEct, KeepsTheRestOfTheHeader) {
  for (const bool ipv6 : {false, true}) {
    for (unsigned tc = 0; tc < 256; ++tc) {
      PacketBuilder b;
      if (ipv6) b.ipv6("2001:db8:1::7", "2001:db8::10").flow_label(0xabcde);
      const Bytes in = b.traffic_class(static_cast<std::uint8_t>(tc)).flags(kAck).build();
      const ExactBuffer buffer(in);
      Segment s;
      parse_frame(buffer.data(), buffer.size(), s);
      const bool ce = (tc & 3) == 3;
      EXPECT_EQ(clear_ect(s), !ce);
      const auto f = decode(buffer.span());
      ASSERT_TRUE(f.has_value());
      EXPECT_TRUE(f->checksums_good);
      if (!ce) {
        EXPECT_EQ(f->traffic_class, tc & 0xfcU);
      }
      EXPECT_EQ(f->flow_label, ipv6 ? 0xabcdeU : 0U);
    }
  }
}

}  // namespace
}  // namespace synproxy
