// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/rss_owner.h"

#include <rte_thash.h>

#include <bit>
#include <cstddef>
#include <cstring>

namespace synproxy::dataplane {
namespace {

// A sample connection, with the tuple of its client's frames in DPDK's form: words in host order,
// source first.
struct Sample {
  FlowKey key;
  std::array<std::uint32_t, 9> tuple{};
  std::uint32_t words = 0;

  Sample(std::uint32_t seed, bool ipv6) {
    const auto random = [&seed] { return seed = seed * 1664525U + 1013904223U; };
    key.ipv6 = ipv6;
    const std::size_t size = ipv6 ? 16 : 4;
    for (AddressBytes* address : {&key.client, &key.server}) {
      for (std::size_t i = 0; i < size; i += 4) {
        store_be<std::uint32_t>(address->data() + i, tuple[words++] = random());
      }
    }
    key.client_port = static_cast<std::uint16_t>(random() >> 16);
    key.server_port = static_cast<std::uint16_t>(random() >> 16);
    tuple[words++] = std::uint32_t{key.client_port} << 16 | key.server_port;
  }
};

bool agrees_with_dpdk(const RssOwner& owner, RssWord word) {
  std::array<std::uint8_t, 40> bytes{};
  for (std::size_t i = 0; i < bytes.size(); i += 2) store_be<std::uint16_t>(bytes.data() + i, word);
  for (std::uint32_t seed = 1; seed <= 64; ++seed) {
    for (const bool ipv6 : {false, true}) {
      Sample s(seed, ipv6);
      if (rte_softrss(s.tuple.data(), s.words, bytes.data()) != owner.hash_of(fold_of(s.key))) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

RssHash::RssHash(RssWord word) {
  const auto window = [word](unsigned at) { return std::rotl(word, static_cast<int>(at)); };
  for (unsigned value = 0; value < 256; ++value) {
    for (unsigned bit = 0; bit < 8; ++bit) {  // the key's bits count from the highest
      if ((value & 0x80U >> bit) == 0) continue;
      first_[value] ^= window(bit);
      second_[value] ^= window(8 + bit);
    }
  }
}

RssOwner::RssOwner(RssWord word, std::uint16_t period, std::uint16_t workers)
    : hash_(word), mask_(period - 1U) {
  for (std::uint16_t i = 0; i < kPlaces; ++i) owners_[i] = i % workers;
}

std::optional<RssOwner> agree_on_owner(const RssSpread& client, const RssSpread& server,
                                       unsigned workers, RssWord word) {
  for (const RssSpread* port : {&client, &server}) {
    if (!port->tcp || port->queues != workers || port->period < workers) return std::nullopt;
  }
  if (client.period != server.period || client.period > RssOwner::kPlaces) return std::nullopt;
  RssOwner owner(word, client.period, client.queues);
  if (!agrees_with_dpdk(owner, word)) return std::nullopt;
  return owner;
}

}  // namespace synproxy::dataplane
