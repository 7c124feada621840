// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/capture_tap.h"

#include <algorithm>

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

}  // namespace

CaptureSession::CaptureSession(const CaptureFilter& what, std::uint64_t number)
    : filter(what), worker(number), copies(copies_first(what)) {}

CaptureRecord* CaptureTap::add(CaptureKind kind, Role side, std::span<const std::uint8_t> frame) {
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

void CaptureTap::before(Role sender, std::span<const Packet> burst, std::uint64_t time) {
  time_ = time;
  matching_ = 0;
  in_burst_ = true;
  kept_ = false;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const Packet& p = burst[i];
    if (!session_->filter.matches(sender, p.data, p.length)) continue;
    matching_ |= 1U << i;
    if (session_->copies) copies_[i] = add(CaptureKind::kCame, sender, {p.data, p.length});
  }
}

void CaptureTap::after(Role sender, std::span<const Packet> burst) {
  in_burst_ = false;
  for (std::size_t i = 0; i < burst.size(); ++i) {
    if ((matching_ >> i & 1U) == 0) continue;
    const Packet& p = burst[i];
    const std::span<const std::uint8_t> frame(p.data, p.length);
    const bool wanted = p.verdict != Verdict::kCut && session_->filter.wants(p.fate);
    CaptureRecord* came = nullptr;
    if (session_->copies) {
      came = copies_[i];
      if (came != nullptr && !wanted) came->kind = CaptureKind::kVoid;
    } else if (wanted) {
      came = add(CaptureKind::kCame, sender, frame);
    }
    if (!wanted) continue;
    kept_ = true;
    tell(came, p);
    if (p.verdict == Verdict::kDrop) continue;
    const Role to = p.verdict == Verdict::kForward ? other(sender) : sender;
    tell(add(CaptureKind::kLeft, to, frame), p);
  }
  kept_ ? session_->ring.publish() : session_->ring.roll_back();
}

void CaptureTap::made(Role to, std::span<const std::uint8_t> frame, std::uint64_t time) {
  if (!session_->filter.any_fate) return;  // it has none
  // The parser promises not to write.
  auto* const bytes = const_cast<std::uint8_t*>(frame.data());
  if (!session_->filter.matches(other(to), bytes, frame.size())) return;
  if (!in_burst_) time_ = time;
  kept_ = true;
  if (add(CaptureKind::kMade, to, frame) == nullptr) lose();
  if (!in_burst_) session_->ring.publish();
}

void CaptureTap::dropped(Role sender, const Packet& packet, std::uint64_t time) {
  if (!session_->filter.wants(packet.fate)) return;
  if (!session_->filter.matches(sender, packet.data, packet.length)) return;
  if (!in_burst_) time_ = time;
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
