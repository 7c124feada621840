// SPDX-License-Identifier: BSD-3-Clause
// Counts how many of a sorted row of numbers are at or below given ones, for a burst at a time.
//
// Theory of operation. The row lies in nodes of one cache line each. A level above holds the first
// number of each node of the level below, and the highest level is one node. A look-up takes one
// node of each level, and counts in it without a branch. All look-ups of a burst take a level
// before any takes the next, and prefetch: so they wait for memory together. A million numbers of
// 32 bits need five levels; all but the lowest stay in the cache.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace synproxy {

template <typename Number>
class BoundTree {
 public:
  static constexpr std::size_t kPerNode = 64 / sizeof(Number);

  BoundTree() = default;
  // Throws std::bad_alloc. Fewer than 2^31 numbers.
  explicit BoundTree(std::span<const Number> sorted) {
    if (sorted.empty()) return;
    std::vector<std::size_t> sizes;  // of the levels, the lowest first
    for (std::size_t n = sorted.size();; n = nodes_for(n)) {
      sizes.push_back(n);
      if (n <= kPerNode) break;
    }
    std::size_t nodes = 0;
    for (const std::size_t n : sizes) nodes += nodes_for(n);
    nodes_.resize(nodes);
    std::size_t first = 0;
    for (const std::size_t n : sizes) {
      levels_[depth_++] = {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(n)};
      first += nodes_for(n);
    }
    for (std::size_t i = 0; i < sorted.size(); ++i) put(0, i, sorted[i]);
    for (std::size_t level = 1; level < depth_; ++level) {
      for (std::size_t i = 0; i < sizes[level]; ++i) {
        put(level, i, nodes_[levels_[level - 1].first_node + i].numbers[0]);
      }
    }
  }

  [[nodiscard]] bool empty() const { return nodes_.empty(); }
  [[nodiscard]] std::size_t size() const { return empty() ? 0 : levels_[0].size; }
  [[nodiscard]] std::size_t bytes() const { return nodes_.size() * sizeof(Node); }
  // The i-th number. `i` is below size().
  [[nodiscard]] Number operator[](std::size_t i) const {
    return nodes_[i / kPerNode].numbers[i % kPerNode];
  }

  // For each number in `sought`: how many are at or below it. Not for an empty tree. `counts` is as
  // long as `sought`.
  void count(std::span<const Number> sought, std::uint32_t* counts) const {
    for (std::size_t i = 0; i < sought.size(); ++i) counts[i] = 0;
    for (std::size_t level = depth_; level-- > 0;) {
      const Level here = levels_[level];
      const Node* const below =
          level == 0 ? nullptr : nodes_.data() + levels_[level - 1].first_node;
      for (std::size_t i = 0; i < sought.size(); ++i) {
        const std::uint32_t node = counts[i];
        std::uint32_t found = static_cast<std::uint32_t>(node * kPerNode) +
                              count_in(nodes_[here.first_node + node], sought[i]);
        found = std::min(found, here.size);  // the last node is filled up
        if (level != 0) {
          found -= found != 0 ? 1 : 0;  // below all numbers: the first node will say so
          __builtin_prefetch(below + found);
        }
        counts[i] = found;
      }
    }
  }

  friend bool operator==(const BoundTree&, const BoundTree&) = default;

 private:
  struct alignas(64) Node {
    Node() { numbers.fill(std::numeric_limits<Number>::max()); }  // behind all others
    std::array<Number, kPerNode> numbers;
    friend bool operator==(const Node&, const Node&) = default;
  };
  struct Level {
    std::uint32_t first_node = 0;
    std::uint32_t size = 0;  // in numbers
    friend bool operator==(const Level&, const Level&) = default;
  };
  static constexpr std::size_t kMostLevels = 11;  // eight to a node

  [[nodiscard]] static constexpr std::size_t nodes_for(std::size_t n) {
    return (n + kPerNode - 1) / kPerNode;
  }
  [[nodiscard]] static std::uint32_t count_in(const Node& node, Number sought) {
    std::uint32_t n = 0;
    for (const Number at : node.numbers) n += at <= sought ? 1U : 0U;
    return n;
  }
  void put(std::size_t level, std::size_t i, Number n) {
    nodes_[levels_[level].first_node + i / kPerNode].numbers[i % kPerNode] = n;
  }

  std::vector<Node> nodes_;  // the lowest level first
  std::array<Level, kMostLevels> levels_{};
  std::size_t depth_ = 0;
};

}  // namespace synproxy
