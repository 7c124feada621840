// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/topology.h"

#include <gtest/gtest.h>

#include <array>

namespace synproxy::dataplane {
namespace {

// What a worker relies on, whatever the topology: all frames are there, those of clients in front,
// and what is for a role leaves by a port by which that role is reached.
TEST(Topology, FramesOfOnePortAreToldApartByTheirSender) {
  std::array<rte_mbuf*, 3> frames{};
  for (const PortId in : kAllPorts) {
    const auto [clients, servers] =
        Topology::by_sender(in, frames.data(), static_cast<std::uint16_t>(frames.size()));
    EXPECT_EQ(clients + servers, 3);
    EXPECT_EQ(clients != 0, Topology::may_send_by(Role::kClient, in));
    EXPECT_EQ(servers != 0, Topology::may_send_by(Role::kServer, in));
  }
}

TEST(Topology, InlineEachPortBelongsToTheRoleThatItsFlagNames) {
  EXPECT_EQ(InlineTopology::out_port(Role::kClient), PortId::kClient);
  EXPECT_EQ(InlineTopology::out_port(Role::kServer), PortId::kServer);
  EXPECT_FALSE(InlineTopology::may_send_by(Role::kServer, PortId::kClient));
  EXPECT_FALSE(InlineTopology::may_send_by(Role::kClient, PortId::kServer));
}

// What passes goes on by the other port, what is answered goes back: two mistakes that a table of
// two entries can hide from each other.
TEST(Topology, InlineWhatPassesLeavesByTheOtherPortAndAnswersGoBack) {
  for (const PortId in : kAllPorts) {
    std::array<rte_mbuf*, 1> frame{};
    const auto senders = InlineTopology::by_sender(in, frame.data(), 1);
    const Role sender = senders.clients == 1 ? Role::kClient : Role::kServer;
    EXPECT_EQ(InlineTopology::out_port(sender), in);
    EXPECT_NE(InlineTopology::out_port(other(sender)), in);
  }
}

}  // namespace
}  // namespace synproxy::dataplane
