// SPDX-License-Identifier: BSD-3-Clause
// Clients and server at the two ends of the wire, with the frames that they send.
#pragma once

#include <nlohmann/json.hpp>

#include "answers.h"
#include "clients.h"
#include "server.h"
#include "stand.h"
#include "verify.h"

namespace synproxy::generator {

struct Players {
  Players(const Step& step, const Stand& s)
      : stand(s),
        to_proxy(*s.client, s.pool),
        to_client(*s.server, s.pool),
        clients(step, to_proxy),
        server(step, to_client) {}

  // Takes a burst from the client link. Frames for none of the clients go to `flood`, if there is
  // one.
  std::uint16_t receive_client(std::uint64_t at, Answers* flood = nullptr) {
    std::array<rte_mbuf*, kBurst> frames;
    const std::uint16_t n = stand.client->receive(frames);
    for (std::uint16_t i = 0; i < n; ++i) {
      const auto frame = bytes_of(*frames[i]);
      Incoming in;
      Fault f = read_segment(frame, Towards::kClient, in);
      if (f == Fault::none) f = check_macs(frame, Towards::kClient);
      if (f != Fault::none) {
        others.add(f);
      } else if (is_played(in.client.address, in.ipv6)) {
        clients.on_segment(in, at);
      } else if (flood != nullptr) {
        flood->take(in);
      } else {
        others.add(Fault::unasked);
      }
    }
    if (n != 0) rte_pktmbuf_free_bulk(frames.data(), n);
    return n;
  }
  void receive_server() {
    std::array<rte_mbuf*, kBurst> frames;
    const std::uint16_t n = stand.server->receive(frames);
    for (std::uint16_t i = 0; i < n; ++i) server.on_frame(bytes_of(*frames[i]));
    if (n != 0) rte_pktmbuf_free_bulk(frames.data(), n);
  }
  [[nodiscard]] FaultCount faults() const {
    FaultCount all = others;
    all.add(clients.faults());
    all.add(server.faults());
    return all;
  }

  const Stand& stand;
  Outbox to_proxy;   // from the clients
  Outbox to_client;  // from the server
  Clients clients;
  Server server;
  FaultCount others;
};

[[nodiscard]] inline nlohmann::json report_of(const Tally& t) {
  return {{"begun", t.begun},   {"opened", t.opened}, {"responses", t.responses}, {"done", t.done},
          {"resent", t.resent}, {"resets", t.resets}, {"skipped", t.skipped}};
}

}  // namespace synproxy::generator
