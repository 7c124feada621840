// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/early_store.h"

#include <algorithm>
#include <cstring>

namespace synproxy {

EarlyStore::EarlyStore(std::uint64_t memory)
    : capacity_(
          static_cast<std::uint32_t>(std::min<std::uint64_t>(memory / kBufferBytes, kNone - 1))),
      buffers_(new Buffer[capacity_]),
      // Default-initialised on purpose: the kernel hands out the pages when they are first written.
      bytes_(new std::uint8_t[std::size_t{capacity_} * kBufferBytes]) {}

std::uint32_t EarlyStore::take() {
  std::uint32_t b = free_;
  if (b != kNone) {
    free_ = buffers_[b].next;
  } else {
    b = fresh_++;
  }
  ++in_use_;
  buffers_[b] = Buffer{kNone, kNone, 0};
  return b;
}

void EarlyStore::release_chain(Handle first) {
  for (std::uint32_t b = first; b != kNone;) {
    const std::uint32_t next = buffers_[b].next;
    buffers_[b].next = free_;
    free_ = b;
    --in_use_;
    b = next;
  }
}

EarlyStore::Handle EarlyStore::append(Handle head, std::span<const std::uint8_t> frame) {
  const std::size_t needed = (frame.size() + kBufferBytes - 1) / kBufferBytes;
  if (needed == 0 || needed > capacity_ - in_use_) return kNone;
  Handle last = head;
  unsigned segments = head == kNone ? 0 : 1;
  while (last != kNone && buffers_[last].segment != kNone) {
    last = buffers_[last].segment;
    ++segments;
  }
  if (segments >= kMaxSegments) return kNone;

  Handle first = kNone;
  std::uint32_t previous = kNone;
  for (std::size_t at = 0; at < frame.size(); at += kBufferBytes) {
    const std::uint32_t b = take();
    const std::size_t part = std::min(kBufferBytes, frame.size() - at);
    std::memcpy(&bytes_[std::size_t{b} * kBufferBytes], frame.data() + at, part);
    if (previous == kNone) {
      first = b;
    } else {
      buffers_[previous].next = b;
    }
    previous = b;
  }
  buffers_[first].length = static_cast<std::uint32_t>(frame.size());
  if (last == kNone) return first;
  buffers_[last].segment = first;
  return head;
}

std::size_t EarlyStore::read(Handle head, std::span<std::uint8_t> out) const {
  const std::size_t length = std::min<std::size_t>(buffers_[head].length, out.size());
  std::size_t at = 0;
  for (std::uint32_t b = head; b != kNone && at < length; b = buffers_[b].next) {
    const std::size_t part = std::min(kBufferBytes, length - at);
    std::memcpy(out.data() + at, &bytes_[std::size_t{b} * kBufferBytes], part);
    at += part;
  }
  return at;
}

EarlyStore::Handle EarlyStore::pop(Handle head) {
  const Handle next = buffers_[head].segment;
  release_chain(head);
  return next;
}

void EarlyStore::free_all(Handle head) {
  while (head != kNone) head = pop(head);
}

}  // namespace synproxy
