// SPDX-License-Identifier: BSD-3-Clause
#include "flow_table/trial.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "common/core_time.h"
#include "common/tsc.h"
#include "unit/flow/random_keys.h"

namespace synproxy::bench {
namespace {

using test::ipv4_key;
using test::scrambled;

constexpr std::size_t kBursts = 128;  // of a pass
constexpr std::size_t kPassKeys = kBursts * kBurst;
constexpr std::size_t kPasses = 96;

// The costs of passes that were not interrupted.
class Account {
 public:
  // `each` does burst number b.
  template <typename Each>
  void pass(Each&& each) {
    std::array<std::uint64_t, kBursts> bursts;
    const long switches = context_switches();
    const std::uint64_t begin = read_tsc();
    std::uint64_t last = begin;
    for (std::size_t b = 0; b < kBursts; ++b) {
      each(b);
      const std::uint64_t now = read_tsc();
      bursts[b] = now - last;
      last = now;
    }
    if (context_switches() != switches) return;
    cycles_ += last - begin;
    keys_ += kPassKeys;
    bursts_.insert(bursts_.end(), bursts.begin(), bursts.end());
  }
  [[nodiscard]] double mean() const {
    if (keys_ == 0) throw Interrupted("every pass was interrupted: other programs need this core");
    return static_cast<double>(cycles_) / static_cast<double>(keys_);
  }
  // The longest burst, without that share of them.
  [[nodiscard]] double worst_burst(double but_for) {
    std::sort(bursts_.begin(), bursts_.end());
    const auto left_out = static_cast<std::size_t>(static_cast<double>(bursts_.size()) * but_for);
    return static_cast<double>(bursts_[bursts_.size() - 1 - left_out]);
  }

 private:
  std::uint64_t cycles_ = 0;
  std::uint64_t keys_ = 0;
  std::vector<std::uint64_t> bursts_;
};

class Keys {
 public:
  explicit Keys(std::uint32_t flows) : live_(flows) {
    std::iota(live_.begin(), live_.end(), std::uint32_t{0});
    next_ = flows;
  }
  [[nodiscard]] std::uint32_t flows() const { return static_cast<std::uint32_t>(live_.size()); }

  // Keys that are in the table, each any number of times.
  std::vector<FlowKey> some() {
    return made([&](std::size_t) { return live_[draw()]; });
  }
  // Keys that are never in the table.
  std::vector<FlowKey> foreign() {
    return made([&](std::size_t) { return (1ULL << 33) + (scrambled(++drawn_) >> 32); });
  }
  // The connections that end in the next pass, each once, and those that begin in their place.
  void turn_over(std::vector<FlowKey>& ending, std::vector<FlowKey>& beginning) {
    // A partial shuffle: the chosen ones come first.
    const std::size_t n = std::min<std::size_t>(kPassKeys, live_.size());
    for (std::size_t i = 0; i < n; ++i) {
      const auto rest = static_cast<std::uint64_t>(live_.size() - i);
      std::swap(live_[i], live_[i + ((scrambled(++drawn_) >> 32) * rest >> 32)]);
    }
    ending.clear();
    beginning.clear();
    for (std::size_t i = 0; i < n; ++i) {
      ending.push_back(ipv4_key(live_[i]));
      live_[i] = next_++;
      beginning.push_back(ipv4_key(live_[i]));
    }
  }

 private:
  std::size_t draw() {
    return static_cast<std::size_t>((scrambled(++drawn_) >> 32) * live_.size() >> 32);
  }
  template <typename Number>
  std::vector<FlowKey> made(Number&& number) {
    std::vector<FlowKey> keys;
    for (std::size_t i = 0; i < kPassKeys; ++i) keys.push_back(ipv4_key(number(i)));
    return keys;
  }

  std::vector<std::uint32_t> live_;  // numbers of the keys in the table
  std::uint32_t next_;
  std::uint64_t drawn_ = 0;
};

void fill(Contender& contender, std::uint32_t flows) {
  std::vector<FlowKey> keys;
  for (std::uint32_t n = 0; n < flows; ++n) {
    keys.push_back(ipv4_key(n));
    if (keys.size() < kPassKeys && n + 1 < flows) continue;
    contender.load(keys);
    for (std::size_t b = 0; b < keys.size() / kBurst; ++b) contender.insert(b);
    keys.clear();
  }
}

}  // namespace

Trial try_out(Contender& contender, std::uint32_t flows) {
  if (flows % kBurst != 0) throw std::logic_error("flows come in bursts");
  Trial t;
  t.bytes_per_flow = static_cast<double>(contender.bytes()) / flows;
  fill(contender, flows);
  Keys keys(flows);
  const auto ask = [&](bool there) {
    Account account;
    for (std::size_t p = 0; p < kPasses; ++p) {
      contender.load(there ? keys.some() : keys.foreign());
      std::uint64_t found = 0;
      account.pass([&](std::size_t b) { found += contender.find(b); });
      if (found != (there ? kPassKeys : 0)) throw std::runtime_error("a flow was lost or invented");
    }
    return account.mean();
  };
  t.hit = ask(true);
  t.miss = ask(false);
  Account erasing;
  Account inserting;
  std::vector<FlowKey> ending;
  std::vector<FlowKey> beginning;
  for (std::size_t p = 0; p < kPasses && flows >= kPassKeys; ++p) {
    keys.turn_over(ending, beginning);
    contender.load(ending);
    erasing.pass([&](std::size_t b) { contender.erase(b); });
    contender.load(beginning);
    inserting.pass([&](std::size_t b) { contender.insert(b); });
  }
  if (flows >= kPassKeys) {
    t.insert = inserting.mean();
    t.erase = erasing.mean();
    t.insert_999 = inserting.worst_burst(0.001);
    t.insert_worst = inserting.worst_burst(0);
    t.erase_999 = erasing.worst_burst(0.001);
    t.erase_worst = erasing.worst_burst(0);
  }
  return t;
}

}  // namespace synproxy::bench
