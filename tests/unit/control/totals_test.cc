// SPDX-License-Identifier: BSD-3-Clause
#include "control/totals.h"

#include <gtest/gtest.h>

namespace synproxy::control {
namespace {

TEST(Totals, SumWorkersAndTellDropsApart) {
  Counters a;
  Counters b;
  dataplane::IoCounters io;
  a.count(Reason::syn_received, 10);
  b.count(Reason::syn_received, 5);
  a.count(Reason::cookie_invalid, 3);  // a drop
  b.count(Reason::land, 2);            // a drop
  b.count(Reason::translated, 100);    // not one
  a.flows.set(7);
  b.flows.set(8);
  io.tx_dropped[0].add(1);
  io.tx_dropped[1].add(10);
  io.hand_over_full.add(100);
  io.no_buffer.add(1000);
  Totals totals;
  totals.add(a, io);
  totals.add(b, dataplane::IoCounters());
  EXPECT_EQ(totals.get(Reason::syn_received), 15U);
  EXPECT_EQ(totals.flows, 15U);
  EXPECT_EQ(totals.drops(), 1111U + 5U);
}

TEST(Totals, RatesAreOverTheTimeThatPassed) {
  Counters counters;
  const dataplane::IoCounters io;
  Totals before;
  before.add(counters, io);
  counters.count(Reason::syn_received, 3000);
  counters.count(Reason::synack_sent, 2999);
  counters.count(Reason::cookie_valid, 20);
  counters.count(Reason::cookie_invalid, 4);
  counters.flows.set(12);
  Totals after;
  after.add(counters, io);
  EXPECT_EQ(rate_line(before, after, 2000),
            "SYN/s 1500, SYN-ACK/s 1500, valid/s 10, invalid/s 2, flows 12, drops/s 2");
  EXPECT_EQ(rate_line(before, after, 1),
            "SYN/s 3000000, SYN-ACK/s 2999000, valid/s 20000, invalid/s 4000, flows 12, "
            "drops/s 4000");
}

TEST(Totals, SummaryIsOneLine) {
  Counters counters;
  counters.count(Reason::syn_received, 9);
  counters.count(Reason::synack_sent, 8);
  counters.count(Reason::cookie_valid, 7);
  counters.count(Reason::cookie_invalid, 6);
  counters.count(Reason::conn_established, 5);
  counters.count(Reason::conn_reopened, 4);
  counters.flows.set(3);
  Totals totals;
  totals.add(counters, dataplane::IoCounters());
  EXPECT_EQ(summary_line(totals, 61'999),
            "stopped after 61 s: SYN 9, SYN-ACK 8, valid 7, invalid 6, spliced 5, reopened 4, "
            "flows left 3, drops 6");
}

}  // namespace
}  // namespace synproxy::control
