// SPDX-License-Identifier: BSD-3-Clause
#include "control/limit_text.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace synproxy::control {
namespace {

template <typename Limit>
std::string read(const std::vector<std::string>& texts) {
  LimitList<Limit> list;
  try {
    for (const std::string& text : texts) add_limit(list, text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  std::string all;
  for (const Limit& limit : list.in_use()) all += (all.empty() ? "" : " ") + limit_text(limit);
  return all;
}

struct Row {
  std::vector<std::string> texts;
  const char* result;
};

TEST(LimitText, Rates) {
  const Row rows[] = {
      {{"100/second"}, "100/second,burst=5,mask4=32,mask6=64"},
      {{"100/s"}, "100/second,burst=5,mask4=32,mask6=64"},
      {{"7/min,burst=9"}, "7/minute,burst=9,mask4=32,mask6=64"},
      {{"7/h,mask4=24,burst=1"}, "7/hour,burst=1,mask4=24,mask6=64"},
      {{"1/day,mask6=48"}, "1/day,burst=5,mask4=32,mask6=48"},
      {{"100/second", "1000/second,mask4=24,mask6=48"},
       "100/second,burst=5,mask4=32,mask6=64 1000/second,burst=5,mask4=24,mask6=48"},
      {{"100/second", "1000/hour"},
       "100/second,burst=5,mask4=32,mask6=64 1000/hour,burst=5,mask4=32,mask6=64"},
      {{""}, "its rate is empty"},
      {{"0/second"}, "its rate is too small"},
      {{"1000001/second"}, "its rate is too large"},
      {{"100"}, "has no unit: second, minute, hour or day"},
      {{"100/"}, "has no unit: second, minute, hour or day"},
      {{"100/week"}, "has no unit: second, minute, hour or day"},
      {{"-1/second"}, "its rate is negative"},
      {{"100/second,burst"}, "burst is empty"},
      {{"100/second,burst=0"}, "burst is too small"},
      {{"100/second,burst=1,burst=2"}, "has burst twice"},
      {{"100/second,mask4=33"}, "mask4 is too large"},
      {{"100/second,mask6=129"}, "mask6 is too large"},
      {{"100/second,mask=24"}, "has 'mask=24', which is none of burst, mask4 and mask6"},
      {{"1/day,burst=100000"}, "has a burst that takes years to earn back; give a smaller burst"},
      {{"60/minute", "1/second,burst=7"},
       "repeats a rate with the same masks; leave one of them out"},
      {{"1/s", "2/s", "3/s", "4/s", "5/s"},
       "is one more than the 4 that there may be; leave it out"},
  };
  for (const Row& row : rows) EXPECT_EQ(read<RateLimit>(row.texts), row.result);
}

TEST(LimitText, Connections) {
  const Row rows[] = {
      {{"128"}, "128,mask4=32,mask6=64"},
      {{"1,mask4=0"}, "1,mask4=0,mask6=64"},
      {{"128", "512,mask4=24,mask6=48"}, "128,mask4=32,mask6=64 512,mask4=24,mask6=48"},
      {{"0"}, "its number is too small"},
      {{"many"}, "its number is not a number"},
      {{"128,burst=1"}, "has 'burst=1', which is none of mask4 and mask6"},
      {{"128", "64"}, "has the masks of another one; leave the larger one out"},
  };
  for (const Row& row : rows) EXPECT_EQ(read<ConnsLimit>(row.texts), row.result);
}

TEST(LimitText, ReplyRates) {
  const auto result = [](std::string_view text) {
    try {
      return reply_rate_text(parse_reply_rate(text));
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(result("1000"), "1000,mask4=32,mask6=64");
  EXPECT_EQ(result("1,mask6=48,mask4=24"), "1,mask4=24,mask6=48");
  EXPECT_EQ(result("off"), "off");
  EXPECT_EQ(result("off,mask4=24"), "is off and has masks; leave one of the two out");
  EXPECT_EQ(result("0"), "its number is too small");
  EXPECT_EQ(result("10000001"), "its number is too large");
  EXPECT_EQ(result("1000/second"), "its number has '/second' after the number");
  EXPECT_EQ(result("5,mask4=33"), "mask4 is too large");
  EXPECT_EQ(result("5,burst=3"), "has 'burst=3', which is none of mask4 and mask6");
}

TEST(LimitText, ServerBacklogs) {
  const auto result = [](std::string_view text) {
    try {
      return server_backlog_text(parse_server_backlog(text));
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(result("128"), "128,mask4=32,mask6=64");
  EXPECT_EQ(result("auto"), "auto,mask4=32,mask6=64");
  EXPECT_EQ(result("auto,mask4=24,mask6=48"), "auto,mask4=24,mask6=48");
  EXPECT_EQ(result("65535"), "65535,mask4=32,mask6=64");
  EXPECT_EQ(result("off"), "off");
  EXPECT_EQ(result("off,mask4=24"), "is off and has masks; leave one of the two out");
  EXPECT_EQ(result("0"), "its number is too small");
  EXPECT_EQ(result("65536"), "its number is too large");
  EXPECT_EQ(result("automatic"), "its number is not a number");
  EXPECT_EQ(result("5,burst=3"), "has 'burst=3', which is none of mask4 and mask6");
}

TEST(LimitText, MonitoredRules) {
  EXPECT_EQ(monitored_text(parse_monitored("limit-conns,limit-rate")), "limit-rate,limit-conns");
  EXPECT_EQ(monitored_text(parse_monitored("limit-conns")), "limit-conns");
  EXPECT_EQ(monitored_text(parse_monitored("reply-rate,limit-rate")), "limit-rate,reply-rate");
  EXPECT_EQ(monitored_text(parse_monitored("server-backlog,deny")), "deny,server-backlog");
  EXPECT_EQ(monitored_text(parse_monitored("deny-file,mode")), "deny,mode");
  EXPECT_EQ(monitored_text(parse_monitored("fragments,unknown")), "unknown,fragments");
  EXPECT_EQ(parse_monitored("off"), 0);
  EXPECT_THROW((void)parse_monitored(""), std::invalid_argument);
  EXPECT_THROW((void)parse_monitored("limit-rate,nothing"), std::invalid_argument);
}

TEST(LimitText, Prefixes) {
  const std::uint8_t address[16] = {0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 0xff, 0xff, 0xff};
  EXPECT_EQ(prefix_text(refused_source(address, true, {.ipv4 = 24, .ipv6 = 36})),
            "2001:db8:f000::/36");
  EXPECT_EQ(prefix_text(refused_source(address, false, {.ipv4 = 32, .ipv6 = 36})), "32.1.13.184");
  EXPECT_EQ(prefix_text(refused_source(address, false, {.ipv4 = 0, .ipv6 = 36})), "0.0.0.0/0");
}

}  // namespace
}  // namespace synproxy::control
