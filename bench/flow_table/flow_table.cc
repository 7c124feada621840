// SPDX-License-Identifier: BSD-3-Clause
// The engine's own table, used as the engine uses it.
#include "synproxy/flow/table.h"

#include <stdexcept>
#include <vector>

#include "flow_table/contender.h"
#include "unit/flow/random_keys.h"

namespace synproxy::bench {
namespace {

using test::hash_of;

class OwnTable final : public Contender {
 public:
  explicit OwnTable(std::uint32_t flows) : table_(flows) {}

  void load(std::span<const FlowKey> keys) override { keys_.assign(keys.begin(), keys.end()); }

  std::uint32_t find(std::size_t burst) override {
    const std::span<const FlowKey, kBurst> keys = of(burst);
    fetch(keys);
    std::uint32_t found = 0;
    for (std::size_t i = 0; i < kBurst; ++i) {
      const FlowIndex index = table_.find(keys[i], hashes_[i]);
      if (index != kNoFlow && table_[index].state() == FlowState::kEstablished) ++found;
    }
    return found;
  }

  void insert(std::size_t burst) override {
    const std::span<const FlowKey, kBurst> keys = of(burst);
    for (std::size_t i = 0; i < kBurst; ++i) {
      hashes_[i] = hash_of(keys[i]);
      table_.prefetch_bucket(hashes_[i]);
    }
    for (std::size_t i = 0; i < kBurst; ++i) {
      const FlowIndex index = table_.insert(keys[i], hashes_[i]);
      if (index == kNoFlow) throw std::runtime_error("the flow table is full");
      table_[index].become_spliced(FlowState::kEstablished, {});
    }
  }

  void erase(std::size_t burst) override {
    const std::span<const FlowKey, kBurst> keys = of(burst);
    fetch(keys);
    for (std::size_t i = 0; i < kBurst; ++i) {
      const FlowIndex index = table_.find(keys[i], hashes_[i]);
      if (index == kNoFlow) throw std::runtime_error("the flow table has lost a flow");
      table_.erase(index, hashes_[i]);
    }
  }

  [[nodiscard]] std::size_t bytes() const override { return table_.bytes(); }

 private:
  [[nodiscard]] std::span<const FlowKey, kBurst> of(std::size_t burst) const {
    return std::span<const FlowKey, kBurst>(&keys_[burst * kBurst], kBurst);
  }
  void fetch(std::span<const FlowKey, kBurst> keys) {
    for (std::size_t i = 0; i < kBurst; ++i) {
      hashes_[i] = hash_of(keys[i]);
      table_.prefetch_bucket(hashes_[i]);
    }
    for (const std::uint64_t hash : hashes_) table_.prefetch_record(hash);
  }

  FlowTable table_;
  std::vector<FlowKey> keys_;
  std::array<std::uint64_t, kBurst> hashes_{};
};

}  // namespace

std::unique_ptr<Contender> make_flow_table(std::uint32_t flows) {
  return std::make_unique<OwnTable>(flows);
}

}  // namespace synproxy::bench
