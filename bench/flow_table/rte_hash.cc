// SPDX-License-Identifier: BSD-3-Clause
// DPDK's rte_hash in the flow table's place, used as in its own examples: bulk look-up with
// precomputed hashes. Adding and deleting have no bulk form.
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "flow_table/contender.h"
#include "synproxy/flow/identity.h"
#include "synproxy/flow/mapping.h"
#include "synproxy/flow/record.h"
#include "unit/flow/random_keys.h"

namespace synproxy::bench {
namespace {

// Addresses, ports, VLANs and family without a gap.
using FlatKey = std::array<std::uint8_t, 40>;

FlatKey flat(const FlowKey& key) {
  FlatKey bytes{};
  const std::uint32_t tail = key.vlan.packed | (key.ipv6 ? kFamilyIpv6 : 0U);
  std::memcpy(bytes.data(), key.client.data(), 16);
  std::memcpy(bytes.data() + 16, key.server.data(), 16);
  std::memcpy(bytes.data() + 32, &key.client_port, 2);
  std::memcpy(bytes.data() + 34, &key.server_port, 2);
  std::memcpy(bytes.data() + 36, &tail, 4);
  return bytes;
}

// The number of its buckets is a power of two. Above nine tenths of its capacity it may refuse a
// key, so it gets a quarter more.
std::uint32_t entries_for(std::uint32_t flows) {
  return flows > std::bit_ceil(flows) / 10 * 9 ? flows + flows / 4 : flows;
}

std::size_t allocated(int socket) {
  rte_malloc_socket_stats stats{};
  if (rte_malloc_get_socket_stats(socket, &stats) != 0) return 0;
  return stats.heap_allocsz_bytes;
}

class RteHash final : public Contender {
 public:
  RteHash(std::uint32_t flows, bool keyed, int socket)
      : keyed_(keyed),
        // Positions go up to the number of entries and one more.
        memory_((std::size_t{entries_for(flows)} + 1) * sizeof(FlowRecord),
                Mapping::Kind::kReserved),
        records_(static_cast<FlowRecord*>(memory_.data())) {
    rte_hash_parameters parameters{};
    parameters.name = "flows";
    parameters.entries = entries_for(flows);
    parameters.key_len = sizeof(FlatKey);
    parameters.hash_func = rte_hash_crc;
    parameters.socket_id = socket;
    const std::size_t before = allocated(socket);
    table_ = rte_hash_create(&parameters);
    if (table_ == nullptr) throw std::runtime_error("rte_hash_create: not enough memory");
    bytes_ = allocated(socket) - before + memory_.bytes();
  }
  ~RteHash() override { rte_hash_free(table_); }
  RteHash(const RteHash&) = delete;
  RteHash& operator=(const RteHash&) = delete;

  void load(std::span<const FlowKey> keys) override {
    keys_.assign(keys.begin(), keys.end());
    flat_.resize(keys.size());
    pointers_.resize(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      flat_[i] = flat(keys[i]);
      pointers_[i] = &flat_[i];
    }
  }

  std::uint32_t find(std::size_t burst) override {
    const std::size_t first = burst * kBurst;
    std::array<hash_sig_t, kBurst> hashes;
    std::array<std::int32_t, kBurst> positions;
    for (std::size_t i = 0; i < kBurst; ++i) hashes[i] = hash(first + i);
    rte_hash_lookup_with_hash_bulk(table_, &pointers_[first], hashes.data(), kBurst,
                                   positions.data());
    for (const std::int32_t p : positions) {
      if (p >= 0) __builtin_prefetch(records_ + p);
    }
    std::uint32_t found = 0;
    for (const std::int32_t p : positions) {
      if (p >= 0 && records_[p].state() == FlowState::kEstablished) ++found;
    }
    return found;
  }

  void insert(std::size_t burst) override {
    for (std::size_t i = burst * kBurst; i < (burst + 1) * kBurst; ++i) {
      const std::int32_t p = rte_hash_add_key_with_hash(table_, &flat_[i], hash(i));
      if (p < 0) throw std::runtime_error("rte_hash is full");
      FlowRecord& record = records_[p];
      const FlowIdentity identity = identity_of(keys_[i]);
      record = FlowRecord{};
      record.client_address = static_cast<std::uint32_t>(identity.addresses);
      record.server_address = static_cast<std::uint32_t>(identity.addresses >> 32);
      record.client_port = static_cast<std::uint16_t>(identity.ports_and_vlan);
      record.server_port = static_cast<std::uint16_t>(identity.ports_and_vlan >> 16);
      record.vlan_and_family = static_cast<std::uint32_t>(identity.ports_and_vlan >> 32);
      record.become_spliced(FlowState::kEstablished, {});
    }
  }

  void erase(std::size_t burst) override {
    for (std::size_t i = burst * kBurst; i < (burst + 1) * kBurst; ++i) {
      const std::int32_t p = rte_hash_del_key_with_hash(table_, &flat_[i], hash(i));
      if (p < 0) throw std::runtime_error("rte_hash has lost a flow");
      records_[p].put_spliced_state(FlowState::kFree);
    }
  }

  [[nodiscard]] std::size_t bytes() const override { return bytes_; }

 private:
  [[nodiscard]] hash_sig_t hash(std::size_t i) const {
    if (!keyed_) return rte_hash_crc(&flat_[i], sizeof(FlatKey), 0);
    return static_cast<hash_sig_t>(test::hash_of(keys_[i]) >> 32);
  }

  bool keyed_;
  Mapping memory_;
  FlowRecord* records_;
  rte_hash* table_ = nullptr;
  std::size_t bytes_ = 0;
  std::vector<FlowKey> keys_;
  std::vector<FlatKey> flat_;
  std::vector<const void*> pointers_;
};

}  // namespace

std::unique_ptr<Contender> make_rte_hash(std::uint32_t flows, bool keyed, int socket) {
  return std::make_unique<RteHash>(flows, keyed, socket);
}

}  // namespace synproxy::bench
