// SPDX-License-Identifier: BSD-3-Clause
// The filter and its translation take the same frames. Loading the translation takes rights.
#include "dataplane/classic_filter.h"

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "dataplane/syn_filter.h"
#include "support/packet_builder.h"
#include "support/rounds.h"

namespace synproxy::dataplane {
namespace {

using test::Bytes;
using test::PacketBuilder;

// A pair of sockets: what is sent comes out if the filter at the other end takes it.
class Way {
 public:
  Way() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends_.data()), 0); }
  ~Way() {
    for (const int end : ends_) ::close(end);
  }
  Way(const Way&) = delete;
  Way& operator=(const Way&) = delete;

  void attach(int option, const void* what, socklen_t size) const {
    ASSERT_EQ(::setsockopt(ends_[1], SOL_SOCKET, option, what, size), 0);
  }
  // Bytes that come out; -1: nothing does.
  [[nodiscard]] ssize_t passes(const Bytes& frame) const {
    static_cast<void>(::send(ends_[0], frame.data(), frame.size(), 0));
    std::array<std::uint8_t, 2048> room;
    return ::recv(ends_[1], room.data(), room.size(), MSG_DONTWAIT);
  }

 private:
  std::array<int, 2> ends_{};
};

std::vector<ProtectRule> rules() {
  return {parse_protect_rule("203.0.113.10:80"), parse_protect_rule("203.0.113.64/26:8000-8099"),
          parse_protect_rule("[2001:db8::10]:443"), parse_protect_rule("2001:db8:5::/48")};
}

class ClassicFilter : public ::testing::Test {
 protected:
  // False: this process may not load programs.
  [[nodiscard]] static bool load(const SocketFilter& filter, Descriptor& program) {
    const auto code = extended(filter);
    program = Descriptor(::bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "test", "Dual BSD/GPL",
                                         code.data(), code.size(), nullptr));
    return program.get() >= 0;
  }
};

TEST_F(ClassicFilter, TheTranslationTakesTheSameFrames) {
  std::mt19937 dice(11);
  const auto roll = [&](std::uint32_t n) { return static_cast<std::uint32_t>(dice()) % n; };
  SourceWindow half;
  half.key = {0x12345678, 0x9abcdef1, 0x0fedcba9};
  half.edge = 0x40000000;
  half.share = 0x80000000;
  unsigned taken = 0;
  for (const SocketFilter& filter :
       {all_but_syns_filter(rules()), syn_filter(rules(), {}), syn_filter(rules(), half)}) {
    Descriptor program;
    if (!load(filter, program)) GTEST_SKIP() << "no right to load programs into the kernel";
    Way classic;
    Way translated;
    const sock_fprog all{static_cast<unsigned short>(filter.size()),
                         const_cast<sock_filter*>(filter.data())};
    classic.attach(SO_ATTACH_FILTER, &all, sizeof all);
    const int fd = program.get();
    translated.attach(SO_ATTACH_BPF, &fd, sizeof fd);
    for (int i = 0; i < test::rounds(3'000); ++i) {
      const bool ipv6 = roll(2) != 0;
      PacketBuilder b;
      const char* const servers4[] = {"203.0.113.10", "203.0.113.70", "203.0.113.200"};
      const char* const servers6[] = {"2001:db8::10", "2001:db8:5::1", "2001:db8:6::1"};
      const std::string client = ipv6 ? "2001:db8:1::" + std::to_string(1 + roll(9'000))
                                      : "198.51.100." + std::to_string(roll(256));
      b.ip(client, ipv6 ? servers6[roll(3)] : servers4[roll(3)]);
      const std::uint16_t ports[] = {80, 443, 8000, 8099, 8100};
      b.ports(static_cast<std::uint16_t>(roll(65'536)), ports[roll(5)]);
      b.flags(static_cast<std::uint16_t>(roll(3) == 0 ? roll(512) : kSyn));
      if (roll(4) == 0) b.payload(Bytes(roll(64), 'x'));
      Bytes frame = b.build();
      if (roll(4) == 0)
        frame[roll(static_cast<std::uint32_t>(frame.size()))] ^=
            static_cast<std::uint8_t>(1U << roll(8));
      if (roll(6) == 0) frame.resize(1 + roll(static_cast<std::uint32_t>(frame.size())));
      const ssize_t expected = classic.passes(frame);
      ASSERT_EQ(translated.passes(frame), expected) << i;
      taken += expected > 0 ? 1 : 0;
    }
  }
  EXPECT_GT(taken, 500U);
}

TEST_F(ClassicFilter, WhatHasNoTranslationIsRefused) {
  const sock_filter scratch[] = {{BPF_ST, 0, 0, 0}, {BPF_RET | BPF_K, 0, 0, 0}};
  EXPECT_THROW(static_cast<void>(extended(scratch)), std::invalid_argument);
  const sock_filter out[] = {{BPF_JMP | BPF_JA, 0, 0, 7}};
  EXPECT_THROW(static_cast<void>(extended(out)), std::invalid_argument);
}

}  // namespace
}  // namespace synproxy::dataplane
