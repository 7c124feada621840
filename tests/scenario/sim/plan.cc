// SPDX-License-Identifier: BSD-3-Clause
#include "plan.h"

#include <algorithm>

#include "dice.h"

namespace synproxy::test::sim {
namespace {

LinkPlan make_link(Dice& d, bool clean) {
  LinkPlan l;
  l.delay = d.chance(30) ? 0 : d(40);
  if (clean) return l;
  l.drop = d.chance(40) ? 0 : d(100);
  l.duplicate = d.chance(50) ? 0 : d(100);
  l.corrupt = d.chance(60) ? 0 : d(50);
  l.mark_ce = d.chance(50) ? 0 : d(200);
  l.jitter = d.chance(40) ? 0 : d(60);
  return l;
}

std::optional<std::uint8_t> make_scale(Dice& d) {
  if (d.chance(20)) return std::nullopt;
  return static_cast<std::uint8_t>(d.chance(50) ? 7 : d(15));
}

Mischief make_mischief(Dice& d) {
  Mischief m;
  if (d.chance(25)) return m;
  const auto some = [&](std::uint32_t most) { return d.chance(60) ? 0 : d(most); };
  m.shuffle = some(500);
  m.overlap = some(400);
  m.stale = some(60);
  m.keepalive = some(300);
  m.urgent = some(300);
  m.odd_options = some(1000);
  m.wild_rst = some(60);
  m.shrink = some(150);
  m.dsack = some(1000);
  m.syn_data = d.chance(15);
  m.ack_data = d.chance(40);
  m.ignores_rst_in_time_wait = d.chance(20);
  return m;
}

void make_hosts(Dice& d, Plan& p, bool lwip_is_there) {
  HostPlan& c = p.client;
  c.ipv6 = d.chance(40);
  c.address = parse_address(c.ipv6 ? "2001:db8:1::7" : "198.51.100.7");
  c.peer = parse_address(c.ipv6 ? "2001:db8::10" : "203.0.113.10");
  c.port = static_cast<std::uint16_t>(1024 + d(60'000));
  c.peer_port = 80;
  c.mac = kClientMac;
  c.peer_mac = kServerMac;
  const unsigned tags = d.chance(50) ? 0 : 1 + d(2);
  for (unsigned i = 0; i < tags; ++i) {
    c.tags.push_back({static_cast<std::uint16_t>(d(4096)),
                      i == 0 && tags == 2 ? kEtherTypeQinQ : kEtherTypeVlan});
  }
  p.server = c;
  HostPlan& s = p.server;
  std::swap(s.address, s.peer);
  std::swap(s.port, s.peer_port);
  std::swap(s.mac, s.peer_mac);
  c.timestamps = d.chance(60);
  s.timestamps = d.chance(85);
  c.sack = d.chance(75);
  s.sack = d.chance(75);
  c.ecn = d.chance(30);
  s.ecn = d.chance(60);
  c.scale = make_scale(d);
  s.scale = make_scale(d);
  c.mss = static_cast<std::uint16_t>(d.chance(10) ? 0 : 536 + d(925));
  s.mss = static_cast<std::uint16_t>(d.chance(60) ? 1460 : 536 + d(925));
  c.ts_base = d.word();
  s.ts_base = d.word();
  c.mischief = make_mischief(d);
  s.mischief = make_mischief(d);
  // lwIP's state is global: one end at most.
  const std::uint32_t who = d(100);
  if (lwip_is_there && who < 60) (who < 30 ? c : s).lwip = true;
  for (HostPlan* h : {&c, &s}) {
    if (!h->lwip) continue;
    h->ecn = false;
    h->mischief = {};
    h->mss = std::max<std::uint16_t>(h->mss, 536);  // there is always an MSS option
    // lwIP stops for good if a window is taken back while its data is under way.
    (h == &c ? s : c).mischief.shrink = 0;
  }
}

void make_engine(Dice& d, Plan& p) {
  EngineConfig& e = p.engine;
  e.shape.max_flows = 64;
  e.shape.early_data_memory = d.chance(90) ? 1U << 18 : 4096;
  e.shape.replays_per_epoch = 1U << 12;
  e.tuning.early_window = d.chance(70) ? 14'600 : (d.chance(50) ? 0 : 1 + d(4000));
  e.tuning.close_timeout_ms = 60'000 + d(60'000);  // longer than most repeats of an end wait
  e.tuning.idle_timeout_ms = 400'000;
  e.tuning.server_timeout_ms = 120'000;
  // A client whose handshake ACKs are lost until its cookie has expired is never heard again, so
  // this must not happen with short epochs.
  const LinkPlan& l = p.links[0][1];
  e.shape.epoch_ms = l.drop + l.corrupt == 0 && d.chance(70) ? 8'000 : 64'000;
  p.engine_starts_at = d(e.shape.epoch_ms);  // so that keys rotate in the middle
  // The operator does his part: with few exceptions, nothing is offered that the server lacks.
  e.tuning.offer.mss = p.server.mss;
  if (!p.server.timestamps) e.tuning.offer.timestamps = d.chance(85) ? Offer::kOff : Offer::kAuto;
  if (!p.server.sack && d.chance(50)) e.tuning.offer.sack = Offer::kOff;
  if (p.server.scale && d.chance(50)) e.tuning.offer.window_scale = *p.server.scale;
  if (d.chance(10)) e.tuning.offer.window_scale = static_cast<std::uint8_t>(d(15));
  // lwIP 2.1.3 aborts on data beyond its window, and on a peer whose window is tiny. Its probes of
  // a closed window lack the agreed timestamps, so they prove no cookie.
  if (p.server.lwip) {
    e.tuning.early_window = std::min(e.tuning.early_window, 4U * 1460U);
    e.tuning.offer.window_scale = p.server.scale.value_or(0);
  }
  if (p.client.lwip) e.tuning.early_window = std::max(e.tuning.early_window, 1460U);
  e.tuning.hide_rtt = d.chance(20) ? HideRtt::kOn : HideRtt::kAuto;
  e.tuning.strict_window = p.seed % 4 == 1;
  e.tuning.unknown = p.seed % 2 != 0 ? Unknown::kReset : Unknown::kDrop;
  p.modes = p.seed % 5 == 2;
  p.tight = p.seed % 3 == 1;
}

// The operator knows what the server can do: it takes more connections than a plan has to learn it.
// Dice of its own, so that the rest of the seed's plan does not depend on it.
void make_promises(Plan& p) {
  Dice d(p.seed ^ 0x70726f6d697365ULL);
  OfferConfig& o = p.engine.tuning.offer;
  if (p.server.timestamps && d.chance(70)) o.timestamps = Offer::kOn;
  if (p.server.ecn && d.chance(70)) o.ecn = Offer::kOn;
}

// Dice of its own too.
void make_limits(Plan& p) {
  Dice d(p.seed ^ 0x6c696d697473ULL);
  LimitTuning& t = p.engine.tuning.limits;
  if (d.chance(40)) {
    if (!d.chance(50)) return;
    p.rival = true;
    p.modes = false;  // without cookies nobody is held back
    t.backlog.connections = 1;
    return;
  }
  const SourceMask mask{.ipv4 = static_cast<std::uint8_t>(d(33)),
                        .ipv6 = static_cast<std::uint8_t>(d(129))};
  // There is one client with one pair of ports, so there is never more than one connection.
  if (d.chance(70)) t.conns = {.limits = {{{.connections = 1, .mask = mask}}}, .count = 1};
  // A client that sends nothing is stuck if its handshake ACK is refused.
  const bool may_wait = std::ranges::all_of(
      p.connections, [](const ConnectionPlan& c) { return c.client.bytes != 0; });
  p.over_limits = may_wait && d.chance(60);
  t.rate.count = 1;
  t.rate.limits[0] = {
      .connections = p.over_limits ? 1 + d(3) : 1,
      .period_ms = p.over_limits ? 1000U + d(1500) : 3'600'000U,
      .burst = p.over_limits ? 1 : 1 + static_cast<std::uint32_t>(p.connections.size()),
      .mask = mask};
  if (!p.over_limits) return;
  t.reply = {.per_second = 1 + d(3), .mask = mask};
  // A client that was refused comes again at doubling intervals, and has to do so before its cookie
  // expires.
  p.engine.shape.epoch_ms = 64'000;
}

// Dice of its own too.
void make_offloads(Plan& p) {
  Dice d(p.seed ^ 0x6f66666c6f6164ULL);
  p.offloads = d.chance(70);
}

// Dice of its own too.
void make_lists(Plan& p) {
  Dice d(p.seed ^ 0x6c69737473ULL);
  p.allows_client = p.over_limits && d.chance(30);
  p.denies_rival = p.rival && d.chance(30);
}

// The proxy comes when the first connection has begun, or is about to end.
void make_adoption(Plan& p) {
  Dice d(p.seed ^ 0x61646f7074ULL);
  if (p.seed % 4 != 3 || p.modes || p.rival || p.deaths != 0) return;
  p.adopts_at = 1 + d(d.chance(50) ? 200 : 1'000);
  p.engine.shape.adopt_ms = 10'000'000;
}

void make_router(Plan& p) {
  Dice d(p.seed ^ 0x69636d70ULL);
  if (d.chance(20)) p.icmp = 1 + d(150);
}

std::size_t make_size(Dice& d) {
  if (d.chance(20)) return 0;
  const std::uint32_t most = d.chance(60) ? 300 : (d.chance(80) ? 4'000 : 40'000);
  return d(most);
}

Part make_part(Dice& d, const HostPlan& h) {
  Part p;
  p.buffer = d.chance(60) ? 15'000 + d(100'000) : 1'000 + d(20'000);
  if (h.lwip) p.buffer = std::max<std::uint32_t>(p.buffer, 4 * 1460);
  // An end that cannot say how little room it has left chose the wrong scale.
  p.buffer = std::max(p.buffer, 4U << h.scale.value_or(0));
  p.bytes = make_size(d);
  p.segment = d.chance(85) ? 200 + d(1'260) : 1 + d(60);
  // A stream of tiny segments costs as many packets as it has bytes.
  p.bytes = std::min(p.bytes, p.segment * 60);
  p.speaks_at = d.chance(60) ? 0 : d(2'000);
  if (d.chance(30)) p.reads_permille = 50 + d(900);
  return p;
}

ConnectionPlan make_connection(Dice& d, Plan& p) {
  ConnectionPlan c;
  const std::uint32_t ending = d(100);
  if (ending >= 78) c.ending = Ending::kClientAborts;
  if (ending >= 85) c.ending = Ending::kServerAborts;
  if (ending >= 92) c.ending = Ending::kRefused;
  if (ending >= 97) c.ending = Ending::kSilent;
  c.abort_at = d.chance(50) ? d(300) : d(3'000);
  c.client = make_part(d, p.client);
  c.server = make_part(d, p.server);
  if (c.ending == Ending::kClose && d.chance(10)) c.server_deaf_until = d(4'000);
  if (d.chance(20)) {
    c.client.waits_for_fin = true;
  } else if (d.chance(30)) {
    c.server.waits_for_fin = true;
  }
  const std::uint32_t gap = d(100);
  c.gap = gap < 35   ? Gap::kNone
          : gap < 55 ? Gap::kForgotten
          : gap < 80 ? Gap::kDrained
                     : Gap::kLong;
  return c;
}

}  // namespace

Plan make_plan(std::uint64_t seed, bool lwip_is_there, bool all_die) {
  Dice d(seed);
  Plan p;
  p.seed = seed;
  if (all_die || seed % 8 == 5) p.deaths = 1 + static_cast<unsigned>(seed / 8 % 6);
  p.poison = d.chance(15);
  p.bursts = d.chance(50);
  make_hosts(d, p, lwip_is_there);
  const bool clean = d.chance(15);
  for (auto& side : p.links) {
    for (LinkPlan& l : side) l = make_link(d, clean);
  }
  if (p.client.lwip) {
    // Its fourth attempt comes after 39 s.
    LinkPlan& l = p.links[0][1];
    l.drop = std::min(l.drop, 10U);
    l.corrupt = std::min(l.corrupt, 10U);
  }
  make_engine(d, p);
  const unsigned connections = d.chance(50) ? 1 : 2 + d(3);
  std::uint32_t client_isn = d.word();
  std::uint32_t server_isn = d.word();
  for (unsigned i = 0; i < connections; ++i) {
    ConnectionPlan c = make_connection(d, p);
    c.client.isn = client_isn;
    c.server.isn = server_isn;
    c.server.peer_isn = client_isn;
    // lwIP does not repeat a segment that has become larger than the window, not even as a probe.
    // The scale may make the next window some bytes smaller than that of the SYN-ACK.
    if (p.client.lwip) c.server.buffer = std::max<std::uint32_t>(c.server.buffer, 4 * 1460);
    if (p.server.lwip) c.client.buffer = std::max<std::uint32_t>(c.client.buffer, 4 * 1460);
    // A client that only listens is stuck if its handshake ACK is lost.
    if ((!clean || p.deaths != 0) && c.client.waits_for_fin && c.client.bytes == 0)
      c.client.bytes = 1 + d(300);
    // Data of an aborted connection that comes after the next one's SYN tells the proxy that the
    // old one lives.
    if (c.ending == Ending::kClientAborts && (!clean || p.deaths != 0))
      c.gap = std::max(c.gap, Gap::kDrained);
    p.connections.push_back(c);
    // So far apart that without timestamps no late segment falls into a window, before or behind.
    const auto apart = [&] { return (1U << 24) + d(0xfe000000U); };
    client_isn += apart();
    server_isn += apart();
  }
  make_limits(p);
  make_lists(p);
  make_offloads(p);
  make_adoption(p);
  make_promises(p);
  make_router(p);
  return p;
}

}  // namespace synproxy::test::sim
