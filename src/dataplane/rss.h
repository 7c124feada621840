// SPDX-License-Identifier: BSD-3-Clause
// Receive-side scaling that puts both directions of a connection on one queue.
//
// Theory of operation. A device hashes the addresses and ports of a TCP frame (Toeplitz, under a
// key that we set), takes the low bits as a place in its redirection table, and finds the queue
// there. Toeplitz is linear: bit i of the input adds the 32 bits of the key that begin at bit i.
// Under a key that repeats one 16-bit word, bits whose places differ by a multiple of 16 add the
// same, so the hash depends on nothing but the exclusive or of the 16-bit words of the tuple, and
// (a, b, p, q) gives the same as (b, a, q, p). But for one bit, no other key does that for the
// tuple of IPv4. The software value is thus one fold and two look-ups (rss_hash.h), and who may
// choose his address and port can hold that exclusive or constant, whatever the key: he aims at one
// queue, and so at one worker. He cannot aim at a bucket of its table, which has a keyed hash of
// its own (flow/index_hash.h).
#pragma once

#include <cstdint>
#include <vector>

struct rte_eth_dev_info;
struct rte_eth_rss_reta_entry64;

namespace synproxy::dataplane {

// The word that the key repeats. Drawn once per process, the same for both ports.
using RssWord = std::uint16_t;

// With an odd number of ones the hash keeps all 16 bits of the fold apart (a circulant matrix over
// GF(2) of a size that is a power of two has its inverse exactly then); with seven or nine, each
// bit of the hash depends on about half of them.
[[nodiscard]] bool is_good(RssWord word);
[[nodiscard]] RssWord draw_rss_word();  // throws std::system_error

struct RssPlan {
  bool usable = false;            // else: one receive queue
  std::uint64_t hash_fields = 0;  // RTE_ETH_RSS_*
  std::vector<std::uint8_t> key;
};

// Devices whose key cannot be set or has an unknown length get no plan.
[[nodiscard]] RssPlan plan_rss(const rte_eth_dev_info& info, RssWord word);

// Computes sample tuples in software, both ways round, IPv4 and IPv6.
[[nodiscard]] bool is_symmetric(const std::vector<std::uint8_t>& key);

// How a started device spreads TCP over its receive queues.
struct RssSpread {
  std::uint16_t queues = 1;
  std::uint16_t period = 0;  // entry i of the redirection table is i % period % queues; 0: unknown
  bool tcp = false;          // by addresses and ports, over IPv4 and IPv6
};

// What a redirection table of `size` entries can be filled with: a power of two, 0 for a table that
// is none or too small for so many queues. Not above 128, which most devices have, and the number
// of queues itself where that is a power of two, so that tables of different sizes come to agree
// (mlx5's grows with the number of queues, those for SYNs included).
[[nodiscard]] std::uint16_t reta_period(std::uint16_t size, std::uint16_t queues);
[[nodiscard]] std::vector<rte_eth_rss_reta_entry64> plan_reta(std::uint16_t size,
                                                              std::uint16_t queues);

}  // namespace synproxy::dataplane
