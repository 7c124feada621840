// SPDX-License-Identifier: BSD-3-Clause
// Names of ports that cannot work: the line has the flag, the value, what is wrong, and what to do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/errors.h"
#include "dataplane/name_lock.h"
#include "dataplane/proxy_fixture.h"
#include "dataplane/veth_pair.h"

namespace synproxy::tests {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using testing::ThrowsMessage;

void open(const PortName& client, const PortName& server) {
  const ProxyUnderTest proxy(client, server);
}

const PortName kNull = vdev("net_null_errors");

TEST(PortErrors, InterfaceThatDoesNotExist) {
  EXPECT_THAT([] { open(raw("nosuch0"), kNull); },
              ThrowsMessage<UsageError>("--client-port nosuch0: no such interface; 'ip link' lists "
                                        "them"));
  EXPECT_THAT(
      [] {
        open(kNull, {PortName::Kind::kXdp, "xdp:nosuch0", "nosuch0"});
      },
      ThrowsMessage<UsageError>(StartsWith("--server-port xdp:nosuch0: no such interface")));
}

TEST(PortErrors, Loopback) {
  EXPECT_THAT([] { open(raw("lo"), kNull); },
              ThrowsMessage<UsageError>(StartsWith("--client-port lo: not an Ethernet interface")));
}

TEST(PortErrors, PciAddressThatIsNotThere) {
  EXPECT_THAT(
      [] {
        open(kNull, {PortName::Kind::kPci, "ffff:ff:1f.7", "ffff:ff:1f.7"});
      },
      ThrowsMessage<UsageError>(AllOf(StartsWith("--server-port ffff:ff:1f.7: no such PCI device"),
                                      HasSubstr("dpdk-devbind.py"))));
}

TEST(PortErrors, VdevOfUnknownDriver) {
  EXPECT_THAT([] { open(vdev("net_nosuch0"), kNull); },
              ThrowsMessage<UsageError>(
                  AllOf(StartsWith("--client-port net_nosuch0: DPDK cannot open this device: "),
                        HasSubstr("librte-meta-net"), Not(HasSubstr("\n")))));
}

TEST(PortErrors, VdevWithArgumentThatItsDriverRefuses) {
  EXPECT_THAT([] { open(kNull, vdev("net_null_x,colour=blue")); },
              ThrowsMessage<UsageError>(StartsWith("--server-port net_null_x,colour=blue: DPDK "
                                                   "cannot open this device: ")));
  EXPECT_THAT([] { open(kNull, vdev("net_memif7,bsize=0")); },
              ThrowsMessage<UsageError>(StartsWith("--server-port net_memif7,bsize=0: ")));
}

TEST(PortErrors, DeviceThatOpensButDoesNotStart) {
  EXPECT_THAT(
      [] { open(kNull, vdev("net_memif7,role=client,socket=/nosuch/directory/socket")); },
      ThrowsMessage<RuntimeFailure>(
          AllOf(StartsWith("--server-port net_memif7,role=client,socket=/nosuch/directory/socket: "
                           "the device does not start: "),
                Not(HasSubstr("\n")))));
}

TEST(PortErrors, FailedPortLeavesNothingBehind) {
  EXPECT_THROW(open(kNull, vdev("net_nosuch0")), UsageError);
  EXPECT_NO_THROW(open(kNull, vdev("net_null_other")));
}

TEST(PortErrors, CpuThatIsNotOurs) {
  static_cast<void>(shared_eal());
  Config config;
  config.client_port = kNull;
  config.server_port = vdev("net_null_other");
  config.workers = {1023};
  const ProtectSet protect({});
  const KeyRing keys;
  EXPECT_THAT([&] { dataplane::Dataplane(config, protect, keys); },
              ThrowsMessage<UsageError>(StartsWith("--workers 1023: ")));
}

TEST(PortErrors, XdpOnAnInterfaceThatItCannotCarry) {
  if (!own_network_namespace()) GTEST_SKIP() << "needs root: no network namespace";
  const VethPair wide("pe-near", "pe-far", 9000);
  EXPECT_THAT(
      [] {
        open({PortName::Kind::kXdp, "xdp:pe-near", "pe-near"}, kNull);
      },
      ThrowsMessage<UsageError>(
          AllOf(StartsWith("--client-port xdp:pe-near: its MTU of 9000"), HasSubstr("3498"))));
  EXPECT_NO_THROW(open(raw("pe-near"), kNull));
}

TEST(PortErrors, NameThatIsTaken) {
  const std::string name = "synproxy-name-test-" + std::to_string(::getpid());
  {
    const dataplane::NameLock first(name);
    EXPECT_THAT([&] { const dataplane::NameLock second(name); },
                ThrowsMessage<UsageError>("--name " + name +
                                          ": a proxy of this name is running; stop it, or give "
                                          "this one another --name"));
  }
  EXPECT_NO_THROW(dataplane::NameLock{name}) << "free again";
}

}  // namespace
}  // namespace synproxy::tests
