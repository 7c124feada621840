// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/packet_ring.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace synproxy::dataplane {
namespace {

constexpr std::uint32_t kBlockBytes = 1U << 16;
constexpr std::uint32_t kMaxRingBytes = 16U << 20;
// Space before the frame in a slot: tpacket2_hdr, sockaddr_ll, alignment, virtio_net_hdr.
constexpr std::uint32_t kSlotOverhead = 128;

// Super-frames that wait. With 1 MB a twentieth of them is lost when eight streams run, with 32 MB
// none.
constexpr int kApartBytes = 32 << 20;

void set_option(int fd, int name, const void* value, socklen_t size, const char* what) {
  if (::setsockopt(fd, SOL_PACKET, name, value, size) != 0) {
    throw std::system_error(errno, std::generic_category(), what);
  }
}

void set_option(int fd, int name, int value, const char* what) {
  set_option(fd, name, &value, sizeof value, what);
}

}  // namespace

PacketRing::PacketRing(std::uint32_t max_frame, std::uint32_t slots) {
  // Protocol 0: nothing is received before bind() has named the interface.
  fd_ = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "packet socket");
  try {
    set_option(fd_, PACKET_VERSION, TPACKET_V2, "PACKET_VERSION");
    set_option(fd_, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
    set_option(fd_, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
    set_option(fd_, PACKET_AUXDATA, 1, "PACKET_AUXDATA");
    set_option(fd_, PACKET_COPY_THRESH, 1, "PACKET_COPY_THRESH");
    // Fewer rights do with less.
    if (::setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &kApartBytes, sizeof kApartBytes) != 0) {
      static_cast<void>(::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &kApartBytes, sizeof kApartBytes));
    }
    slot_bytes_ = (max_frame + kSlotOverhead + 63) / 64 * 64;
    slots_per_block_ = kBlockBytes / slot_bytes_;
    if (slots_per_block_ == 0) {
      throw std::system_error(EMSGSIZE, std::generic_category(), "frame size");
    }
    const std::uint32_t blocks =
        std::min((slots + slots_per_block_ - 1) / slots_per_block_, kMaxRingBytes / kBlockBytes);
    slots_ = blocks * slots_per_block_;
    tpacket_req request{kBlockBytes, blocks, slot_bytes_, slots_};
    set_option(fd_, PACKET_RX_RING, &request, sizeof request, "PACKET_RX_RING");
    map_bytes_ = std::size_t{blocks} * kBlockBytes;
    void* map = ::mmap(nullptr, map_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (map == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    map_ = static_cast<std::uint8_t*>(map);
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

PacketRing::~PacketRing() {
  if (map_ != nullptr) ::munmap(map_, map_bytes_);
  ::close(fd_);
}

int PacketRing::bind(int interface_index) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = interface_index;
  if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return errno;
  packet_mreq membership{};
  membership.mr_ifindex = interface_index;
  membership.mr_type = PACKET_MR_PROMISC;
  if (::setsockopt(fd_, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership) != 0) {
    return errno;
  }
  return 0;
}

int PacketRing::filter(std::span<const sock_filter> program) const {
  const sock_fprog all{static_cast<unsigned short>(program.size()),
                       const_cast<sock_filter*>(program.data())};  // NOLINT: the call reads only
  return ::setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all) == 0 ? 0 : errno;
}

std::uint8_t* PacketRing::slot(std::uint32_t number) const {
  return map_ + std::size_t{number / slots_per_block_} * kBlockBytes +
         std::size_t{number % slots_per_block_} * slot_bytes_;
}

bool PacketRing::holds_more_than(std::uint32_t frames) const {
  const std::uint32_t to_end = slots_ - next_;
  auto* header =
      reinterpret_cast<tpacket2_hdr*>(slot(frames < to_end ? next_ + frames : frames - to_end));
  return (std::atomic_ref<__u32>(header->tp_status).load(std::memory_order_relaxed) &
          TP_STATUS_USER) != 0;
}

bool PacketRing::front(RingFrame& out) const {
  std::uint8_t* s = slot(next_);
  auto* header = reinterpret_cast<tpacket2_hdr*>(s);
  const std::uint32_t status =
      std::atomic_ref<__u32>(header->tp_status).load(std::memory_order_acquire);
  if ((status & TP_STATUS_USER) == 0) return false;
  out.data = s + header->tp_mac;
  out.captured = header->tp_snaplen;
  out.length = header->tp_len;
  out.tagged = (status & TP_STATUS_VLAN_VALID) != 0;
  out.tci = header->tp_vlan_tci;
  out.tpid =
      (status & TP_STATUS_VLAN_TPID_VALID) != 0 ? header->tp_vlan_tpid : std::uint16_t{ETH_P_8021Q};
  out.apart = (status & TP_STATUS_COPY) != 0;
  std::memcpy(&out.offload, out.data - sizeof out.offload, sizeof out.offload);
  return true;
}

void PacketRing::release() {
  auto* header = reinterpret_cast<tpacket2_hdr*>(slot(next_));
  std::atomic_ref<__u32>(header->tp_status).store(TP_STATUS_KERNEL, std::memory_order_release);
  if (++next_ == slots_) next_ = 0;
}

std::size_t PacketRing::receive_apart(std::span<Apart> out) {
  constexpr std::size_t kControl = CMSG_SPACE(sizeof(tpacket_auxdata));
  std::array<mmsghdr, kMostApart> messages{};
  std::array<std::array<iovec, 3>, kMostApart> parts;
  alignas(cmsghdr) std::array<std::array<char, kControl>, kMostApart> control;
  const std::size_t wanted = std::min(out.size(), kMostApart);
  for (std::size_t i = 0; i < wanted; ++i) {
    parts[i] = {{{&out[i].offload, sizeof out[i].offload},
                 {out[i].room.data(), out[i].room.size()},
                 {out[i].more.data(), out[i].more.size()}}};
    msghdr& m = messages[i].msg_hdr;
    m.msg_iov = parts[i].data();
    m.msg_iovlen = parts[i].size();
    m.msg_control = control[i].data();
    m.msg_controllen = kControl;
  }
  const int got = ::recvmmsg(fd_, messages.data(), static_cast<unsigned>(wanted),
                             MSG_DONTWAIT | MSG_TRUNC, nullptr);
  for (int i = 0; i < got; ++i) {
    Apart& a = out[static_cast<std::size_t>(i)];
    mmsghdr& m = messages[static_cast<std::size_t>(i)];
    a.length = m.msg_len - std::min<std::uint32_t>(m.msg_len, sizeof a.offload);
    a.tagged = false;
    const cmsghdr* c = CMSG_FIRSTHDR(&m.msg_hdr);
    if (c == nullptr || c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA) continue;
    tpacket_auxdata aux;
    std::memcpy(&aux, CMSG_DATA(c), sizeof aux);
    a.tagged = (aux.tp_status & TP_STATUS_VLAN_VALID) != 0;
    a.tci = aux.tp_vlan_tci;
    a.tpid = (aux.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? aux.tp_vlan_tpid
                                                              : std::uint16_t{ETH_P_8021Q};
  }
  return got < 0 ? 0 : static_cast<std::size_t>(got);
}

std::uint64_t PacketRing::drops() const {
  tpacket_stats news{};  // the kernel's count starts again from 0 after each reading
  socklen_t size = sizeof news;
  if (::getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &news, &size) != 0) news.tp_drops = 0;
  return drops_.fetch_add(news.tp_drops, std::memory_order_relaxed) + news.tp_drops;
}

void PacketRing::clear_error() const {
  int error = 0;
  socklen_t size = sizeof error;
  static_cast<void>(::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size));
}

}  // namespace synproxy::dataplane
