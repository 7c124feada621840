// SPDX-License-Identifier: BSD-3-Clause
#include "world.h"

#include <algorithm>
#include <cstdio>
#include <span>

namespace synproxy::test::sim {
namespace {

constexpr std::uint64_t kHangs =
    900'000;                              // milliseconds; every timer of either end has run by then
constexpr std::uint64_t kProxyStep = 10;  // the engine's timers are at most this late

bool is_lossless(const Plan& plan) {
  return std::all_of(plan.links.begin(), plan.links.end(), [](const std::array<LinkPlan, 2>& side) {
    return std::all_of(side.begin(), side.end(), [](const LinkPlan& l) {
      return l.drop == 0 && l.corrupt == 0 && l.mark_ce == 0;
    });
  });
}

std::unique_ptr<Peer> make_peer(const HostPlan& plan, std::uint64_t seed) {
  return plan.lwip ? make_lwip_peer(plan) : make_scripted_peer(plan, seed);
}

// The packet around it may have come in fragments.
bool same_segment(const Flight& a, const Flight& b) {
  if (!a.frame || !b.frame) return a.bytes == b.bytes;
  const auto segment = [](const DecodedFrame& f) {
    const auto all = std::span(f.raw).subspan(14 + 4 * f.tags.size() + f.ip_header);
    return all.first(all.size() - f.trailing);
  };
  return std::ranges::equal(segment(*a.frame), segment(*b.frame));
}

Bytes random_bytes(Dice& d, std::size_t n) {
  Bytes b(n);
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (i % 8 == 0) word = d.next();
    b[i] = static_cast<std::uint8_t>(word);
    word >>= 8;
  }
  return b;
}

}  // namespace

World::Host::Host(const HostPlan& p, Role s, std::uint64_t seed, bool peer_is_lwip)
    : plan(p), side(s), peer(make_peer(p, seed)), inspector(p, s == Role::kClient, peer_is_lwip) {}

World::World(const Plan& plan, bool trace)
    : plan_(plan),
      trace_(trace),
      lossless_(is_lossless(plan) && plan.deaths == 0),
      watches_(plan.modes || plan.adopts_at != 0),
      dice_(plan.seed ^ 0x5eed),
      fate_(plan.seed ^ 0xdead),
      links_(plan, plan.seed ^ 0x11),
      router_(plan, plan.seed ^ 0x1c),
      proxy_(plan),
      client_(plan.client, Role::kClient, plan.seed ^ 0xc1, plan.server.lwip),
      server_(plan.server, Role::kServer, plan.seed ^ 0x5e, plan.client.lwip),
      referee_(client_.inspector, server_.inspector, watches_) {
  referee_.set_tight(plan.tight);
}

void World::fail(const std::string& what) {
  if (!failure_.empty() || chance_hit_) return;
  failure_ =
      "connection " + std::to_string(index_) + ", at " + std::to_string(now_) + " ms: " + what;
}

void World::note(const char* where, Role side, const Flight& flight) {
  if (!trace_) return;
  std::printf("%8llu %s %s %s%s%s\n", static_cast<unsigned long long>(now_),
              side == Role::kClient ? "client" : "server", where,
              flight.frame ? flight.frame->to_string().c_str() : "not TCP",
              flight.corrupt ? " (damaged)" : "", flight.made ? " (made)" : "");
}

// By the number that counts the client's stream: that of the connection whose ISN lies next below
// it.
Conversation World::conversation_of(Role to, const DecodedFrame& f) const {
  if (to == Role::kClient && !f.has(kAck)) return std::nullopt;
  if (to == Role::kServer && f.has(kRst)) return std::nullopt;
  const std::uint32_t number = to == Role::kServer ? f.seq : f.ack;
  Conversation nearest;
  std::uint32_t distance = 1U << 20;
  for (std::size_t i = 0; i <= index_; ++i) {
    const std::uint32_t isn = plan_.connections[i].client.isn;
    if (number - isn >= distance) continue;
    nearest = isn;
    distance = number - isn;
  }
  return nearest;
}

// A segment that has overtaken its handshake ACK is tried as a cookie, and the plain layout has a
// tag of 24 bits (docs/cookie.md). So once in millions of tries a connection opens that nobody
// asked for. Such a seed proves nothing; the test watches how many there are.
bool World::is_chance_hit(Role to, const DecodedFrame& f) const {
  if (to != Role::kServer || !f.has(kSyn) || client_.inspector.timestamps()) return false;
  return std::none_of(plan_.connections.begin(), plan_.connections.end(),
                      [&](const ConnectionPlan& c) { return c.client.isn == f.seq; });
}

// --- one connection

void World::begin() {
  const ConnectionPlan& c = *connection_;
  began_ = now_;
  aborted_ = false;
  for (Host* h : {&client_, &server_}) {
    const Part& part = h == &client_ ? c.client : c.server;
    h->data = random_bytes(dice_, part.bytes);
    h->speaks_at = now_ + part.speaks_at;
    h->may_close = h->closed = false;
    h->verified = 0;
    h->resets_made = h->resets_got = 0;
    h->last_reset.clear();
  }
  lwip_resets_ = false;
  forgotten_syn_.begin(c.client.isn);
  deaf_until_ = c.ending == Ending::kSilent ? kNever : now_ + c.server_deaf_until;
  const std::uint32_t shown = std::min<std::uint32_t>(c.server.buffer, 0xffff);
  const std::uint8_t offered = plan_.engine.tuning.offer.window_scale == kAutoScale
                                   ? std::uint8_t{7}
                                   : plan_.engine.tuning.offer.window_scale;
  // A window below the unit of the offered scale is rounded up, and the proxy shows a window before
  // it knows the server's. So the client may send what the server will not take.
  const std::uint32_t early = plan_.engine.tuning.early_window;
  server_.inspector.set_window_slack(c.client.isn, (1U << offered) + (early > shown ? early : 0));
  if (trace_) std::printf("%8llu connection %zu\n", static_cast<unsigned long long>(now_), index_);
  server_.peer->listen(c.server, c.ending == Ending::kRefused, now_);
  Bytes at_once;
  if (client_.plan.mischief.syn_data && c.client.speaks_at == 0) {
    at_once = client_.data;
    client_.speaks_at = kNever;
    client_.may_close = true;
  }
  client_.peer->connect(c.client, at_once, now_);
  send_out(client_);
}

void World::application(Host& h, const Part& part) {
  Peer& p = *h.peer;
  if (&h == &client_ ? aborted_ && connection_->ending == Ending::kClientAborts : !p.opened) return;
  if (now_ >= h.speaks_at) {
    h.speaks_at = kNever;
    h.may_close = true;
    p.write(h.data, now_);
  }
  if (h.may_close && !h.closed && (!part.waits_for_fin || p.peer_closed)) {
    h.closed = true;
    p.close(now_);
  }
  if (part.reads_permille >= 1000 || dice_.permille(part.reads_permille)) p.read(now_);
}

void World::applications() {
  const ConnectionPlan& c = *connection_;
  application(client_, c.client);
  application(server_, c.server);
  if (aborted_ || now_ < began_ + c.abort_at) return;
  Host* who = nullptr;
  if (c.ending == Ending::kClientAborts) who = &client_;
  if (c.ending == Ending::kServerAborts && server_.peer->opened) who = &server_;
  if (who == nullptr) return;
  aborted_ = true;
  aborted_at_ = now_;
  who->peer->abort(now_);
}

bool World::is_done(const Peer& p) { return p.all_acked && p.peer_closed; }

bool World::must_succeed() const {
  const bool no_timestamps = plan_.client.timestamps && !plan_.server.timestamps &&
                             plan_.engine.tuning.offer.timestamps != Offer::kOff;
  // If the server must be asked twice, a copy of the RST between may hit the second answer.
  const bool luck = !lossless_ && offers_.asked_twice(connection_->client.isn);
  return connection_->ending == Ending::kClose && !no_timestamps && !luck && !lwip_resets_ &&
         !forgotten_syn_.other_opened();
}

bool World::is_over() const {
  const Peer& a = *client_.peer;
  const Peer& b = *server_.peer;
  if (is_done(a) && is_done(b)) return true;
  switch (connection_->ending) {
    case Ending::kClose:
      return a.reset || b.reset;
    case Ending::kClientAborts:
      return aborted_ && (b.reset || !b.outstanding()) && now_ > aborted_at_ + 1'000;
    case Ending::kServerAborts:
      return a.reset || (aborted_ && !a.outstanding() && now_ > aborted_at_ + 1'000);
    default:
      // A service that is known to be dead answers no SYN, as it would directly.
      return a.reset || (a.opened && !a.outstanding() && now_ > began_ + 20'000) ||
             (!a.opened && now_ > began_ + 60'000);
  }
}

void World::play() {
  while (failure_.empty() && !chance_hit_ && !is_over() && now_ < began_ + kHangs) {
    // If the RST was lost, the other end may not know for a long time.
    if (aborted_ && !lossless_ && now_ > aborted_at_ + 60'000) break;
    step(now_ + 1'000);
  }
}

void World::judge() {
  const Peer& a = *client_.peer;
  const Peer& b = *server_.peer;
  if (!failure_.empty()) return;
  const bool late = now_ >= began_ + kHangs;
  switch (connection_->ending) {
    case Ending::kClose:
      if (!must_succeed() && (a.reset || b.reset)) return;
      // An end that is done forgets. If its last ACK was lost again and again, the other end then
      // gets a RST, or gives up. Nobody misses anything, and the proxy had no part in it.
      if (a.reset && !(is_done(b) && client_.resets_made == 0)) fail("the client was reset");
      if (b.reset && !(is_done(a) && server_.resets_made == 0)) fail("the server was reset");
      // It may even ask in vain if the flow has been given back too.
      if (!(a.reset || b.reset || (is_done(a) && is_done(b)) ||
            (!lossless_ && (is_done(a) || is_done(b))))) {
        fail("the connection hangs");
      }
      break;
    case Ending::kClientAborts:
      if (late) fail("the server never hears of the client's end");
      return;
    case Ending::kServerAborts:
      if (late) fail("the client never hears of the server's end");
      return;
    case Ending::kRefused:
    case Ending::kSilent:
      if (is_done(a) && is_done(b)) fail("a connection without a server");
      if (late && a.opened && client_.resets_made == 0) fail("no RST to the client");
      if (a.opened && !a.reset && client_.resets_got != 0) {
        fail("a RST that the client does not take");
      }
      return;
  }
  if (a.received.size() != server_.data.size()) fail("the server's stream ends early");
  if (b.received.size() != client_.data.size()) fail("the client's stream ends early");
}

void World::pause(Gap gap) {
  if (gap == Gap::kForgotten) {
    client_.peer->forget();
    server_.peer->forget();
  }
  if (gap == Gap::kNone || gap == Gap::kForgotten) return;
  const std::uint64_t until = now_ + (gap == Gap::kLong ? 6'000 : 0);
  const std::uint64_t limit = until + 10'000;
  while (failure_.empty() && (now_ < until || (!links_.empty() && now_ < limit))) {
    step(now_ + 1'000);
  }
}

// Both hosts leave the network; everything must expire.
void World::end() {
  gone_ = true;
  proxy_.end_rival();
  links_.clear();
  for (unsigned i = 0; i < 4'000 && failure_.empty() && proxy_.flows() != 0; ++i) {
    now_ += 250;
    proxy_.tick(now_);
    check();
  }
  if (const std::string left = proxy_.check_empty(); !left.empty()) fail(left);
}

std::string World::run() {
  for (index_ = 0; index_ < plan_.connections.size() && failure_.empty() && !chance_hit_;
       ++index_) {
    connection_ = &plan_.connections[index_];
    begin();
    play();
    judge();
    if (failure_.empty()) pause(connection_->gap);
  }
  index_ = plan_.connections.size() - 1;
  if (failure_.empty()) end();
  for (std::size_t r = 0; trace_ && r < kReasonCount; ++r) {
    const auto reason = static_cast<Reason>(r);
    const std::uint64_t n = proxy_.counters().get(reason);
    if (n != 0)
      std::printf("%s %llu\n", info(reason).name.data(), static_cast<unsigned long long>(n));
  }
  return failure_;
}

// --- the clock

void World::step(std::uint64_t limit) {
  std::uint64_t next =
      std::min({limit, links_.next_at(), client_.peer->next_timer(), server_.peer->next_timer()});
  if (proxy_.flows() != 0) next = std::min(next, now_ + kProxyStep);
  for (const std::uint64_t at :
       {client_.speaks_at, server_.speaks_at, began_ + connection_->abort_at, deaf_until_}) {
    if (at > now_) next = std::min(next, at);
  }
  if (next > now_) {
    now_ = next;
    std::vector<Flight> none;
    proxy_.tick(now_);
    may_die();
    proxy_said(Role::kClient, none);
  }
  deliver();
  client_.peer->tick(now_);
  server_.peer->tick(now_);
  applications();
  send_out(client_);
  send_out(server_);
  check();
}

void World::deliver() {
  while (links_.next_at() <= now_ && failure_.empty()) {
    if (links_.next_to_proxy()) {
      to_proxy(links_.next_side());
      continue;
    }
    const Links::Arrival a = links_.take();
    Host& h = host(a.side);
    note("gets", a.side, a.flight);
    if (&h == &server_ && now_ < deaf_until_) continue;
    // lwIP takes up the options of any SYN that comes while it is in SYN-RECEIVED, of a late copy
    // of another connection's too.
    h.inspector.set_asked_twice(offers_.asked_twice(h.inspector.conversation()) ||
                                (plan_.server.lwip && offers_.varied()));
    h.inspector.set_ecn_insisted(proxy_.counters().get(Reason::server_shows_more) > 1);
    h.inspector.set_done(is_done(*h.peer));
    h.inspector.delivered(a.flight);
    if (!a.flight.frame) continue;
    fingerprint_ = (fingerprint_ ^ a.flight.frame->seq ^ now_ << 32) * 0x9e3779b97f4a7c15ULL;
    if (a.flight.made && a.flight.frame->has(kRst) && !a.flight.corrupt) ++h.resets_got;
    lwip_resets_ = lwip_resets_ || lwip_will_reset(h, a.flight);
    h.peer->receive(*a.flight.frame, now_);
    send_out(h);
  }
}

void World::to_proxy(Role side) {
  const std::size_t most = plan_.bursts ? kMaxBurst : 1;
  std::vector<Flight> in;
  while (in.size() < most && links_.next_at() <= now_ && links_.next_to_proxy() &&
         links_.next_side() == side) {
    in.push_back(links_.take().flight);
    const Flight& flight = in.back();
    if (trace_) note("->", side, flight);
    if (flight.frame && !flight.corrupt) {
      host(side).last_reset.sent(*flight.frame, is_done(*host(side).peer));
    }
  }
  std::vector<const Bytes*> frames;
  frames.reserve(in.size());
  for (const Flight& f : in) frames.push_back(&f.bytes);
  may_die();
  const std::uint64_t before = unknown_passed();
  proxy_.feed(side, frames, now_);
  unknown_passes_ = unknown_passed() != before;
  may_die();  // with what it was about to send
  proxy_said(side, in);
}

// RFC 9293 section 3.10.7.3: in SYN-SENT a segment that acknowledges the SYN and is neither SYN nor
// RST is dropped. lwIP answers it with a RST, and the number of it is exact for a server whose ACK
// has overtaken its SYN-ACK. If the ACK has passed as it was, the same happens without a proxy.
// From a late SYN-ACK of another conversation it takes the timestamps, and then sends some to a
// proxy that has given it none.
bool World::lwip_will_reset(const Host& h, const Flight& flight) const {
  const DecodedFrame& f = *flight.frame;
  if (!h.plan.lwip || &h != &client_ || h.peer->opened || !flight.untouched || !f.checksums_good) {
    return false;
  }
  const bool of_this = f.ack == connection_->client.isn + 1;
  if (f.has(kSyn)) return f.has(kAck) && !of_this && !f.timestamps.empty();
  return f.has(kAck) && !f.has(kRst) && of_this;
}

std::uint64_t World::unknown_passed() const {
  const Counters& counters = proxy_.counters();
  return counters.get(Reason::unknown_forwarded) + counters.get(Reason::adopt_forwarded);
}

// One time in twenty, before and after each burst and each tick.
void World::may_die() {
  if (deaths_ == plan_.deaths || !fate_.chance(5)) return;
  ++deaths_;
  forgotten_syn_.process_dies();
  if (trace_) std::printf("%8llu the process dies\n", static_cast<unsigned long long>(now_));
  proxy_.die(now_);
}

void World::proxy_said(Role from, std::vector<Flight>& in) {
  // An end is asked whether it knows a connection. The proxy does not know its numbers, so the
  // probe is of no conversation.
  const std::uint64_t probes = proxy_.counters().get(Reason::unknown_probe);
  const bool probing = probes != probes_;
  probes_ = probes;
  for (ProxyNode::Output& o : proxy_.out) {
    Flight out;
    out.frame = decode(o.bytes);
    out.bytes = std::move(o.bytes);
    if (o.cause >= 0 && o.side != from) {
      const Flight& cause = in[static_cast<std::size_t>(o.cause)];
      out.conversation = cause.conversation;
      out.corrupt = cause.corrupt;
      out.untouched = watches_ && same_segment(cause, out);
      out.unknown = out.untouched && unknown_passes_;
      out.error = cause.error;
      if (out.error) {
        referee_.error_forwarded(cause, out, host(from).plan);
      } else {
        referee_.forwarded(from, cause, out);
        if (auto error = router_.answer(o.side, cause, out); error && !gone_) {
          links_.launch(o.side, true, std::move(*error), now_);
        }
      }
    } else {
      out.made = true;
      const bool probe = probing && out.frame && out.frame->flags == kAck;
      if (out.frame && !probe) out.conversation = conversation_of(o.side, *out.frame);
      if (o.cause >= 0) {
        const Flight& cause = in[static_cast<std::size_t>(o.cause)];
        out.corrupt = cause.corrupt;
        referee_.replied(cause, out);
      }
      if (out.frame && is_chance_hit(o.side, *out.frame)) chance_hit_ = true;
      if (!chance_hit_) referee_.made(o.side, out);
      // What was damaged in its tags is answered elsewhere.
      if (out.frame && out.frame->has(kRst) && host(o.side).peer->opened &&
          same_vlans(out.frame->tags, host(o.side).plan.tags) &&
          !host(other(o.side)).last_reset.is_said_by(*out.frame)) {
        ++host(o.side).resets_made;
      }
    }
    if (out.frame && o.side == Role::kServer && out.frame->has(kSyn)) offers_.note(*out.frame);
    if (out.frame && out.made && out.frame->has(kSyn)) {
      o.side == Role::kClient ? forgotten_syn_.syn_ack(out.frame->ack)
                              : forgotten_syn_.syn(out.frame->seq);
    }
    if (trace_) note("<-", o.side, out);
    if (!gone_) links_.launch(o.side, false, std::move(out), now_);
  }
  proxy_.out.clear();
}

void World::send_out(Host& h) {
  for (Peer::Outgoing& o : h.peer->out) {
    Flight flight;
    flight.frame = decode(o.bytes);
    flight.bytes = std::move(o.bytes);
    if (!flight.frame || !flight.frame->checksums_good) return fail("a host sends nonsense");
    if (!o.stale) {
      // The rest of the earlier connection speaks too.
      flight.conversation = conversation_of(other(h.side), *flight.frame);
      if (flight.frame->has(kSyn) || flight.conversation == h.inspector.conversation()) {
        h.inspector.sent(*flight.frame);
      }
    }
    links_.launch(h.side, true, std::move(flight), now_);
  }
  h.peer->out.clear();
}

void World::check() {
  for (Host* h : {&client_, &server_}) {
    const Bytes& got = h->peer->received;
    const Bytes& sent = host(other(h->side)).data;
    if (got.size() > sent.size() ||
        !std::equal(got.begin() + static_cast<long>(h->verified), got.end(),
                    sent.begin() + static_cast<long>(h->verified))) {
      fail(h == &client_ ? "the client got other bytes than were sent"
                         : "the server got other bytes than were sent");
    }
    h->verified = got.size();
    if (!h->inspector.violation.empty()) fail(h->inspector.violation);
  }
  if (!referee_.violation.empty()) fail(referee_.violation);
  if (!proxy_.violation.empty()) fail(proxy_.violation);
  if (const std::string wrong = proxy_.check_accounts(); !wrong.empty()) fail(wrong);
}

}  // namespace synproxy::test::sim
