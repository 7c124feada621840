// SPDX-License-Identifier: BSD-3-Clause
// Whole conversations with hostile steps: each input is a list of commands for a few connections.
//
// The test's harness watches: two engines with differently poisoned buffers must say the same,
// every packet has one fate, and at the end nothing is left. Its EXPECTs abort here.
#include <gtest/gtest.h>

#include <array>
#include <memory>

#include "support/session.h"

namespace synproxy {
namespace {

using namespace test;

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : left_(data, size) {}
  [[nodiscard]] bool empty() const { return left_.empty(); }
  std::uint8_t byte() {
    if (left_.empty()) return 0;
    const std::uint8_t b = left_.front();
    left_ = left_.subspan(1);
    return b;
  }
  Bytes bytes(std::size_t n) {
    const auto part = left_.first(std::min(n, left_.size()));
    left_ = left_.subspan(part.size());
    return {part.begin(), part.end()};
  }
  // A difference that matters somewhere: at an edge of a window, of a wrap, of nothing.
  std::uint32_t offset() {
    constexpr std::array<std::uint32_t, 16> kOffsets{
        0,     0,     0,     1,       0xffffffff, 100,        0xffffff9c, 1460,
        14600, 14601, 65535, 0x10000, 0x20000000, 0x80000000, 0xdfffffff, 0xffff0000};
    return kOffsets[byte() % kOffsets.size()];
  }

 private:
  std::span<const std::uint8_t> left_;
};

HarnessOptions small() {
  HarnessOptions h;
  h.engine.max_flows = 8;
  h.engine.early_data_memory = 8192;
  h.protect = {"203.0.113.10:80", "2001:db8::10"};
  return h;
}

SessionOptions options_of(unsigned n, std::uint8_t bits) {
  SessionOptions o;
  o.client_port = static_cast<std::uint16_t>(1000 + n);
  o.ipv6 = n % 2 != 0;
  if (n % 3 == 1) o.tags = {{5, kEtherTypeQinQ}, {6, kEtherTypeVlan}};
  o.client_isn = 0xffffff00U + n * 0x01000000U;
  o.server_isn = 0x7fffff00U - n * 0x02000000U;
  o.timestamps = (bits & 1) != 0;
  o.sack = (bits & 2) != 0;
  o.ecn = (bits & 4) != 0;
  if ((bits & 8) != 0) o.client_scale = std::nullopt;
  if ((bits & 16) != 0) o.server_scale = std::nullopt;
  o.server_timestamps = (bits & 32) == 0;
  o.server_sack = (bits & 64) == 0;
  o.server_ecn = (bits & 128) == 0;
  return o;
}

class Conversation {
 public:
  explicit Conversation(Input input) : in_(input), p_(small()) {}

  void run() {
    for (int steps = 0; steps < 400 && !in_.empty(); ++steps) step();
    flush();
    p_.check_accounts();
    // Longer than any timeout, three times: probes, expiry, tombstones.
    for (int i = 0; i < 4; ++i) p_.leap(7'600'000);
    EXPECT_EQ(p_.flows(), 0U);
    EXPECT_EQ(p_.early_buffers(), 0U);
  }

 private:
  Session& session() {
    auto& slot = sessions_[in_.byte() % sessions_.size()];
    if (!slot) {
      const auto n = static_cast<unsigned>(&slot - sessions_.data());
      slot = std::make_unique<Session>(p_, options_of(n, in_.byte()));
    }
    return *slot;
  }

  void send(Side side, const Bytes& frame) {
    if (!burst_.empty() && burst_side_ != side) flush();
    burst_side_ = side;
    burst_.push_back(frame);
    last_ = frame;
    last_side_ = side;
    if (burst_.size() >= burst_size_) flush();
  }

  void flush() {
    if (burst_.empty()) return;
    p_.feed_burst(burst_side_, burst_);
    burst_.clear();
    learn();
  }

  // What an end takes from the frames that come out: the cookie of its SYN-ACK.
  void learn() {
    for (; !p_.to_client.empty(); p_.to_client.pop_front()) {
      const auto f = decode(p_.to_client.front());
      if (!f || (f->flags & (kSyn | kAck)) != (kSyn | kAck)) continue;
      const auto n = static_cast<std::size_t>(f->destination_port - 1000U);
      if (n >= sessions_.size() || !sessions_[n]) continue;
      sessions_[n]->cookie = f->seq;
      if (!f->timestamps.empty()) sessions_[n]->our_tsval = f->tsval();
    }
    p_.to_server.clear();
  }

  PacketBuilder shaped(PacketBuilder b, std::uint32_t seq, std::uint32_t ack) {
    const std::uint8_t flags = in_.byte();
    b.seq(seq + in_.offset()).ack(ack + in_.offset());
    b.flags(static_cast<std::uint16_t>(flags & 0x3f) | ((flags & 0x40) != 0 ? kEce | kCwr : 0));
    const std::uint8_t shape = in_.byte();
    b.payload(Bytes(std::size_t{shape & 0x0fU} * 100, 'x'));
    if ((shape & 0x10) != 0) b.traffic_class(in_.byte());
    if ((shape & 0x20) != 0) b.break_l4_checksum();
    if ((shape & 0x40) != 0) b.window(static_cast<std::uint16_t>(in_.byte() << 8));
    if ((shape & 0x20) != 0) p_.checksums_must_be_good = false;
    return b;
  }

  void step() {
    const std::uint8_t command = in_.byte();
    switch (command % 13) {
      case 0: {
        Session& c = session();
        c.o.client_isn += in_.offset();
        c.client_nxt = c.o.client_isn + 1;
        c.server_nxt = c.o.server_isn + 1;
        return send(Side::kClient, c.syn_frame());
      }
      case 1:
        return send(Side::kClient, session().ack_frame());
      case 2:
        return send(Side::kServer, session().syn_ack_frame());
      case 3: {
        Session& c = session();
        const std::uint32_t seen = c.seen_by_client(c.server_nxt);
        return send(Side::kClient, shaped(c.client(), c.client_nxt, seen).build());
      }
      case 4: {
        Session& c = session();
        return send(Side::kServer, shaped(c.server(), c.server_nxt, c.client_nxt).build());
      }
      case 5: {  // the ends move on, as after data or a FIN
        Session& c = session();
        c.client_nxt += in_.offset();
        c.server_nxt += in_.offset();
        return;
      }
      case 6: {
        flush();
        constexpr std::array<std::uint32_t, 8> kLeaps{1,      200,    1000,    10'000,
                                                      32'000, 64'000, 100'000, 7'450'000};
        p_.leap(kLeaps[in_.byte() % kLeaps.size()]);
        return learn();
      }
      case 7: {
        const Side side = (in_.byte() & 1) != 0 ? Side::kServer : Side::kClient;
        p_.checksums_must_be_good = false;
        return send(side, in_.bytes(in_.byte()));
      }
      case 8: {  // the last frame again, with a byte changed or its end cut
        Bytes frame = last_;
        const std::uint8_t where = in_.byte();
        if (!frame.empty() && where < frame.size()) frame[where] ^= in_.byte();
        if ((command & 0x40) != 0) frame.resize(frame.size() * in_.byte() / 256);
        p_.checksums_must_be_good = false;
        return send(last_side_, frame);
      }
      case 9: {  // ICMP error about a segment
        Session& c = session();
        const bool to_server = (in_.byte() & 1) != 0;
        PacketBuilder lost = to_server ? c.server() : c.client();
        lost.seq((to_server ? c.seen_by_client(c.server_nxt) : c.client_nxt) + in_.offset());
        PacketBuilder error;
        error.vlans(c.o.tags);
        if (to_server) {
          error.ip(c.o.ipv6 ? "2001:db8:2::1" : "192.0.2.1", c.o.server);
        } else {
          error.ip(c.o.ipv6 ? "2001:db8:2::1" : "192.0.2.1", c.o.client);
        }
        const std::uint8_t type = in_.byte();
        error.icmp_error(type & 0x0f, type >> 4, 1280, lost.build_packet(in_.byte()));
        return send(to_server ? Side::kClient : Side::kServer, error.build());
      }
      case 10: {  // options as the input has them
        Session& c = session();
        const bool to_server = (in_.byte() & 1) != 0;
        PacketBuilder b;
        b.vlans(c.o.tags);
        const Bytes options = in_.bytes(in_.byte() % 41);
        if (to_server) {
          b.ip(c.o.client, c.o.server).ports(c.o.client_port, 80);
          b.seq(c.client_nxt).ack(c.seen_by_client(c.server_nxt)).option(options);
        } else {
          b.ip(c.o.server, c.o.client).ports(80, c.o.client_port);
          b.seq(c.server_nxt).ack(c.client_nxt).option(options);
        }
        if ((command & 0x80) != 0) b.flags(to_server ? kSyn : kSyn | kAck);
        return send(to_server ? Side::kClient : Side::kServer, b.build());
      }
      case 11:
        burst_size_ = 1U + in_.byte() % kMaxBurst;
        return;
      default: {  // the server's own connection
        Session& c = session();
        PacketBuilder b = c.server(kSyn);
        return send(Side::kServer, b.seq(c.o.server_isn).build());
      }
    }
  }

  Input in_;
  ProxyHarness p_;
  std::array<std::unique_ptr<Session>, 12> sessions_;
  std::vector<Bytes> burst_;
  std::size_t burst_size_ = 1;
  Side burst_side_ = Side::kClient;
  Bytes last_;
  Side last_side_ = Side::kClient;
};

}  // namespace
}  // namespace synproxy

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  testing::GTEST_FLAG(break_on_failure) = true;
  synproxy::Conversation(synproxy::Input(data, size)).run();
  return 0;
}
