// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/proxy/early_store.h"

#include <algorithm>
#include <cstring>

namespace synproxy {
namespace {

constexpr std::size_t kLengthBytes = sizeof(std::uint32_t);

}  // namespace

EarlyStore::EarlyStore(std::uint64_t memory)
    : capacity_(
          static_cast<std::uint32_t>(std::min<std::uint64_t>(memory / kBufferBytes, kNone - 1))),
      buffers_(new Buffer[capacity_]),
      // Default-initialised on purpose: the kernel hands out the pages when they are first written.
      bytes_(new std::uint8_t[std::size_t{capacity_} * kBufferBytes]) {}

std::uint32_t EarlyStore::buffers_for(Handle head, std::size_t bytes) const {
  const std::uint64_t before = head == kNone ? 0 : buffers_[head].bytes;
  return buffers_of(before + kLengthBytes + bytes) - buffers_of(before);
}

bool EarlyStore::may_hold(Handle head, std::size_t bytes) const {
  if (bytes == 0) return false;
  if (head == kNone) return buffers_for(head, bytes) <= capacity_;
  const Buffer& list = buffers_[head];
  return list.segments < kMaxSegments &&
         buffers_of(std::uint64_t{list.bytes} + kLengthBytes + bytes) <= capacity_;
}

EarlyStore::Handle EarlyStore::pick_victim(Handle head, std::size_t bytes,
                                           const Owner& owner) const {
  const Share& own = shares_[owner.share];
  const Share nobody;
  const Share* most = &nobody;
  for (const Share& share : shares_) {
    if (&share != &own && share.buffers > most->buffers) most = &share;
  }
  // A share that holds as much gives way to the newcomer.
  if (most != &nobody && most->buffers >= own.buffers + buffers_for(head, bytes)) {
    return most->oldest;
  }
  const bool waited = own.oldest != kNone && own.oldest != head &&
                      owner.now_ms - buffers_[own.oldest].since_ms >= kPatienceMs;
  return waited ? own.oldest : kNone;
}

std::uint32_t EarlyStore::take() {
  std::uint32_t b = free_;
  if (b != kNone) {
    free_ = buffers_[b].next;
  } else {
    b = fresh_++;
  }
  ++in_use_;
  buffers_[b].next = kNone;
  return b;
}

EarlyStore::Handle EarlyStore::begin(const Owner& owner) {
  const Handle head = take();
  Share& share = shares_[owner.share];
  buffers_[head] = {.next = kNone,
                    .last = head,
                    .bytes = 0,
                    .older = share.newest,
                    .newer = kNone,
                    .flow = owner.flow,
                    .since_ms = owner.now_ms,
                    .share = static_cast<std::uint16_t>(owner.share),
                    .segments = 0};
  (share.newest == kNone ? share.oldest : buffers_[share.newest].newer) = head;
  share.newest = head;
  ++share.buffers;
  return head;
}

void EarlyStore::write(Handle head, std::span<const std::uint8_t> data) {
  Buffer& list = buffers_[head];
  while (!data.empty()) {
    const std::size_t at = list.bytes % kBufferBytes;
    if (at == 0 && list.bytes != 0) {
      const std::uint32_t b = take();
      ++shares_[list.share].buffers;
      buffers_[list.last].next = b;
      list.last = b;
    }
    const std::size_t part = std::min(kBufferBytes - at, data.size());
    std::memcpy(&bytes_[std::size_t{list.last} * kBufferBytes + at], data.data(), part);
    list.bytes += static_cast<std::uint32_t>(part);
    data = data.subspan(part);
  }
}

EarlyStore::Handle EarlyStore::append(Handle head, std::span<const std::uint8_t> frame,
                                      const Owner& owner) {
  if (head == kNone) head = begin(owner);
  const auto length = static_cast<std::uint32_t>(frame.size());
  write(head, {reinterpret_cast<const std::uint8_t*>(&length), sizeof length});
  write(head, frame);
  ++buffers_[head].segments;
  return head;
}

void EarlyStore::read(Place& place, std::span<std::uint8_t> out) const {
  while (!out.empty()) {
    if (place.at == kBufferBytes) place = {buffers_[place.buffer].next, 0};
    const std::size_t part = std::min(kBufferBytes - place.at, out.size());
    std::memcpy(out.data(), &bytes_[std::size_t{place.buffer} * kBufferBytes + place.at], part);
    place.at += part;
    out = out.subspan(part);
  }
}

void EarlyStore::free(Handle head) {
  if (head == kNone) return;
  const Buffer& list = buffers_[head];
  Share& share = shares_[list.share];
  (list.older == kNone ? share.oldest : buffers_[list.older].newer) = list.newer;
  (list.newer == kNone ? share.newest : buffers_[list.newer].older) = list.older;
  const std::uint32_t count = buffers_of(list.bytes);
  share.buffers -= count;
  in_use_ -= count;
  buffers_[list.last].next = free_;
  free_ = head;
}

}  // namespace synproxy
