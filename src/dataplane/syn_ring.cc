// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/syn_ring.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <system_error>

#include "synproxy/policy/source_circle.h"

namespace synproxy::dataplane {
namespace {

// A new filter costs the kernel 35 us (setsockopt in a loop, 79 instructions). While the window
// only turns, a hundredth of the circle in this time is fine enough; a new share is passed on
// sooner.
constexpr std::uint64_t kTurnMs = 20;
constexpr std::uint64_t kShareMs = 5;
constexpr double kNewShare = 1.0 / 128;

// The share for which the level stands still is met in about 100 ms: with these factors the loop is
// damped where 100,000 to a million SYNs a second arrive at a ring of 1,024.
constexpr int kWanted = 3;
constexpr double kForLevel = 0.00013;  // by eighth and millisecond
constexpr double kForChange = 0.013;   // by eighth
constexpr double kLeastShare = 1.0 / 64;
constexpr unsigned kStanding = 3;  // a single step may be a moment without a CPU
constexpr unsigned kIdle = 20;

// As in source_circle.h: an attacker who watches which of his addresses are answered learns nothing
// that lasts.
constexpr std::uint64_t kKeyMs = 65'536;

// Without randomness, which the kernel has once it is up, the old key stays.
void renew(std::array<std::uint32_t, 3>& key) {
  std::array<std::uint32_t, 3> fresh;
  if (::getrandom(fresh.data(), sizeof fresh, GRND_NONBLOCK) == sizeof fresh) key = fresh;
}

double share_of(const SourceWindow& window) {
  return static_cast<double>(window.share) / SourceWindow::kWhole;
}

}  // namespace

void RingShare::step(std::uint64_t now_ms, int level) {
  // A long step means that the reader had no CPU: it counts as a short one.
  const auto elapsed = static_cast<double>(std::min<std::uint64_t>(now_ms - stepped_ms_, 4));
  stepped_ms_ = now_ms;
  full_ = level == kFull ? full_ + 1 : 0;
  empty_ = level == 0 ? empty_ + 1 : 0;
  if (full_ >= kStanding) {
    share_ -= share_ / 64;
  } else if (empty_ >= kIdle) {
    share_ += elapsed / 1000;
  } else if (!whole()) {
    share_ += elapsed * kForLevel * (kWanted - level) - kForChange * (level - level_);
  }
  level_ = level;
  share_ = std::clamp(share_, kLeastShare, 1.0);
}

SynRing::SynRing(std::uint32_t max_frame, std::vector<ProtectRule> protect)
    : ring_(max_frame, kSlots), protect_(std::move(protect)) {
  renew(window_.key);
  if (const int error = ring_.filter(syn_filter(protect_, window_)); error != 0) {
    throw std::system_error(error, std::generic_category(), "SO_ATTACH_FILTER");
  }
}

int SynRing::level() const {
  int at_least = 0;
  for (int step = 4; step != 0; step /= 2) {
    const auto eighths = static_cast<std::uint32_t>(at_least + step);
    if (ring_.holds_more_than(ring_.slots() * eighths / 8)) at_least += step;
  }
  return at_least == 7 && ring_.holds_more_than(ring_.slots() - 1) ? RingShare::kFull : at_least;
}

void SynRing::look(std::uint64_t now_ms) {
  if (now_ms == stepped_ms_) return;
  stepped_ms_ = now_ms;
  if (shedding_) {
    share_.step(now_ms, level());
  } else {
    share_ = {};
  }
  if (window_.share == SourceWindow::kWhole && share_.whole()) return;
  const double news = std::abs(share_.share() - share_of(window_));
  if (now_ms - narrowed_ms_ >= (news > kNewShare ? kShareMs : kTurnMs)) narrow(now_ms);
}

void SynRing::looked(std::uint32_t read) { shed_ += read * shed_for_one_; }

void SynRing::narrow(std::uint64_t now_ms) {
  narrowed_ms_ = now_ms;
  const std::uint64_t drops = ring_.drops();
  shed_ += static_cast<double>(drops - reckoned_drops_) * shed_for_one_;
  reckoned_drops_ = drops;
  SourceWindow next = window_;
  next.share = share_.whole() ? SourceWindow::kWhole
                              : static_cast<std::uint32_t>(share_.share() * SourceWindow::kWhole);
  next.edge = static_cast<std::uint32_t>(now_ms * SourceCircle::kTurnPerMs);
  if (now_ms - keyed_ms_ >= kKeyMs) {
    keyed_ms_ = now_ms;
    renew(next.key);
  }
  // Without memory for a new filter the old one stays.
  if (ring_.filter(syn_filter(protect_, next)) != 0) return;
  window_ = next;
  shed_for_one_ = 1 / share_of(window_) - 1;
}

std::uint32_t SynRing::shed_per_mille() const {
  return static_cast<std::uint32_t>(std::lround(1000 * (1 - share_of(window_))));
}

std::uint64_t SynRing::take_shed() {
  const auto whole = static_cast<std::uint64_t>(shed_);
  shed_ -= static_cast<double>(whole);
  return whole;
}

}  // namespace synproxy::dataplane
