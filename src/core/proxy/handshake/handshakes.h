// SPDX-License-Identifier: BSD-3-Clause
// What waits while two handshakes become one connection: early data, and our SYNs and ACKs that may
// have to be repeated.
//
// There is no timer object per flow. An entry may outlive the need for it. The flow's cookie is
// random, so it tells whether the record is still the same connection.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "burst/packet_context.h"
#include "flows/flow_book.h"
#include "synproxy/base/config.h"
#include "synproxy/base/counters.h"
#include "synproxy/proxy/early_store.h"
#include "synproxy/proxy/retry_queue.h"

namespace synproxy {

// Our SYN is repeated after 0.2, 0.4 and 0.8 s, and from then on every second until the server
// answers or --server-timeout is over. A server that comes back, or whose accept queue has room
// again, is noticed within a second. (Linux too repeats a SYN every second at first.)
inline constexpr std::uint32_t kFirstRetryMs = 200;
inline constexpr std::size_t kRetryLevels = 4;
inline constexpr std::array<std::uint32_t, kRetryLevels> kRetryMs{kFirstRetryMs, 400, 800, 1000};
inline constexpr std::size_t kLastRetry = kRetryLevels - 1;
static_assert(EarlyStore::kPatienceMs == kFirstRetryMs, "a fast server has answered before");

class Handshakes {
 public:
  // Throws std::bad_alloc.
  explicit Handshakes(const EngineShape& shape);

  // --- Early data of a flow in kSynSent.
  // Keeps the segment's frame if it is the next one and ends within `limit` bytes. False: it is not
  // kept. If the memory is full, other flows give theirs back; their clients send again.
  [[nodiscard]] bool hold(FlowBook& flows, const Context& c, std::uint32_t limit,
                          std::uint32_t now_ms, Counters& counters);
  // Frees what is held.
  void drop_early(FlowRecord& f);
  // Takes over the list that begins with `head`. Puts each frame together and hands it to
  // use(frame), until use() returns false. Frees all of them.
  template <typename Use>
  void release(EarlyStore::Handle head, Use&& use) {
    early_.each(head, frame_, std::forward<Use>(use));
    early_.free(head);
  }
  [[nodiscard]] std::uint32_t early_buffers() const { return early_.buffers_in_use(); }

  // --- Repeats.
  // Call when our SYN was sent, and no repeat of it is awaited yet. `level`: of the next one.
  void await_syn_ack(FlowIndex i, const FlowRecord& f, std::uint32_t now_ms,
                     std::size_t level = 0) {
    await_retry(level, {i, f.cookie, 0, 0}, now_ms);
  }
  // Our SYN is due now.
  void ask_at_once(FlowIndex i, const FlowRecord& f, std::uint32_t now_ms) {
    await_retry(0, {i, f.cookie, 0, 0}, now_ms - kRetryMs[0]);
  }
  // Call when our ACK was sent. `tsecr`: the TSval of the SYN-ACK that it answers.
  void await_speech(FlowIndex i, const FlowRecord& f, std::uint32_t tsecr, std::uint32_t now_ms) {
    acks_.push({i, f.cookie, tsecr, now_ms + kFirstRetryMs});
  }
  // Calls repeat(index, level) for each flow whose SYN is due and unanswered; the last level is
  // kLastRetry. It returns whether the SYN is to be repeated again. Looks at no more than `limit`
  // entries per level.
  template <typename Repeat>
  void run_syns(const FlowBook& flows, std::uint32_t now_ms, unsigned limit, Repeat&& repeat) {
    RetryQueue::Entry e{};
    for (std::size_t level = 0; level < kRetryLevels; ++level) {
      for (unsigned n = 0; n < limit && syns_[level].pop_due(now_ms, e); ++n) {
        if (!still(flows, e, FlowState::kSynSent)) continue;
        if (repeat(e.flow, level)) await_retry(std::min(level + 1, kLastRetry), e, now_ms);
      }
    }
  }
  // Calls repeat(index, tsecr) for each flow on which nobody has spoken in time.
  template <typename Repeat>
  void run_acks(const FlowBook& flows, std::uint32_t now_ms, unsigned limit, Repeat&& repeat) {
    RetryQueue::Entry e{};
    for (unsigned n = 0; n < limit && acks_.pop_due(now_ms, e); ++n) {
      if (still(flows, e, FlowState::kEstablished) && !flows[e.flow].has(kFlowSpoke)) {
        repeat(e.flow, e.tsecr);
      }
    }
  }

 private:
  // The last queue has room for every flow, so a full one of the others makes the client wait a
  // second, but ends no connection's asking.
  void await_retry(std::size_t level, RetryQueue::Entry e, std::uint32_t now_ms) {
    e.deadline_ms = now_ms + kRetryMs[level];
    if (syns_[level].push(e)) return;
    e.deadline_ms = now_ms + kRetryMs[kLastRetry];
    (void)syns_[kLastRetry].push(e);
  }
  [[nodiscard]] static bool still(const FlowBook& flows, const RetryQueue::Entry& e,
                                  FlowState state) {
    const FlowRecord& f = flows[e.flow];
    return f.state() == state && f.cookie == e.cookie;
  }

  void take_back(FlowRecord& f);

  EarlyStore early_;
  std::array<RetryQueue, kRetryLevels> syns_;
  RetryQueue acks_;
  std::vector<std::uint8_t> frame_;  // one frame put together from the early store
};

}  // namespace synproxy
