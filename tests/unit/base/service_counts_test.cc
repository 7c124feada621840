// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/base/service_counts.h"

#include <gtest/gtest.h>

namespace synproxy {
namespace {

// What a service shows has to be of its own port, so what has none counts among all alone.
TEST(CountsPerService, WhatHasAPortOrHappensToAConnection) {
  for (const Reason r : {Reason::translated, Reason::synack_sent, Reason::cookie_invalid,
                         Reason::limit_conns, Reason::conn_established, Reason::cookie_valid}) {
    EXPECT_TRUE(counts_per_service(r)) << info(r).name;
  }
  for (const Reason r : {Reason::fragment, Reason::icmp_invalid, Reason::bad_ip_header,
                         Reason::syn_shed, Reason::flow_resumed}) {
    EXPECT_FALSE(counts_per_service(r)) << info(r).name;
  }
}

TEST(CountsPerService, NothingThatTheProxyMakes) {
  for (std::size_t r = 0; r < kReasonCount; ++r) {
    if (kReasons[r].kind != ReasonKind::MADE) continue;
    EXPECT_FALSE(counts_per_service(static_cast<Reason>(r))) << kReasons[r].name;
  }
}

}  // namespace
}  // namespace synproxy
