// SPDX-License-Identifier: BSD-3-Clause
#include "control/port_name.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace synproxy::control {
namespace {

using Kind = PortName::Kind;

TEST(PortName, IsToldByItsForm) {
  struct Row {
    const char* text;
    Kind kind;
    const char* device;
  };
  const Row rows[] = {
      {"eth1", Kind::kRawSocket, "eth1"},
      {"veth-client.1", Kind::kRawSocket, "veth-client.1"},
      {"network0", Kind::kRawSocket, "network0"},
      {"abcdefghijklmno", Kind::kRawSocket, "abcdefghijklmno"},
      {"xdp:eth1", Kind::kXdp, "eth1"},
      {"host", Kind::kHost, ""},
      {"host0", Kind::kRawSocket, "host0"},
      {"0000:3b:00.0", Kind::kPci, "0000:3b:00.0"},
      {"0000:3B:00.1", Kind::kPci, "0000:3b:00.1"},
      {"3b:00.0", Kind::kPci, "0000:3b:00.0"},
      {"net_tap0", Kind::kVdev, "net_tap0"},
      {"net_memif0,role=server,socket=/run/x.sock", Kind::kVdev,
       "net_memif0,role=server,socket=/run/x.sock"},
      {"virtio_user0,path=/dev/vhost-net", Kind::kVdev, "virtio_user0,path=/dev/vhost-net"},
      {"eth_tap0,iface=t", Kind::kVdev, "eth_tap0,iface=t"},
  };
  for (const Row& row : rows) {
    const PortName port = parse_port_name(row.text);
    EXPECT_EQ(port.kind, row.kind) << row.text;
    EXPECT_EQ(port.device, row.device) << row.text;
    EXPECT_EQ(port.text, row.text);
  }
}

TEST(PortName, RefusesWhatNamesNoDevice) {
  struct Row {
    std::string text;
    const char* because;
  };
  const Row rows[] = {
      {"", "is empty"},
      {"xdp:", "is empty"},
      {",iface=x", "has no driver before its comma"},
      {"abcdefghijklmnop", "is longer than the name of a Linux interface can be"},
      {"xdp:abcdefghijklmnop", "is longer than the name of a Linux interface can be"},
      {"0000:3b:00", "is not a device name of any known form"},
      {"0000:3b:00.g", "is not a device name of any known form"},
      {"xdp:3b:00.0", "is not a device name of any known form"},
      {"../eth0", "is not a device name of any known form"},
      {"..", "is not a device name of any known form"},
      {"eth 0", "has a character that no device name has"},
      {"eth0\n", "has a character that no device name has"},
      {"net_tap0,iface=\"x\"", "has a character that no device name has"},
      {std::string("eth0\0x", 6), "has a character that no device name has"},
  };
  for (const Row& row : rows) {
    try {
      (void)parse_port_name(row.text);
      ADD_FAILURE() << row.text << " was accepted";
    } catch (const std::invalid_argument& error) {
      EXPECT_STREQ(error.what(), row.because) << row.text;
    }
  }
}

TEST(PortName, KnowsOneDeviceUnderTwoNames) {
  struct Row {
    const char* a;
    const char* b;
    bool same;
  };
  const Row rows[] = {
      {"eth0", "eth0", true},
      {"eth0", "xdp:eth0", true},
      {"eth0", "eth1", false},
      {"3b:00.0", "0000:3B:00.0", true},
      {"0000:3b:00.0", "0001:3b:00.0", false},
      {"net_tap0,iface=a", "net_tap0,iface=b", true},
      {"net_tap0", "net_tap1", false},
      {"net_tap0", "net_tap0,iface=b", true},
      {"net_tap", "net_tap0", false},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(same_device(parse_port_name(row.a), parse_port_name(row.b)), row.same)
        << row.a << " " << row.b;
  }
}

}  // namespace
}  // namespace synproxy::control
