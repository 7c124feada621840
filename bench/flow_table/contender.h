// SPDX-License-Identifier: BSD-3-Clause
// A table of connections as the bench asks for it, and what both contenders have to do.
//
// The same work: a key is hashed, the table finds it, and of every connection that is there its
// record of 64 bytes is read; a new one has its record written, identity included. Our table keeps
// keys in the records alone; rte_hash keeps a copy of its own, and gives a position that is the
// record's. Keys are in each contender's own form before the time is taken.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "synproxy/flow/key.h"

namespace synproxy::bench {

inline constexpr std::size_t kBurst = 32;

class Contender {
 public:
  Contender() = default;
  virtual ~Contender() = default;
  Contender(const Contender&) = delete;
  Contender& operator=(const Contender&) = delete;

  // What the following calls are about: bursts of kBurst keys. Not measured.
  virtual void load(std::span<const FlowKey> keys) = 0;
  // How many keys of that burst are there.
  virtual std::uint32_t find(std::size_t burst) = 0;
  // None of them is there. Throws std::runtime_error when the table is full.
  virtual void insert(std::size_t burst) = 0;
  // All of them are there.
  virtual void erase(std::size_t burst) = 0;
  // Index, keys and records, for what it was made for.
  [[nodiscard]] virtual std::size_t bytes() const = 0;
};

// For `flows` connections.
[[nodiscard]] std::unique_ptr<Contender> make_flow_table(std::uint32_t flows);

// `keyed`: under our keyed hash, which an attacker cannot aim with; else under CRC32, DPDK's own.
// Takes its memory from `socket`.
[[nodiscard]] std::unique_ptr<Contender> make_rte_hash(std::uint32_t flows, bool keyed, int socket);

}  // namespace synproxy::bench
