// SPDX-License-Identifier: BSD-3-Clause
// A store in which anything may stand, and a next process that finds it, or is handed it over.
//
// An input is a Beginning, which says how far some connections have come and how the next process
// goes on, and then one Damage after the other. What must hold, besides what the sanitizers and the
// harness see:
//   - what is said to be kept is in the table, and nothing outlasts all timeouts;
//   - the bystander, a connection whose record no damage touches, goes on with the right numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "fuzz/require.h"
#include "support/session.h"
#include "synproxy/flow/record.h"

namespace synproxy::fuzz {
namespace {

constexpr unsigned kSessions = 12;
constexpr std::size_t kMostDamages = 64;
// The table's header, then the bystander's record, then those of the others.
constexpr std::size_t kTouchesBystander = 2 * sizeof(FlowRecord);
constexpr std::size_t kRecords = (2 + kSessions) * sizeof(FlowRecord);

struct Beginning {
  std::uint8_t kinds = 0;  // IPv6, tagged, plain, a server that lacks: a bit each, in turn
  std::uint8_t first = 0;  // how far the first one has come
  std::uint8_t step = 0;   // and each next one further
  std::uint8_t way = 0;
};

struct Damage {
  std::uint8_t how = 0;  // low 2 bits: Kind; next 2: bytes less one; highest: anywhere
  std::array<std::uint8_t, 3> at{};
  std::array<std::uint8_t, 4> value{};

  enum class Kind : std::uint8_t { kWrite, kFlip, kCopyOfRecord, kFill };
  [[nodiscard]] Kind kind() const { return static_cast<Kind>(how & 3U); }
  [[nodiscard]] std::size_t length() const { return 1 + (how >> 2 & 3U); }
  [[nodiscard]] std::size_t place(std::size_t size) const {
    const std::size_t n = at[0] + (std::size_t{at[1]} << 8) + (std::size_t{at[2]} << 16);
    if ((how & 0x80U) != 0) return n % (size - sizeof(FlowRecord));
    return kTouchesBystander + n % (kRecords - kTouchesBystander - sizeof(FlowRecord));
  }
};

template <typename T>
std::optional<T> take(std::span<const std::uint8_t>& from) {
  if (from.size() < sizeof(T)) return std::nullopt;
  T out;
  std::memcpy(&out, from.data(), sizeof out);
  from = from.subspan(sizeof out);
  return out;
}

void harm(std::span<std::byte> store, const Damage& d) {
  const std::span<std::byte> there = store.subspan(d.place(store.size()));
  switch (d.kind()) {
    case Damage::Kind::kWrite:
      return void(std::memcpy(there.data(), d.value.data(), d.length()));
    case Damage::Kind::kFlip:
      for (std::size_t i = 0; i < d.length(); ++i) there[i] ^= std::byte{d.value[i]};
      return;
    case Damage::Kind::kCopyOfRecord: {
      const std::size_t record = 1 + d.value[0] % (1 + kSessions);
      return void(
          std::memmove(there.data(), &store[record * sizeof(FlowRecord)], sizeof(FlowRecord)));
    }
    case Damage::Kind::kFill:
      std::ranges::fill(there.first(sizeof(FlowRecord)), std::byte{d.value[0]});
  }
}

test::SessionOptions session_options(const Beginning& b, unsigned n) {
  test::SessionOptions o;
  o.client_port = static_cast<std::uint16_t>(1'000 + n);
  if (((b.kinds >> n % 8) & 1) == 0) return o;
  switch (n % 4) {
    case 0:
      o.ipv6 = true;
      break;
    case 1:
      o.tags = {{100, kEtherTypeQinQ}, {7, kEtherTypeVlan}};
      break;
    case 2:
      o.timestamps = false;
      o.client_scale.reset();
      break;
    default:
      o.server_sack = false;
      o.server_scale = 3;
  }
  return o;
}

void play(test::Session& s, unsigned steps) {
  const std::array<void (*)(test::Session&), 9> all{
      [](test::Session& x) { x.syn(); },
      [](test::Session& x) { x.ack(); },
      [](test::Session& x) { x.syn_ack(); },
      [](test::Session& x) { x.client_sends("GET / HTTP/1.1"); },
      [](test::Session& x) { x.server_sends("200"); },
      [](test::Session& x) { x.client_sends("", kAck); },
      [](test::Session& x) { x.client_sends("", kFin | kAck); },
      [](test::Session& x) { x.server_sends("", kFin | kAck); },
      [](test::Session& x) { x.client_sends("", kAck); }};
  for (unsigned i = 0; i < steps % (all.size() + 1); ++i) all[i](s);
}

void forget_output(test::ProxyHarness& p) {
  p.to_client.clear();
  p.to_server.clear();
}

void run(std::span<const std::uint8_t> input) {
  const Beginning b = take<Beginning>(input).value_or(Beginning{});
  test::HarnessOptions h;
  h.store = true;
  h.protect = {"203.0.113.10", "2001:db8::10"};
  h.engine.shape.max_flows = 2 * kSessions;
  h.engine.shape.replays_per_epoch = 1U << 10;
  test::ProxyHarness p(h);
  test::Session bystander(p, {.client_port = 999});
  bystander.open();
  bystander.client_sends("before");
  std::vector<std::unique_ptr<test::Session>> all;
  for (unsigned n = 0; n < kSessions; ++n) {
    all.push_back(std::make_unique<test::Session>(p, session_options(b, n)));
    play(*all.back(), b.first + n * b.step);
  }
  bool touched = false;
  for (std::size_t n = 0; n < kMostDamages; ++n) {
    const auto d = take<Damage>(input);
    if (!d) break;
    touched = touched || d->place(p.store(0).size()) < kTouchesBystander;
    for (std::size_t e = 0; e < 2; ++e) harm(p.store(e), *d);
  }
  const Found found = b.way % 3 == 0   ? p.die()
                      : b.way % 3 == 1 ? p.hand_over(2 * kSessions)
                                       : p.hand_over(4 * kSessions);
  require(p.flows() == found.kept);
  forget_output(p);
  if (!touched) {
    bystander.client_sends("after");
    bystander.server_sends("and back");
  }
  for (const auto& s : all) {
    p.from_client(s->client(kAck | kPsh).payload("data").build());
    p.from_server(s->server(kAck | kPsh).payload("data").build());
    p.from_client(s->syn_frame());
    p.from_client(s->ack_frame());
  }
  forget_output(p);
  if ((b.way & 0x80U) != 0) p.die();
  // Longer than any timeout, several times: probes, expiry, tombstones.
  for (int i = 0; i < 5; ++i) {
    p.leap(7'600'000);
    forget_output(p);
  }
  require(p.flows() == 0 && p.early_buffers() == 0);
  require(p.counters().flows_embryonic.get() == 0 && p.counters().flows_established.get() == 0);
}

}  // namespace
}  // namespace synproxy::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  testing::GTEST_FLAG(break_on_failure) = true;
  synproxy::fuzz::run({data, size});
  return 0;
}
