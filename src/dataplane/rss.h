// SPDX-License-Identifier: BSD-3-Clause
// Receive-side scaling that puts both directions of a connection on one queue.
//
// Theory of operation. A device hashes the addresses and ports of a TCP frame (Toeplitz, under a
// key that we set), takes the low bits as a place in its redirection table, and finds the queue
// there. Toeplitz is linear: bit i of the input adds the 32 bits of the key that begin at bit i.
// Our key repeats one 16-bit word, so bits whose places differ by a multiple of 16 add the same.
// The hash then depends only on the exclusive or of the tuple's 16-bit words, and (a, b, p, q)
// gives the same as (b, a, q, p). Except for one bit, no other key does that for the tuple of IPv4.
// In software the hash is one fold and two look-ups (rss_hash.h). An attacker who chooses his
// address and port can keep that exclusive or constant, whatever the key, and so aim at one queue
// and one worker. He cannot aim at a bucket of the worker's table, which has a keyed hash of its
// own (flow/index_hash.h).
#pragma once

#include <cstdint>
#include <vector>

struct rte_eth_dev_info;
struct rte_eth_rss_reta_entry64;

namespace synproxy::dataplane {

// The word that the key repeats: drawn once per process, and the same for both ports.
using RssWord = std::uint16_t;

// With an odd number of ones, the hash keeps all 16 bits of the fold apart: a circulant matrix over
// GF(2) whose size is a power of two is invertible exactly then. With seven or nine ones, each bit
// of the hash depends on about half the bits of the fold.
[[nodiscard]] bool is_good(RssWord word);
[[nodiscard]] RssWord draw_rss_word();  // throws std::system_error

struct RssPlan {
  bool usable = false;            // otherwise one receive queue
  std::uint64_t hash_fields = 0;  // RTE_ETH_RSS_*
  std::vector<std::uint8_t> key;
};

// The plan is unusable if the key cannot be set or its length is unknown.
[[nodiscard]] RssPlan plan_rss(const rte_eth_dev_info& info, RssWord word);

// Checks sample tuples in software, in both directions, for IPv4 and IPv6.
[[nodiscard]] bool is_symmetric(const std::vector<std::uint8_t>& key);

// How a started device spreads TCP over its receive queues.
struct RssSpread {
  std::uint16_t queues = 1;
  std::uint16_t period = 0;  // entry i of the redirection table is i % period % queues; 0: unknown
  bool tcp = false;          // by addresses and ports, over IPv4 and IPv6
};

// The period that fills a redirection table of `size` entries: a power of two, or 0 if there is no
// table or it is too small for so many queues. It is the number of queues if that is a power of
// two, and otherwise at most 128, which most devices have. So tables of different sizes agree
// (mlx5's grows with the number of queues, SYN queues included).
[[nodiscard]] std::uint16_t reta_period(std::uint16_t size, std::uint16_t queues);
[[nodiscard]] std::vector<rte_eth_rss_reta_entry64> plan_reta(std::uint16_t size,
                                                              std::uint16_t queues);

}  // namespace synproxy::dataplane
