// SPDX-License-Identifier: BSD-3-Clause
// One seed: two hosts, the proxy, the links, one clock that jumps from event to event.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "forgotten_syn.h"
#include "inspector.h"
#include "last_reset.h"
#include "links.h"
#include "offers.h"
#include "peer.h"
#include "proxy_node.h"
#include "referee.h"
#include "router.h"

namespace synproxy::test::sim {

class World {
 public:
  World(const Plan& plan, bool trace);

  // Empty, or what was wrong.
  [[nodiscard]] std::string run();

  // A hash over all delivered frames: a seed replays alone if it is the same.
  [[nodiscard]] std::uint64_t fingerprint() const { return fingerprint_; }
  // The seed ended early because a cookie was hit by chance.
  [[nodiscard]] bool chance_hit() const { return chance_hit_; }
  // An ICMP error was translated.
  [[nodiscard]] bool told() const { return proxy_.counters().get(Reason::icmp_translated) != 0; }
  // The kernel has carried segments.
  [[nodiscard]] bool offloaded() const {
    return proxy_.counters().get(Reason::segment_offloaded) != 0;
  }
  // A limit has refused something.
  [[nodiscard]] bool limited() const {
    const Counters& counters = proxy_.counters();
    return counters.get(Reason::limit_rate) + counters.get(Reason::reply_capped) != 0;
  }

 private:
  struct Host {
    Host(const HostPlan& p, Role s, std::uint64_t seed, bool peer_is_lwip);
    const HostPlan& plan;
    Role side;
    std::unique_ptr<Peer> peer;
    Inspector inspector;
    Bytes data;  // to send in this connection
    std::uint64_t speaks_at = kNever;
    bool may_close = false;
    bool closed = false;
    std::size_t verified = 0;  // bytes verified of those received
    unsigned resets_made = 0;  // RSTs that the proxy sent to it after its handshake, of its own
    unsigned resets_got = 0;   // of all that it sent, delivered whole
    LastReset last_reset;
  };

  void begin();
  void play();
  void judge();
  [[nodiscard]] bool is_over() const;
  [[nodiscard]] static bool is_done(const Peer& p);
  void pause(Gap gap);
  void end();

  void step(std::uint64_t limit);  // to the next event
  void applications();
  void application(Host& host, const Part& part);
  void deliver();
  void to_proxy(Role side);
  void may_die();
  void send_out(Host& host);
  void proxy_said(Role from, std::vector<Flight>& in);
  void check();
  void fail(const std::string& what);
  void note(const char* where, Role side, const Flight& flight);

  [[nodiscard]] Host& host(Role side) { return side == Role::kClient ? client_ : server_; }
  [[nodiscard]] bool is_chance_hit(Role to, const DecodedFrame& f) const;
  [[nodiscard]] Conversation conversation_of(Role to, const DecodedFrame& f) const;
  [[nodiscard]] bool must_succeed() const;
  [[nodiscard]] bool lwip_will_reset(const Host& host, const Flight& flight) const;
  [[nodiscard]] std::uint64_t unknown_passed() const;

  const Plan& plan_;
  bool trace_;
  bool lossless_;
  bool watches_;  // the proxy may pass segments that it does not translate
  Dice dice_;
  Dice fate_;  // of the process
  unsigned deaths_ = 0;
  std::uint64_t now_ = 0;
  std::uint64_t began_ = 0;
  std::uint64_t deaf_until_ = 0;
  bool aborted_ = false;
  std::uint64_t aborted_at_ = 0;
  Offers offers_;
  bool chance_hit_ = false;
  std::uint64_t probes_ = 0;     // unknown_probe, as last seen
  bool unknown_passes_ = false;  // something did that was last given to the proxy
  bool lwip_resets_ = false;     // in this connection, a handshake that would have succeeded
  ForgottenSyn forgotten_syn_;
  bool gone_ = false;  // both hosts have left the network
  std::size_t index_ = 0;
  Links links_;
  Router router_;
  ProxyNode proxy_;
  Host client_;
  Host server_;
  Referee referee_;
  const ConnectionPlan* connection_ = nullptr;
  std::uint64_t fingerprint_ = 0;
  std::string failure_;
};

}  // namespace synproxy::test::sim
