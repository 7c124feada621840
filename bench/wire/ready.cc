// SPDX-License-Identifier: BSD-3-Clause
#include "ready.h"

#include <stdexcept>

#include "syn_source.h"

namespace synproxy::generator {
namespace {

constexpr double kLimit = 20;
constexpr double kBetween = 0.01;
constexpr double kSilence = 0.05;

bool anything_from(Link* link) {
  if (link == nullptr) return false;
  std::array<rte_mbuf*, kBurst> frames;
  const std::uint16_t n = link->receive(frames);
  if (n != 0) rte_pktmbuf_free_bulk(frames.data(), n);
  return n != 0;
}

bool anything(const Stand& stand) {
  const bool client = anything_from(stand.client);
  return anything_from(stand.server) || client;
}

}  // namespace

void wait_for_traffic(const Stand& stand) {
  Step one;
  one.rate = 1 / kBetween;
  SynSource source(one, false);
  const std::uint64_t begin = now();
  const std::uint64_t end = begin + ticks(kLimit);
  source.begin(begin);
  for (std::uint64_t at = begin; !stand.stopped() && !anything(stand); at = now()) {
    if (at > end) throw std::runtime_error("the links are up, but nothing comes back");
    source.make(at);
    if (source.ready() != 0) {
      source.taken(stand.client->send(source.burst(), source.ready()));
    }
  }
  std::uint64_t last = now();
  while (!stand.stopped() && now() - last < ticks(kSilence)) {
    if (anything(stand)) last = now();
  }
}

}  // namespace synproxy::generator
