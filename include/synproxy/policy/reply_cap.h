// SPDX-License-Identifier: BSD-3-Clause
// Caps the SYN-ACKs for each claimed source prefix (--reply-rate), so that nobody can use the proxy
// to flood somebody else: a SYN may claim any source, and its answer goes there.
//
// Theory of operation. An attacker can claim as many sources as he likes, so no entry belongs to
// one of them. The times of GCRA (limit_rules.h) stand in an array without tags. A prefix has two
// of them, in one line of the cache, and the looser one decides. Another prefix is mistaken for a
// victim only if victims have filled both of its times. An answer raises both times to no more than
// it must. So an answer to a prefix that shares one of its times with a victim does not raise the
// victim's time.
//
// First SYNs may use a quarter of a second's worth of answers at once. A SYN that was capped is
// remembered (retry_memory.h). If it comes again, a second later, it may use another quarter, which
// first SYNs never reach. So a client whose address is claimed by a flood still gets in. An
// attacker who sends all his SYNs twice gets no more out of the proxy, because both kinds take from
// the same rate.
//
// It belongs to one worker. Clients are spread over the workers, and each has its part of the rate.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "synproxy/base/limits.h"
#include "synproxy/base/wide_product.h"
#include "synproxy/flow/mapping.h"
#include "synproxy/policy/retry_memory.h"
#include "synproxy/wire/bytes.h"

namespace synproxy {

class ReplyCap {
 public:
  using Key = std::array<std::uint64_t, 4>;
  static constexpr std::size_t kLines = 1U << 14;  // 1 MB, so that most of it stays in the cache
  static constexpr std::size_t kTimes = 8;         // in a line
  static constexpr std::size_t kRetryLines = 1U << 16;  // 4 MB, touched while SYNs are capped

  enum class Answer : std::uint8_t { kYes, kMonitored, kNo };

  // `workers`: that have a part of the rate. Throws std::bad_alloc.
  ReplyCap(const LimitTuning& tuning, std::uint32_t workers, const Key& key)
      : workers_(std::max(workers, 1U)),
        key_(key),
        times_(kLines * sizeof(Line), Mapping::Kind::kSparse),
        retries_(kRetryLines) {
    retune(tuning);
  }
  void retune(const LimitTuning& tuning);

  [[nodiscard]] bool on() const { return interval_ != 0; }

  // Where a source's prefix has its times. `raw`: the address as it lies in the packet.
  [[nodiscard]] std::uint64_t place_of_ipv4(std::uint32_t raw) const {
    return folded_product((raw & mask4_) + key_[0], key_[1] | 1U);
  }
  [[nodiscard]] std::uint64_t place_of(const std::uint8_t* source, bool ipv6) const {
    if (!ipv6) return place_of_ipv4(load_raw<std::uint32_t>(source));
    return folded_product((load_raw<std::uint64_t>(source) & mask6_[0]) + key_[1],
                          (load_raw<std::uint64_t>(source + 8) & mask6_[1]) + key_[0]);
  }
  void prefetch(std::uint64_t place) const { __builtin_prefetch(&lines()[place % kLines], 1); }

  // Whether a SYN may be answered; its prefix is charged then. A copy holds all that it needs, so
  // that a loop over SYNs keeps it in registers.
  class Taker {
   public:
    [[nodiscard]] bool take(std::uint64_t place) const {
      std::array<std::uint64_t, kTimes>& at = lines_[place % kLines].at;
      const std::size_t one = place >> 61;
      std::uint64_t& first = at[one];
      std::uint64_t& second = at[one ^ ((place >> 48) % kTimes | 1U)];
      const std::uint64_t looser = std::min(first, second);
      if (looser > limit_) return false;
      const std::uint64_t next = std::max(looser, now_) + interval_;
      first = std::max(first, next);
      second = std::max(second, next);
      return true;
    }

   private:
    friend class ReplyCap;
    struct alignas(64) Line {
      std::array<std::uint64_t, kTimes> at;  // until which the answers so far are paid for
    };
    Taker(Line* lines, std::uint64_t now, std::uint64_t tolerance, std::uint64_t interval)
        : lines_(lines), now_(now), limit_(now + tolerance), interval_(interval) {}

    Line* lines_;
    std::uint64_t now_;
    std::uint64_t limit_;
    std::uint64_t interval_;
  };
  // Of first SYNs. Only while on().
  [[nodiscard]] Taker taker(std::uint64_t now_ms) const { return taker(now_ms, first_); }
  // What becomes of a SYN for which take() was false. `flow`: a keyed hash of its flow.
  [[nodiscard]] Answer over(std::uint64_t place, std::uint64_t now_ms, std::uint64_t flow,
                            std::uint32_t isn);
  void prefetch_over(std::uint64_t flow, std::uint32_t isn) const {
    if (retries_.concerns(static_cast<std::uint32_t>(flow))) retries_.prefetch(mark_of(flow, isn));
  }

  [[nodiscard]] bool monitored() const { return monitored_; }

 private:
  // Times count in units of 2^-kShift milliseconds.
  static constexpr unsigned kShift = 20;
  using Line = Taker::Line;

  [[nodiscard]] Line* lines() const { return static_cast<Line*>(times_.data()); }
  [[nodiscard]] Taker taker(std::uint64_t now_ms, std::uint64_t tolerance) const {
    return {lines(), now_ms << kShift, tolerance, interval_};
  }
  [[nodiscard]] std::uint64_t mark_of(std::uint64_t flow, std::uint32_t isn) const {
    return folded_product(flow + key_[2], isn + key_[3]);
  }

  const std::uint32_t workers_;
  const Key key_;
  Mapping times_;
  std::uint64_t interval_ = 0;  // 0: off
  std::uint64_t first_ = 0;     // how far ahead of its rate a prefix may be for a first SYN
  std::uint64_t again_ = 0;     // ... and for one that comes again
  std::uint32_t mask4_ = 0;     // as addresses lie in packets
  std::array<std::uint64_t, 2> mask6_{};
  bool monitored_ = false;
  RetryMemory retries_;
};

}  // namespace synproxy
