// SPDX-License-Identifier: BSD-3-Clause
#include "control/felt.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "control/view.h"

namespace synproxy::control {
namespace {

// 203.0.113.10:80, [2001:db8::10]:443 in VLAN 7.
constexpr FeltService::Name kWeb{0x0a7100cb, 0, 80};
constexpr FeltService::Name kMail{0xb80d0120, 0x1000000000000000,
                                  std::uint64_t{7 | 1U << 24} << 32 | FeltService::kIpv6 | 443};

class FeltTest : public testing::Test {
 protected:
  FeltTest() {
    for (const auto& counters : counters_) source_.workers.push_back(counters.get());
  }
  void name(std::size_t worker, std::size_t place, const FeltService::Name& name) {
    FeltService& service = counters_[worker]->felt.services[place];
    for (std::size_t i = 0; i < name.size(); ++i) service.name[i].set(name[i]);
    service.version += 2;
  }
  void handshake(std::size_t worker, std::size_t place, std::uint32_t ms) {
    counters_[worker]->felt.services[place].felt.handshake.add(ms);
    counters_[worker]->felt.all.handshake.add(ms);
  }

  std::array<std::unique_ptr<Counters>, 2> counters_{std::make_unique<Counters>(),
                                                     std::make_unique<Counters>()};
  std::array<std::string, 2> names_{"shop", "mail"};
  FeltSource source_{.workers = {}, .names = names_};
};

TEST(TimesSum, AQuantileLiesInItsRange) {
  FeltTimes counted;
  EXPECT_FALSE(TimesSum().within_ms(0.5).has_value());
  for (const std::uint32_t ms : {0U, 1U, 52U, 60U, 70U, 75U, 76U, 90U, 100U, 9999U})
    counted.add(ms);
  TimesSum times;
  for (std::size_t i = 0; i < kFeltRanges; ++i) times.ranges[i] = counted.ranges[i].get();
  EXPECT_EQ(times.count(), 10U);
  EXPECT_DOUBLE_EQ(times.within_ms(0.1).value_or(0), 0.5);
  EXPECT_DOUBLE_EQ(times.within_ms(0.2).value_or(0), 1);
  EXPECT_DOUBLE_EQ(times.within_ms(0.5).value_or(0), 50 + 25 * 0.75);
  EXPECT_DOUBLE_EQ(times.within_ms(0.9).value_or(0), 100);
  EXPECT_DOUBLE_EQ(times.within_ms(0.99).value_or(0), 5000) << "and above";
}

TEST(TimesSum, ABoundBelongsToTheRangeBelowIt) {
  for (std::size_t i = 0; i < kFeltBoundsMs.size(); ++i) {
    EXPECT_EQ(felt_range(kFeltBoundsMs[i]), i);
    EXPECT_EQ(felt_range(kFeltBoundsMs[i] + 1), i + 1);
  }
  EXPECT_EQ(felt_range(0), 0U);
  EXPECT_EQ(felt_range(~0U), kFeltRanges - 1);
}

TEST_F(FeltTest, AServiceIsTheSumOfItsPlacesInAllWorkers) {
  name(0, 3, kWeb);
  name(1, 0, kMail);
  name(1, 1, kWeb);
  handshake(0, 3, 10);
  handshake(1, 1, 20);
  handshake(1, 0, 500);
  counters_[0]->felt.other.handshake.add(7);
  counters_[1]->felt.services[0].version += 1;  // it is being renamed
  auto got = felt_by_service(source_);
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].service, "203.0.113.10:80");
  EXPECT_EQ(got[0].felt.handshake.count(), 2U);
  EXPECT_EQ(got[0].felt.handshake.sum_ms, 30U);
  EXPECT_EQ(got[1].service, "other");
  EXPECT_EQ(got[1].felt.handshake.sum_ms, 7U);
  counters_[1]->felt.services[0].version += 1;
  got = felt_by_service(source_);
  ASSERT_EQ(got.size(), 3U);
  EXPECT_EQ(got[1].service, "[2001:db8::10]:443 in VLAN 7");
  EXPECT_EQ(felt_by_all(source_).handshake.sum_ms, 530U);
}

TEST_F(FeltTest, AServiceWithANameIsCalledByIt) {
  name(0, 0, {2, 0, FeltService::kNamed});
  name(1, 5, {2, 0, FeltService::kNamed});
  handshake(0, 0, 3);
  handshake(1, 5, 4);
  const auto got = felt_by_service(source_);
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].service, "mail");
  EXPECT_EQ(got[0].felt.handshake.sum_ms, 7U);
}

TEST_F(FeltTest, LatelyIsTheLastMinute) {
  name(0, 0, kWeb);
  FeltLately lately;
  handshake(0, 0, 10);
  std::uint64_t now = 1'700'000'000'000;
  lately.note(source_, now);
  handshake(0, 0, 20);
  const auto count = [&] { return lately.now(source_).front().felt.handshake.count(); };
  for (int s = 0; s < 60; ++s) {
    lately.note(source_, now += 1000);
    // At first there is no minute yet, and everything counts.
    EXPECT_EQ(count(), s < 59 ? 2U : 1U) << s;
  }
  const auto got = lately.now(source_);
  ASSERT_EQ(got.size(), 2U) << "others had none";
  EXPECT_EQ(got[0].service, "all");
  EXPECT_EQ(got[1].service, "203.0.113.10:80");
  EXPECT_EQ(got[1].felt.handshake.sum_ms, 20U);
  for (int s = 0; s < 10; ++s) lately.note(source_, now += 1000);
  EXPECT_EQ(count(), 0U);
  EXPECT_EQ(lately.now(source_).size(), 1U);
}

TEST_F(FeltTest, JsonHasNullWhereNothingWasMeasured) {
  name(0, 0, kWeb);
  FeltLately lately;
  lately.note(source_, 1);
  for (int i = 0; i < 10; ++i) handshake(0, 0, 75);
  counters_[0]->felt.services[0].felt.syn_repeats.add(3);
  const auto got = felt_json(lately.now(source_)).at(1);
  EXPECT_EQ(
      got.dump(),
      R"({"service":"203.0.113.10:80","handshake_ms":{"count":10,"p50":62.5,"p90":72.5,"p99":74.8},)"
      R"("first_byte_ms":{"count":0,"p50":null,"p90":null,"p99":null},"syn_repeats":3})");
  EXPECT_EQ(ms_text(got.at("handshake_ms").at("p50")), "62 ms");
  EXPECT_EQ(ms_text(got.at("first_byte_ms").at("p50")), "-");
  EXPECT_EQ(ms_text(1234.0), "1.2 s");
  EXPECT_EQ(ms_text(0.5), "0.5 ms");
}

}  // namespace
}  // namespace synproxy::control
