// SPDX-License-Identifier: BSD-3-Clause
// Shows that the generator sees what is wrong with an answer. The frames come from the tests' own
// builder.
#include "verify.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "support/decoded_frame.h"
#include "support/packet_builder.h"
#include "syn_stamp.h"

namespace synproxy::generator {
namespace {

using test::Bytes;
using test::PacketBuilder;

constexpr Tuple kClient4{.address = 0x80010203, .port = 40000};  // 128.1.2.3
constexpr Tuple kClient6{.address = 0x0000000500060007, .port = 40001};
constexpr const char* kAddress4 = "128.1.2.3";
constexpr const char* kAddress6 = "2001:db8:1:0:0:5:6:7";
constexpr const char* kServerAddress4 = "203.0.113.10";
constexpr const char* kServerAddress6 = "2001:db8::10";
constexpr std::uint32_t kCookie = 0x12345678;

// A right answer, except for its options.
PacketBuilder answer(bool ipv6 = false) {
  const Tuple& client = ipv6 ? kClient6 : kClient4;
  return PacketBuilder()
      .macs(kServerMac, kClientMac)
      .ip(ipv6 ? kServerAddress6 : kServerAddress4, ipv6 ? kAddress6 : kAddress4)
      .ttl(64)
      .ports(80, client.port)
      .seq(kCookie)
      .ack(numbers_of(client).isn + 1)
      .flags(kSyn | kAck);
}
PacketBuilder whole_answer(bool ipv6 = false) {
  return answer(ipv6)
      .mss(1460)
      .sack_permitted()
      .timestamps(77, numbers_of(ipv6 ? kClient6 : kClient4).tsval)
      .window_scale(7);
}

// Checks like the flood, with every check on.
Fault judge(const Bytes& frame, const Offer& offer = {}) {
  Incoming in;
  Fault f = read_segment(frame, Towards::kClient, in);
  if (f == Fault::none) f = check_macs(frame, Towards::kClient);
  if (f == Fault::none) f = check_checksums(in);
  if (f == Fault::none) f = check_syn_ack(in, numbers_of(in.client), offer);
  return f;
}

TEST(WireVerify, RightAnswerPasses) {
  for (const bool ipv6 : {false, true}) {
    EXPECT_EQ(judge(whole_answer(ipv6).build()), Fault::none);
    EXPECT_EQ(judge(answer(ipv6).mss(1440).build()), Fault::none) << "less than was offered";
    EXPECT_EQ(judge(answer(ipv6).build()), Fault::none) << "no options at all";
  }
}

struct WrongAnswer {
  const char* name;
  Fault fault;
  std::function<Bytes()> frame;
  Offer offer = {};
};

class WireVerifyRows : public ::testing::TestWithParam<WrongAnswer> {};

TEST_P(WireVerifyRows, AreFound) {
  EXPECT_EQ(judge(GetParam().frame(), GetParam().offer), GetParam().fault);
}

INSTANTIATE_TEST_SUITE_P(
    WrongAnswers, WireVerifyRows,
    ::testing::Values(
        WrongAnswer{"TcpChecksum", Fault::tcp_checksum,
                    [] { return whole_answer().break_l4_checksum().build(); }},
        WrongAnswer{"TcpChecksumIpv6", Fault::tcp_checksum,
                    [] { return whole_answer(true).break_l4_checksum().build(); }},
        WrongAnswer{"IpChecksum", Fault::ip_checksum,
                    [] { return whole_answer().break_ip_checksum().build(); }},
        WrongAnswer{"AckOfTheIsnItself", Fault::ack,
                    [] { return whole_answer().ack(numbers_of(kClient4).isn).build(); }},
        WrongAnswer{"AckOfAnotherClient", Fault::ack,
                    [] { return whole_answer().ports(80, 40001).build(); }},
        WrongAnswer{"NoAckFlag", Fault::flags, [] { return whole_answer().flags(kSyn).build(); }},
        WrongAnswer{"EcnThatNobodyAskedFor", Fault::flags,
                    [] { return whole_answer().flags(kSyn | kAck | kEce).build(); }},
        WrongAnswer{"TimestampsNotOffered", Fault::option_not_offered,
                    [] { return whole_answer().build(); }, Offer{.timestamps = false}},
        WrongAnswer{"SackNotOffered", Fault::option_not_offered,
                    [] { return whole_answer().build(); }, Offer{.sack = false}},
        WrongAnswer{"WindowScaleNotOffered", Fault::option_not_offered,
                    [] { return whole_answer().build(); }, Offer{.window_scaling = false}},
        WrongAnswer{"OptionThatNobodyHas", Fault::option_not_offered,
                    [] {
                      return answer().option({254, 4, 1, 2}).build();
                    }},
        WrongAnswer{"OptionThatEndsOutside", Fault::options,
                    [] {
                      return answer().option({1, 1, 2, 4}).build();
                    }},
        WrongAnswer{"EchoOfAnotherTimestamp", Fault::tsecr,
                    [] { return answer().timestamps(77, numbers_of(kClient4).tsval + 1).build(); }},
        WrongAnswer{"Payload", Fault::payload, [] { return whole_answer().payload("x").build(); }},
        WrongAnswer{"Ttl", Fault::ttl, [] { return whole_answer().ttl(63).build(); }},
        WrongAnswer{"HopLimit", Fault::ttl, [] { return whole_answer(true).ttl(63).build(); }},
        WrongAnswer{"MacsAsTheyCame", Fault::mac,
                    [] { return whole_answer().macs(kClientMac, kServerMac).build(); }},
        WrongAnswer{"AddressesAsTheyCame", Fault::address,
                    [] { return whole_answer().ip(kAddress4, kServerAddress4).build(); }},
        WrongAnswer{"OtherPort", Fault::address,
                    [] { return whole_answer().ports(81, 40000).build(); }},
        WrongAnswer{"BytesBehindThePacket", Fault::ip_header,
                    [] { return whole_answer().pad_to(100).build(); }},
        WrongAnswer{"IpOptions", Fault::ip_header,
                    [] {
                      return whole_answer().ip_options({1, 1, 1, 1}).build();
                    }},
        WrongAnswer{"Fragment", Fault::ip_header,
                    [] { return whole_answer().fragment(0x2000).build(); }},
        WrongAnswer{"Udp", Fault::not_tcp, [] { return whole_answer().protocol(17).build(); }},
        WrongAnswer{"Vlan", Fault::not_tcp, [] { return whole_answer().vlan(5).build(); }},
        WrongAnswer{"Cut", Fault::not_tcp,
                    [] {
                      Bytes frame = answer().build();
                      frame.pop_back();
                      return frame;
                    }}),
    [](const auto& row) { return row.param.name; });

TEST(WireVerify, SynAtTheServerIsTheClientsOwn) {
  const auto syn = [] {
    return PacketBuilder()
        .macs(kClientMac, kServerMac)
        .ip(kAddress4, kServerAddress4)
        .ttl(64)
        .ports(kClient4.port, 80)
        .seq(numbers_of(kClient4).isn)
        .flags(kSyn);
  };
  const auto judge_syn = [](const Bytes& frame, const Offer& offer = {}) {
    Incoming in;
    const Fault f = read_segment(frame, Towards::kServer, in);
    return f != Fault::none ? f : check_syn(in, numbers_of(in.client), offer);
  };
  const std::uint32_t tsval = numbers_of(kClient4).tsval;
  const auto whole = [&] {
    return syn().mss(1460).sack_permitted().timestamps(tsval, 0).window_scale(7);
  };
  EXPECT_EQ(judge_syn(whole().build()), Fault::none);
  EXPECT_EQ(judge_syn(whole().flags(kSyn | kEce | kCwr).build()), Fault::none) << "asks for ECN";
  EXPECT_EQ(judge_syn(whole().build(), Offer{.timestamps = false}), Fault::none) << "asks for more";
  EXPECT_EQ(judge_syn(whole().seq(7).build()), Fault::seq);
  EXPECT_EQ(judge_syn(whole().ack(1).build()), Fault::flags);
  EXPECT_EQ(judge_syn(syn().mss(1460).sack_permitted().timestamps(1, 0).window_scale(7).build()),
            Fault::tsval);
  EXPECT_EQ(judge_syn(syn().mss(1460).timestamps(tsval, 0).window_scale(7).build()), Fault::options)
      << "SACK lost on the way";
  EXPECT_EQ(
      judge_syn(syn().mss(9000).sack_permitted().timestamps(tsval, 0).window_scale(7).build()),
      Fault::options)
      << "larger segments than the client takes";
}

TEST(WireSynStamp, StampedSynIsWholeAndItsClientsOwn) {
  Random random(7);
  for (const bool ipv6 : {false, true}) {
    for (const bool timestamps : {false, true}) {
      const Offer offer{.timestamps = timestamps};
      const SynStamp stamp(ipv6, offer);
      Bytes frame(stamp.blank().begin(), stamp.blank().end());
      for (int i = 0; i < 1000; ++i) {
        const Tuple client{address_of(random.next(), ipv6, false),
                           static_cast<std::uint16_t>(random.next() | kFirstPort)};
        const Numbers numbers = numbers_of(client);
        stamp.stamp(frame.data(), client, numbers);
        const auto d = test::decode(frame);
        ASSERT_TRUE(d);
        EXPECT_TRUE(d->checksums_good);
        EXPECT_EQ(d->source_port, client.port);
        EXPECT_EQ(d->seq, numbers.isn);
        EXPECT_EQ(d->flags, kSyn);
        EXPECT_EQ(d->mss, mss_of(ipv6));
        EXPECT_EQ(d->window_scale, 7);
        EXPECT_TRUE(d->sack_permitted);
        ASSERT_EQ(d->timestamps.size(), timestamps ? 1U : 0U);
        if (timestamps) {
          EXPECT_EQ(d->tsval(), numbers.tsval);
        }
        Incoming in;
        ASSERT_EQ(read_segment(frame, Towards::kServer, in), Fault::none);
        EXPECT_EQ(in.client.address, client.address);
        EXPECT_FALSE(is_played(in.client.address, ipv6));
      }
    }
  }
}

TEST(WireSegment, WrittenSegmentsAreRightByTheTestsOwnDecoder) {
  const Payload payload(1001);
  for (const bool ipv6 : {false, true}) {
    for (const Towards towards : {Towards::kServer, Towards::kClient}) {
      Outgoing out;
      out.ipv6 = ipv6;
      out.towards = towards;
      out.client = ipv6 ? kClient6 : kClient4;
      out.seq = 1;
      out.ack = 2;
      out.flags = kPsh | kAck;
      out.timestamps = true;
      out.tsval = 3;
      out.tsecr = 4;
      out.payload = &payload;
      Bytes frame(kMaxHeaders + payload.bytes.size());
      frame.resize(write_segment(frame.data(), out));
      const auto d = test::decode(frame);
      ASSERT_TRUE(d);
      EXPECT_TRUE(d->checksums_good);
      EXPECT_EQ(d->payload, payload.bytes);
      EXPECT_EQ(d->seq, 1U);
      EXPECT_EQ(d->ack, 2U);
      EXPECT_EQ(d->tsval(), 3U);
      EXPECT_EQ(d->tsecr(), 4U);
      Incoming in;
      ASSERT_EQ(read_segment(frame, towards, in), Fault::none);
      EXPECT_EQ(in.client.port, out.client.port);
      EXPECT_EQ(check_checksums(in), Fault::none);
      EXPECT_EQ(in.payload.size(), payload.bytes.size());
    }
  }
}

}  // namespace
}  // namespace synproxy::generator
