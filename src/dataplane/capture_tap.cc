// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/capture_tap.h"

#include <algorithm>
#include <bit>

namespace synproxy::dataplane {
namespace {

// Whether one of the fates asked for may belong to a packet that has been rewritten.
bool copies_first(const CaptureFilter& filter) {
  if (filter.any_fate) return true;
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    const auto fate = static_cast<Reason>(i);
    if (filter.fates[i] && (info(fate).kind != ReasonKind::DROP || may_be_answered(fate))) {
      return true;
    }
  }
  return false;
}

std::vector<Reason> fates_of(const CaptureFilter& filter) {
  std::vector<Reason> all;
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    if (filter.fates[i]) all.push_back(static_cast<Reason>(i));
  }
  return all;
}

}  // namespace

CaptureSession::CaptureSession(const CaptureFilter& what, std::uint64_t number)
    : filter(what),
      worker(number),
      copies(copies_first(what)),
      wanted(copies ? std::vector<Reason>() : fates_of(what)) {}

std::uint64_t CaptureTap::wanted_so_far() const {
  std::uint64_t sum = 0;
  for (const Reason reason : session_->wanted) sum += counts_.get(reason);
  return sum;
}

CaptureRecord* CaptureTap::add(CaptureKind kind, Role side, std::span<const std::uint8_t> frame) {
  if (time_ == 0) time_ = clock_();
  CaptureRecord head;
  head.length = static_cast<std::uint32_t>(frame.size());
  head.captured = std::min(head.length, session_->filter.snaplen);
  head.kind = kind;
  head.side = side;
  head.time = time_;
  head.worker = session_->worker;
  return session_->ring.add(head, frame.data());
}

void CaptureTap::lose() {
  session_->lost.add(1);
  lost_.add(1);
}

void CaptureTap::before(Role sender, std::span<const Packet> burst) {
  time_ = 0;
  matching_ = 0;
  in_burst_ = true;
  kept_ = false;
  if (!session_->copies) {
    wanted_before_ = wanted_so_far();
    return;
  }
  std::uint32_t left = session_->glance.may_match(sender, burst);
  for (; left != 0; left &= left - 1) {
    const auto i = static_cast<std::size_t>(std::countr_zero(left));
    const Packet& p = burst[i];
    if (!session_->filter.matches(sender, p.data, p.length)) continue;
    matching_ |= 1U << i;
    copies_[i] = add(CaptureKind::kCame, sender, {p.data, p.length});
  }
}

void CaptureTap::after(Role sender, std::span<const Packet> burst) {
  in_burst_ = false;
  session_->copies ? keep_copies(sender, burst) : copy_dropped(sender, burst);
  kept_ ? session_->ring.publish() : session_->ring.roll_back();
}

void CaptureTap::keep_copies(Role sender, std::span<const Packet> burst) {
  for (std::uint32_t left = matching_; left != 0; left &= left - 1) {
    const auto i = static_cast<std::size_t>(std::countr_zero(left));
    const Packet& p = burst[i];
    CaptureRecord* const came = copies_[i];
    if (p.verdict == Verdict::kCut || !session_->filter.wants(p.fate)) {
      if (came != nullptr) came->kind = CaptureKind::kVoid;
      continue;
    }
    kept_ = true;
    tell(came, p);
    if (p.verdict == Verdict::kDrop) continue;
    const Role to = p.verdict == Verdict::kForward ? other(sender) : sender;
    tell(add(CaptureKind::kLeft, to, {p.data, p.length}), p);
  }
}

void CaptureTap::copy_dropped(Role sender, std::span<const Packet> burst) {
  if (wanted_so_far() == wanted_before_) [[likely]]
    return;
  const CaptureFilter& filter = session_->filter;
  for (const Packet& p : burst) {
    if (!filter.wants(p.fate)) continue;
    if (p.verdict != Verdict::kDrop || !filter.matches(sender, p.data, p.length)) continue;
    kept_ = true;
    tell(add(CaptureKind::kCame, sender, {p.data, p.length}), p);
  }
}

void CaptureTap::made(Role to, std::span<const std::uint8_t> frame) {
  if (!session_->filter.any_fate) return;  // it has none
  // The parser promises not to write.
  auto* const bytes = const_cast<std::uint8_t*>(frame.data());
  if (!session_->filter.matches(other(to), bytes, frame.size())) return;
  if (!in_burst_) time_ = 0;
  kept_ = true;
  if (add(CaptureKind::kMade, to, frame) == nullptr) lose();
  if (!in_burst_) session_->ring.publish();
}

void CaptureTap::dropped(Role sender, const Packet& packet) {
  if (!session_->filter.wants(packet.fate)) return;
  if (!session_->filter.matches(sender, packet.data, packet.length)) return;
  if (!in_burst_) time_ = 0;
  kept_ = true;
  tell(add(CaptureKind::kCame, sender, {packet.data, packet.length}), packet);
  if (!in_burst_) session_->ring.publish();
}

void CaptureTap::tell(CaptureRecord* record, const Packet& p) {
  if (record == nullptr) return lose();
  record->verdict = p.verdict;
  record->fate = p.fate;
}

}  // namespace synproxy::dataplane
