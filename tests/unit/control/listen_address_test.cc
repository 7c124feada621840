// SPDX-License-Identifier: BSD-3-Clause
#include "control/listen_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

#include "base/errors.h"
#include "local_http.h"

namespace synproxy::control {
namespace {

using testing::HasSubstr;

TEST(ListenAddress, IsReadInEveryForm) {
  struct Row {
    const char* text;
    const char* address;
    std::uint16_t port;
    bool ipv6;
  };
  for (const Row& row :
       {Row{"9100", "127.0.0.1", 9100, false}, Row{"1", "127.0.0.1", 1, false},
        Row{"192.0.2.5:65535", "192.0.2.5", 65535, false}, Row{"0.0.0.0:80", "0.0.0.0", 80, false},
        Row{"[::1]:9100", "::1", 9100, true}, Row{"[::]:9100", "::", 9100, true},
        Row{"[2001:db8::5]:1024", "2001:db8::5", 1024, true}}) {
    const ListenAddress got = parse_listen_address(row.text);
    EXPECT_EQ(got.text, row.text);
    EXPECT_EQ(got.address, row.address) << row.text;
    EXPECT_EQ(got.port, row.port) << row.text;
    EXPECT_EQ(got.ipv6, row.ipv6) << row.text;
  }
}

TEST(ListenAddress, ABadOneIsRefusedWithWhatIsWrong) {
  struct Row {
    const char* text;
    const char* wrong;
  };
  for (const Row& row :
       {Row{"", "is empty"}, Row{"0", "too small"}, Row{"65536", "too large"},
        Row{"localhost", "has no port"}, Row{"127.0.0.1", "has no port"},
        Row{"localhost:9100", "'localhost' is no IPv4 address"}, Row{"127.0.0.1:", "is empty"},
        Row{":9100", "'' is no IPv4 address"}, Row{"127.0.0.256:9100", "no IPv4 address"},
        Row{"127.0.0.1:http", "is not a number"}, Row{"127.0.0.1:-1", "is negative"},
        Row{"::1:9100", "without brackets"}, Row{"[::1]", "has no port after the brackets"},
        Row{"[::1]9100", "has no port after"}, Row{"[]:9100", "'' is no IPv6 address"},
        Row{"[127.0.0.1]:9100", "no IPv6 address"}, Row{"[", "has no port"},
        Row{"[:1", "has no port after the brackets"}}) {
    try {
      static_cast<void>(parse_listen_address(row.text));
      ADD_FAILURE() << row.text << " was taken";
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), HasSubstr(row.wrong)) << row.text;
    }
  }
}

TEST(ListenAddress, APortInUseAndAForeignAddressAreTheUsersToMend) {
  const int first = listen_at(parse_listen_address(test::free_address()));
  const std::string taken = test::address_of(first);
  for (const auto& [text, wrong] :
       {std::pair(taken, "another program listens there"),
        std::pair(std::string("192.0.2.77:9100"), "is no address of this machine")}) {
    try {
      ::close(listen_at(parse_listen_address(text)));
      ADD_FAILURE() << text << " was taken";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), HasSubstr("--metrics " + text + ": " + wrong));
    }
  }
  EXPECT_THROW(::close(listen_at(parse_listen_address(taken))), AddressTaken);
  ::close(first);
}

}  // namespace
}  // namespace synproxy::control
