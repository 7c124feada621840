// SPDX-License-Identifier: BSD-3-Clause
// Measures what proven clients feel, and counts it by service.
//
// Nothing here is paid for by a packet of a spliced connection. The time to the server's first byte
// is taken where that byte is seen to be the first: the record says so by a bit that means nothing
// else before the server's FIN (kFlowFirstByteDue). The time of the valid ACK stands in a small
// table beside the records, which are full. Only a flow with that bit is looked up there, so no
// other flow waits for the table's memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "synproxy/base/felt.h"
#include "synproxy/flow/key.h"
#include "synproxy/policy/protect.h"

namespace synproxy {

class FeltBook {
 public:
  // A connection whose server has not said a byte for so long may lose its place to another.
  static constexpr std::uint32_t kPatienceMs = 10'000;
  static constexpr std::size_t kWaiting = 4096;
  // A service without a client for so long may lose its place, if all are taken.
  static constexpr std::uint32_t kIdleMs = 600'000;
  static constexpr std::uint32_t kLookMs = 1000;  // for one, once in so long

  // Both outlive it. Throws std::bad_alloc.
  FeltBook(const ProtectSet& protect, FeltCounters& counters)
      : protect_(protect), counters_(counters), waiting_(new Waiting[kWaiting]) {}

  // `now_ms`: of the worker's clock modulo 2^32, everywhere.
  void handshake(const FlowKey& key, std::uint32_t ms, std::uint32_t repeats, std::uint32_t now_ms);

  // The client of a connection has proven itself. `server_isn`: what the client takes for the
  // server's ISN. False: the connection is not followed, because another one has its place.
  bool await_first_byte(std::uint32_t server_isn, std::uint32_t now_ms);
  [[nodiscard]] bool awaits_first_byte(std::uint32_t server_isn) const {
    return waiting_[place_of(server_isn)].server_isn == server_isn;
  }
  // The server has accepted a connection of this service, which gets a place if there is one.
  void accepted(const FlowKey& key, std::uint32_t now_ms);
  // That byte is here.
  void first_byte(const FlowKey& key, std::uint32_t server_isn, std::uint32_t now_ms);
  void forget_first_byte(std::uint32_t server_isn);

 private:
  struct Waiting {
    std::uint32_t server_isn = 0;
    std::uint32_t since_ms = 0;
  };

  // One with the ISN 0 finds no place.
  [[nodiscard]] static std::size_t place_of(std::uint32_t server_isn) {
    return (server_isn * 0x9e3779b1U) >> 20;
  }
  static_assert(kWaiting == std::size_t{1} << (32 - 20));

  [[nodiscard]] FeltService::Name name_of(const FlowKey& key) const;
  void give_place(const FeltService::Name& name, std::uint32_t now_ms);
  [[nodiscard]] Felt& of_service(const FeltService::Name& name, std::uint32_t now_ms);
  [[nodiscard]] std::size_t find(const FeltService::Name& name);
  [[nodiscard]] std::size_t idle_place(std::uint32_t now_ms);

  const ProtectSet& protect_;
  FeltCounters& counters_;
  std::array<FeltService::Name, FeltCounters::kServices> names_{};
  std::array<std::uint32_t, FeltCounters::kServices> last_ms_{};
  std::size_t used_ = 0;   // of these
  std::size_t found_ = 0;  // the last one that was found
  std::uint32_t looked_ms_ = 0;
  std::unique_ptr<Waiting[]> waiting_;
};

}  // namespace synproxy
