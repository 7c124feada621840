// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/xdp_frames.h"

namespace synproxy::dataplane {
namespace {

void check(bool sound) {
  if (!sound) throw std::system_error(EPROTO, std::generic_category(), "memory of AF_XDP");
}

bool holds(const XdpChunks& chunks, std::uint64_t many) {
  return std::has_single_bit(chunks.bytes) && many * chunks.bytes <= chunks.memory.size();
}

}  // namespace

XdpReceiver::XdpReceiver(const XdpRing<xdp_desc>& received, const XdpRing<std::uint64_t>& fill,
                         const XdpChunks& chunks)
    : received_(received), fill_(fill), chunks_(chunks) {
  check(received.size() == fill.size() && holds(chunks, fill.size()));
}

void XdpReceiver::begin() {
  const std::uint32_t size = fill_.size();
  for (std::uint32_t i = 0; i < size; ++i) fill_[i] = std::uint64_t{i} * chunks_.bytes;
  fill_.set_producer(size);
  next_ = 0;
}

void XdpReceiver::go_on() {
  next_ = fill_.producer() - fill_.size();
  received_.set_consumer(next_);
}

std::span<const std::uint8_t> XdpReceiver::frame(std::uint32_t i) const {
  const xdp_desc d = received_[next_ + i];
  const std::uint64_t chunk = d.addr / chunks_.bytes;
  const std::uint64_t offset = d.addr % chunks_.bytes;
  if (chunk >= received_.size() || d.len > chunks_.bytes - offset) return {};
  return {chunks_.memory.data() + d.addr, d.len};
}

void XdpReceiver::release(std::uint32_t frames) {
  const std::uint32_t size = fill_.size();
  for (std::uint32_t i = 0; i < frames; ++i) {
    const std::uint64_t chunk = received_[next_ + i].addr / chunks_.bytes % size;
    fill_[next_ + size + i] = chunk * chunks_.bytes;
  }
  next_ += frames;
  fill_.set_producer(next_ + size);
  received_.set_consumer(next_);
}

XdpSender::XdpSender(const XdpRing<xdp_desc>& transmit, const XdpRing<std::uint64_t>& completed,
                     const XdpChunks& chunks, std::uint32_t first)
    : transmit_(transmit), completed_(completed), chunks_(chunks), first_(first) {
  check(transmit.size() == completed.size() &&
        holds(chunks, std::uint64_t{first} + completed.size()));
}

void XdpSender::begin() {
  for (std::uint32_t i = 0; i < size(); ++i) {
    completed_[i] = (std::uint64_t{first_} + i) * chunks_.bytes;
  }
  completed_.set_consumer(0U - size());
  next_ = 0;
}

void XdpSender::go_on() {
  next_ = transmit_.producer();
  completed_.set_consumer(next_ - size());
}

std::uint64_t XdpSender::address(std::uint32_t i) const {
  const std::uint64_t chunk = completed_[next_ - size() + i] / chunks_.bytes;
  return (first_ + (chunk - first_) % size()) * chunks_.bytes;
}

std::span<std::uint8_t> XdpSender::chunk(std::uint32_t i) const {
  return {chunks_.memory.data() + address(i), chunks_.bytes};
}

void XdpSender::put(std::uint32_t i, std::uint32_t length) const {
  transmit_[next_ + i] = {address(i), length, 0};
}

void XdpSender::send(std::uint32_t frames) {
  next_ += frames;
  transmit_.set_producer(next_);
  completed_.set_consumer(next_ - size());
}

}  // namespace synproxy::dataplane
