// SPDX-License-Identifier: BSD-3-Clause
// A table of connections as the bench needs it, and the work of both contenders.
//
// Both do the same work: they hash a key, look it up, and read the 64-byte record of each
// connection that is there; for a new one they write the record, identity included. Our table keeps
// keys only in the records. rte_hash keeps its own copy, and gives the position of the record. Keys
// have each contender's own form before the time is taken.
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

  // Sets the bursts of kBurst keys for the following calls. Not measured.
  virtual void load(std::span<const FlowKey> keys) = 0;
  // Returns how many keys of that burst are in the table.
  virtual std::uint32_t find(std::size_t burst) = 0;
  // None of them is in the table yet. Throws std::runtime_error if the table is full.
  virtual void insert(std::size_t burst) = 0;
  // All of them are in the table.
  virtual void erase(std::size_t burst) = 0;
  // Bytes of index, keys and records, for the number of flows that it was made for.
  [[nodiscard]] virtual std::size_t bytes() const = 0;
};

// For `flows` connections.
[[nodiscard]] std::unique_ptr<Contender> make_flow_table(std::uint32_t flows);

// `keyed`: with our keyed hash, which an attacker cannot predict; otherwise with CRC32, DPDK's own.
// Takes its memory from `socket`.
[[nodiscard]] std::unique_ptr<Contender> make_rte_hash(std::uint32_t flows, bool keyed, int socket);

}  // namespace synproxy::bench
