// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/xdp_socket.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>

namespace synproxy::dataplane {
namespace {

// What the kernel keeps of frames that it has copied and the far end has not taken yet. The default
// holds some 90, less than a burst of held data.
constexpr int kSendBuffer = 8 << 20;
// Without zero-copy, a call sends no more than this (TX_BATCH_SIZE).
constexpr std::uint32_t kFramesOfACall = 32;

void set_option(int fd, int name, const void* value, socklen_t size, const char* what) {
  if (::setsockopt(fd, SOL_XDP, name, value, size) != 0) {
    throw std::system_error(errno, std::generic_category(), what);
  }
}

template <typename T>
bool get_option(int fd, int level, int name, T& value) {
  socklen_t size = sizeof value;
  return ::getsockopt(fd, level, name, &value, &size) == 0 && size == sizeof value;
}

xdp_mmap_offsets offsets_of(int fd) {
  xdp_mmap_offsets at{};
  if (!get_option(fd, SOL_XDP, XDP_MMAP_OFFSETS, at)) {
    throw std::system_error(EPROTO, std::generic_category(), "XDP_MMAP_OFFSETS");
  }
  return at;
}

}  // namespace

XdpSocket::XdpSocket(int interface_index, const XdpMemory& memory, std::uint32_t queue, bool copy)
    : socket_(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)) {
  if (socket_.get() < 0) throw std::system_error(errno, std::generic_category(), "AF_XDP socket");
  try {
    set_up(memory, queue);
    map_rings(memory, queue);
    receiver_->begin();
    sender_->begin();
    sockaddr_xdp address{};
    address.sxdp_family = AF_XDP;
    address.sxdp_ifindex = static_cast<__u32>(interface_index);
    address.sxdp_queue_id = queue;
    // Without XDP_ZEROCOPY the kernel falls back to copying by itself.
    address.sxdp_flags = static_cast<__u16>(XDP_USE_NEED_WAKEUP | (copy ? XDP_COPY : 0));
    if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::system_error(errno, std::generic_category(), "bind");
    }
  } catch (...) {
    unmap();
    throw;
  }
}

XdpSocket::XdpSocket(Descriptor socket, const XdpMemory& memory, std::uint32_t queue)
    : socket_(std::move(socket)) {
  int family = 0;
  if (!get_option(socket_.get(), SOL_SOCKET, SO_DOMAIN, family) || family != AF_XDP) {
    throw std::system_error(EPROTO, std::generic_category(), "AF_XDP socket");
  }
  try {
    map_rings(memory, queue);
  } catch (...) {
    unmap();
    throw;
  }
}

XdpSocket::~XdpSocket() { unmap(); }

void XdpSocket::set_up(const XdpMemory& memory, std::uint32_t queue) {
  const int fd = socket_.get();
  const XdpChunks chunks = memory.chunks(queue);
  const XdpShape& shape = memory.shape();
  xdp_umem_reg area{};
  area.addr = reinterpret_cast<std::uintptr_t>(chunks.memory.data());
  area.len = chunks.memory.size();
  area.chunk_size = chunks.bytes;
  set_option(fd, XDP_UMEM_REG, &area, sizeof area, "memory of AF_XDP");
  const auto set_ring = [fd](int name, std::uint32_t size) {
    set_option(fd, name, &size, sizeof size, "AF_XDP ring");
  };
  set_ring(XDP_UMEM_FILL_RING, shape.receive_frames);
  set_ring(XDP_UMEM_COMPLETION_RING, shape.send_frames);
  set_ring(XDP_RX_RING, shape.receive_frames);
  set_ring(XDP_TX_RING, shape.send_frames);
  // Fewer rights do with less.
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer) != 0) {
    static_cast<void>(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer));
  }
}

template <typename Entry>
XdpRing<Entry> XdpSocket::map_ring(std::uint64_t place, const xdp_ring_offset& at,
                                   std::uint32_t size) {
  const std::size_t bytes = XdpRing<Entry>::bytes(at, size);
  void* map = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                     socket_.get(), static_cast<off_t>(place));
  if (map == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "AF_XDP ring");
  maps_[mapped_] = {static_cast<std::byte*>(map), bytes};
  return XdpRing<Entry>(maps_[mapped_++], at, size);
}

void XdpSocket::map_rings(const XdpMemory& memory, std::uint32_t queue) {
  const xdp_mmap_offsets at = offsets_of(socket_.get());
  const XdpShape& shape = memory.shape();
  const XdpChunks chunks = memory.chunks(queue);
  receiver_.emplace(map_ring<xdp_desc>(XDP_PGOFF_RX_RING, at.rx, shape.receive_frames),
                    map_ring<std::uint64_t>(XDP_UMEM_PGOFF_FILL_RING, at.fr, shape.receive_frames),
                    chunks);
  sender_.emplace(map_ring<xdp_desc>(XDP_PGOFF_TX_RING, at.tx, shape.send_frames),
                  map_ring<std::uint64_t>(XDP_UMEM_PGOFF_COMPLETION_RING, at.cr, shape.send_frames),
                  chunks, shape.receive_frames);
}

void XdpSocket::unmap() {
  while (mapped_ != 0) {
    const std::span<std::byte> map = maps_[--mapped_];
    ::munmap(map.data(), map.size());
  }
}

bool XdpSocket::can_change_hands() const {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* map = ::mmap(nullptr, page, PROT_READ, MAP_SHARED, socket_.get(),
                     static_cast<off_t>(XDP_UMEM_PGOFF_FILL_RING));
  if (map == MAP_FAILED) return false;
  ::munmap(map, page);
  return true;
}

bool XdpSocket::zero_copy() const {
  xdp_options options{};
  return get_option(socket_.get(), SOL_XDP, XDP_OPTIONS, options) &&
         (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

std::uint64_t XdpSocket::missed() const {
  xdp_statistics counts{};
  if (!get_option(socket_.get(), SOL_XDP, XDP_STATISTICS, counts)) return 0;
  return counts.rx_dropped + counts.rx_ring_full;
}

void XdpSocket::wake_sending(std::uint32_t frames) const {
  if (!sender_->needs_wakeup()) return;
  // What the kernel cannot take now goes with the next burst, or when the worker sleeps: poll(2)
  // sends too.
  for (std::uint32_t sent = 0; sent <= frames; sent += kFramesOfACall) {
    if (::sendto(socket_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0) return;
    if (errno != EAGAIN && errno != EBUSY) return;
  }
}

void XdpSocket::wake_receiving() const {
  static_cast<void>(::recvfrom(socket_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr));
}

void XdpSocket::clear_error() const {
  int error = 0;
  static_cast<void>(get_option(socket_.get(), SOL_SOCKET, SO_ERROR, error));
}

}  // namespace synproxy::dataplane
