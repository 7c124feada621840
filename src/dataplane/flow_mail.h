// SPDX-License-Identifier: BSD-3-Clause
// What control asks of a worker about its flows, and what the worker answers.
//
// Theory of operation. A worker's table is the worker's alone: another thread that read a record
// while it is written would see half of two. So control asks, and the worker copies. There is one
// letter at a time. Its state says whose it is: control writes it while it is kIdle or kDone, the
// worker while it is kAsked, and each hands it over with a release store that the other acquires.
// So nothing in it is ever touched by two threads, and nobody waits for the other. The worker looks
// at the state once a millisecond, and when it has nothing else to do. It does a slice of a letter
// each time: 256 records in a millisecond of a busy worker, so that a million flows take four
// seconds.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "synproxy/base/packet.h"
#include "synproxy/proxy/flow_info.h"

namespace synproxy::dataplane {

class alignas(64) FlowMail {
 public:
  static constexpr std::size_t kMost = 4096;  // flows in one letter

  struct FlowName {
    FlowIndex index = 0;
    FlowKey key;
  };

  // --- Control. `kDone`: the answer may be read until the next question.
  enum class State : std::uint8_t { kIdle, kAsked, kDone };
  [[nodiscard]] State state() const { return state_.load(std::memory_order_acquire); }

  // Not while kAsked. Throws std::bad_alloc. The flows of the records from `from` on.
  void ask_for_flows(FlowIndex from) {
    flows_.resize(kMost);
    begin(What::kCopy);
    next_ = from;
    hand_over();
  }
  // Not while kAsked. What was learned of servers, by their places from `from` on.
  void ask_for_services(FlowIndex from) {
    services_.resize(kMost);
    begin(What::kCopyServices);
    next_ = from;
    hand_over();
  }
  // Not while kAsked. At most kMost.
  void ask_to_delete(std::span<const FlowName> names) {
    names_.assign(names.begin(),
                  names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kMost)));
    begin(What::kDelete);
    hand_over();
  }
  // While kDone.
  [[nodiscard]] std::span<const FlowInfo> flows() const { return {flows_.data(), done_}; }
  [[nodiscard]] std::span<const ServiceInfo> services() const { return {services_.data(), done_}; }
  [[nodiscard]] FlowIndex next() const { return next_; }  // kNoFlow: those were the last
  [[nodiscard]] std::size_t deleted() const { return deleted_; }
  void forget() { state_.store(State::kIdle, std::memory_order_relaxed); }

  // --- The worker.
  [[nodiscard]] bool asked() const { return state() == State::kAsked; }

  // Does a slice of the letter, if there is one. `slice`: records to look at.
  template <typename Engine>
  void serve(Engine& engine, std::uint32_t slice, std::uint64_t now_ms, FrameSink& sink) {
    bool whole = false;
    switch (what_) {
      case What::kCopy:
        whole = copy(engine, slice, now_ms);
        break;
      case What::kCopyServices:
        whole = copy_services(engine, slice);
        break;
      case What::kDelete:
        whole = remove(engine, slice, now_ms, sink);
        break;
    }
    if (whole) state_.store(State::kDone, std::memory_order_release);
  }

 private:
  enum class What : std::uint8_t { kCopy, kCopyServices, kDelete };
  // Each takes two frames, and no slice sends more than the sweep of the engine.
  static constexpr std::uint32_t kMostDeleted = 128;

  void begin(What what) {
    what_ = what;
    done_ = deleted_ = 0;
  }
  void hand_over() { state_.store(State::kAsked, std::memory_order_release); }

  template <typename Engine>
  bool copy(const Engine& engine, std::uint32_t slice, std::uint64_t now_ms) {
    const FlowSlice copied =
        engine.copy_flows(next_, slice, {flows_.data() + done_, kMost - done_}, now_ms);
    done_ += copied.count;
    next_ = copied.next;
    return next_ == kNoFlow || done_ == kMost;
  }
  template <typename Engine>
  bool copy_services(const Engine& engine, std::uint32_t slice) {
    const FlowSlice copied =
        engine.copy_services(next_, slice, {services_.data() + done_, kMost - done_});
    done_ += copied.count;
    next_ = copied.next;
    return next_ == kNoFlow || done_ == kMost;
  }
  template <typename Engine>
  bool remove(Engine& engine, std::uint32_t slice, std::uint64_t now_ms, FrameSink& sink) {
    for (std::uint32_t n = std::min(slice, kMostDeleted); n != 0 && done_ < names_.size(); --n) {
      const FlowName& name = names_[done_++];
      deleted_ += engine.delete_flow(name.index, name.key, now_ms, sink) ? 1U : 0U;
    }
    return done_ == names_.size();
  }

  std::atomic<State> state_{State::kIdle};
  What what_ = What::kCopy;
  FlowIndex next_ = 0;
  std::size_t done_ = 0;  // of the flows copied, or of the names
  std::size_t deleted_ = 0;
  std::vector<FlowInfo> flows_;
  std::vector<ServiceInfo> services_;
  std::vector<FlowName> names_;
};

}  // namespace synproxy::dataplane
