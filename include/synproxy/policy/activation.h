// SPDX-License-Identifier: BSD-3-Clause
// Which services need cookies at the moment (--mode adaptive).
//
// Theory of operation. While a service is at peace, its SYNs pass to the server, and a record is
// made when the server answers with a SYN-ACK. From then until the client's ACK the connection is
// half-open, here and at the server, so the records say what the server holds. Two marks end the
// peace: the half-open connections of the service, and its SYNs of the last ten seconds. Then its
// SYNs are answered with cookies.
//
// Cookies leave nothing half-open, so another number says when the flood is over: the SYNs of the
// last ten seconds that no handshake has followed. A server that gave up after ten seconds would
// hold as many connections. When this number has been below the lower mark for a while, and the SYN
// rate below the same part of its own mark, the service is at peace again. OpenBSD's pf counts the
// cookies that are under way in the same way.
//
// What an attacker can do. Each forged SYN that the server answers counts until the server has
// given up, or until somebody resets it, which frees the server's place too. An ACK counts as the
// end of a handshake only with the server's own number. So nobody can keep a service at peace while
// its queue fills up. To begin cookies needlessly takes no more than a quarter of the queue, and
// costs clients no more than the options that cookies cannot carry. Real handshakes that are
// finished late, after their SYN has left the ten seconds, hide as many forged SYNs from the lower
// mark; but to wait they must be half-open, which the records see.
//
// Services share 4,096 cells by their names, without tags, so nothing can be filled up. Two
// services in one cell get cookies together; with twenty services that happens in one case of 22.
// Whoever aims a SYN at another's cell could as well aim it at the service itself. Each worker
// decides alone, with its part of the marks, because connections are spread evenly: all workers
// together never let more half-open connections through than the mark allows.
//
// A service with a name may have marks of its own. Where the rule is only monitored, everything is
// counted and logged as ever, but no cookies are sent.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <memory>

#include "synproxy/base/config.h"
#include "synproxy/policy/protect.h"

namespace synproxy {

class Activation {
 public:
  static constexpr std::size_t kCells = 4096;
  static constexpr std::uint64_t kWindowMs = 10'000;

  enum class Why : std::uint8_t { kPeace, kHalfOpen, kSynRate };
  struct Began {
    std::uint16_t cell = 0;
    Why why = Why::kPeace;
    std::uint32_t value = 0;  // half-open connections, or SYNs a second
    NamedServiceId named = 0;
    bool monitored = false;  // they would begin
  };

  // Takes 256 KB. Throws std::bad_alloc.
  Activation(const EngineTuning& tuning, std::uint32_t workers);
  // A mode that is not adaptive ends all that has begun.
  void retune(Mode mode);
  // The marks of a service with a name; 0: of all others. True: all that had begun has ended,
  // because the rule was monitored or is now.
  bool retune(NamedServiceId named, const AdaptiveTuning& tuning, bool monitored);
  // The same marks for all.
  void retune(const EngineTuning& tuning);

  // Whether anything is to be counted.
  [[nodiscard]] bool adaptive() const { return mode_ == Mode::kAdaptive; }
  // `service`: any number that names it.
  [[nodiscard]] bool wants_cookies(std::uint64_t service) const {
    return mode_ == Mode::kAlways || attacked(service);
  }
  // Cookies have begun for it.
  [[nodiscard]] bool attacked(std::uint64_t service) const {
    const Cell& c = at(service);
    return adaptive() && c.why != Why::kPeace && !c.monitored;
  }

  // --- What happens to a service. `now_ms`: of the worker's clock.
  // A SYN came, whatever becomes of it. Only while adaptive(). `named`: tells whose marks count; it
  // is asked if any may be passed.
  template <std::invocable Named>
  void syn(std::uint64_t service, std::uint64_t now_ms, Named&& named) {
    Cell& c = at(service);
    roll(c, now_ms);
    ++c.syns[c.slot % kSlots];
    ++c.syns_sum;
    if (c.syns_sum > least_syns_ && c.why == Why::kPeace) [[unlikely]] {
      const NamedServiceId of = named();
      if (c.syns_sum > marks_[of].syns) begin(c, Why::kSynRate, c.syns_sum, of);
    }
  }
  // The same where no service has marks of its own.
  void syn(std::uint64_t service, std::uint64_t now_ms) {
    syn(service, now_ms, [] { return NamedServiceId{0}; });
  }
  // Its handshake is over: the client has proven its address. Only while adaptive().
  void proven(std::uint64_t service, std::uint64_t now_ms) {
    Cell& c = at(service);
    roll(c, now_ms);
    ++c.proven[c.slot % kSlots];
    ++c.proven_sum;
  }
  // A connection is half-open at the server, or is not any more. In every mode. `counts`: whether
  // the mode of the service itself is adaptive.
  void half_open(std::uint64_t service, bool more, bool counts = true, NamedServiceId named = 0);

  // --- What follows from it.
  // Whether cookies have begun for a service since the last call; then `out` says for which.
  [[nodiscard]] bool take_began(Began& out);
  // To be called about once a millisecond. Calls ended(cell, monitored) for each cell that has come
  // to peace.
  template <typename Ended>
  void tick(std::uint64_t now_ms, Ended&& ended) {
    const std::uint64_t due = std::min<std::uint64_t>((now_ms - ticked_ms_) * kCellsPerMs, kCells);
    ticked_ms_ = now_ms;
    if (active() + monitored_ == 0) return;
    for (std::uint64_t i = 0; i < due; ++i, at_ = (at_ + 1) % kCells) {
      Cell& c = cells_[at_];
      if (c.why != Why::kPeace && is_over(c, now_ms)) {
        const bool monitored = c.monitored;
        end(c);
        ended(static_cast<std::uint16_t>(at_), monitored);
      }
    }
  }
  [[nodiscard]] static std::uint16_t cell_of(std::uint64_t service) {
    return static_cast<std::uint16_t>(service * 0x9e3779b97f4a7c15ULL >> (64 - kCellBits));
  }
  // How many cells have cookies, by what has begun them.
  [[nodiscard]] std::uint32_t active_by(Why why) const {
    return active_[static_cast<std::size_t>(why)];
  }
  [[nodiscard]] std::uint32_t active() const {
    return active_by(Why::kHalfOpen) + active_by(Why::kSynRate);
  }
  [[nodiscard]] std::uint64_t half_open() const { return half_open_; }  // of all services

 private:
  static constexpr unsigned kCellBits = 12;
  static_assert(kCells == 1U << kCellBits);
  static constexpr std::uint64_t kSlots = 5;
  static constexpr std::uint64_t kSlotMs = kWindowMs / kSlots;
  static constexpr std::size_t kCellsPerMs = 8;  // a pass takes half a second

  struct alignas(64) Cell {
    std::array<std::uint32_t, kSlots> syns{};    // by slots of two seconds
    std::array<std::uint32_t, kSlots> proven{};  // handshakes that were finished
    std::uint32_t syns_sum = 0;
    std::uint32_t proven_sum = 0;
    std::uint32_t slot = 0;  // the youngest
    std::uint32_t half_open = 0;
    std::uint32_t calm_since_ms = 0;
    Why why = Why::kPeace;
    bool calm = false;
    NamedServiceId named = 0;  // whose marks have begun it
    bool monitored = false;
  };
  static_assert(sizeof(Cell) == 64);

  [[nodiscard]] Cell& at(std::uint64_t service) const { return cells_[cell_of(service)]; }
  static void roll(Cell& c, std::uint64_t now_ms) {
    const auto slot = static_cast<std::uint32_t>(now_ms / kSlotMs);
    if (slot != c.slot) [[unlikely]]
      forget(c, slot);
  }
  static void forget(Cell& c, std::uint32_t slot);
  void begin(Cell& c, Why why, std::uint32_t value, NamedServiceId named);
  void end(Cell& c);
  void end_all();
  [[nodiscard]] bool is_over(Cell& c, std::uint64_t now_ms) const;

  std::unique_ptr<Cell[]> cells_;
  const std::uint32_t workers_;
  Mode mode_;
  // Of this worker. Cookies begin above the first two and may end below the next two.
  struct Marks {
    std::uint32_t half_open = 0;
    std::uint64_t syns = 0;  // in the window
    std::uint32_t calm_half_open = 0;
    std::uint64_t calm_syns = 0;
    std::uint32_t hold_ms = 0;
    bool monitored = false;
  };
  [[nodiscard]] Marks marks_of(const AdaptiveTuning& tuning, bool monitored) const;
  std::array<Marks, kMostNamedServices + 1> marks_{};  // 0: of all others
  std::uint64_t least_syns_ = 0;                       // of all marks

  std::uint64_t half_open_ = 0;
  std::array<std::uint32_t, 3> active_{};
  std::uint32_t monitored_ = 0;  // cells that would have cookies
  Began began_;
  bool news_ = false;
  std::uint64_t ticked_ms_ = 0;
  std::size_t at_ = 0;  // of the next tick
};

}  // namespace synproxy
