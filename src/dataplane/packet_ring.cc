// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/packet_ring.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace synproxy::dataplane {
namespace {

constexpr std::uint32_t kBlockBytes = 1U << 16;
// A reader that loses its CPU for 10 ms at 200,000 packets a second finds 2,000 frames.
constexpr std::uint32_t kMaxSlots = 4096;
constexpr std::uint32_t kMaxRingBytes = 16U << 20;
// Space before the frame in a slot: tpacket2_hdr, sockaddr_ll, alignment, virtio_net_hdr.
constexpr std::uint32_t kSlotOverhead = 128;

// The legacy virtio_net_hdr, in host order. linux/virtio_net.h is not valid C++: it has a member
// named `class`.
struct OffloadHeader {
  std::uint8_t flags;
  std::uint8_t gso_type;
  std::uint16_t header_length;
  std::uint16_t gso_size;
  std::uint16_t checksum_start;
  std::uint16_t checksum_offset;
};
static_assert(sizeof(OffloadHeader) == 10);
constexpr std::uint8_t kNeedsChecksum = 1;  // VIRTIO_NET_HDR_F_NEEDS_CSUM

void set_option(int fd, int name, const void* value, socklen_t size, const char* what) {
  if (::setsockopt(fd, SOL_PACKET, name, value, size) != 0) {
    throw std::system_error(errno, std::generic_category(), what);
  }
}

void set_option(int fd, int name, int value, const char* what) {
  set_option(fd, name, &value, sizeof value, what);
}

}  // namespace

PacketRing::PacketRing(std::uint32_t max_frame) {
  // Protocol 0: nothing is received before bind() has named the interface.
  fd_ = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "packet socket");
  try {
    set_option(fd_, PACKET_VERSION, TPACKET_V2, "PACKET_VERSION");
    set_option(fd_, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
    set_option(fd_, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
    slot_bytes_ = (max_frame + kSlotOverhead + 63) / 64 * 64;
    slots_per_block_ = kBlockBytes / slot_bytes_;
    if (slots_per_block_ == 0) {
      throw std::system_error(EMSGSIZE, std::generic_category(), "frame size");
    }
    const std::uint32_t blocks = std::min((kMaxSlots + slots_per_block_ - 1) / slots_per_block_,
                                          kMaxRingBytes / kBlockBytes);
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

std::uint8_t* PacketRing::slot() const {
  return map_ + std::size_t{next_ / slots_per_block_} * kBlockBytes +
         std::size_t{next_ % slots_per_block_} * slot_bytes_;
}

bool PacketRing::front(RingFrame& out) const {
  std::uint8_t* s = slot();
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
  OffloadHeader offload;
  std::memcpy(&offload, out.data - sizeof offload, sizeof offload);
  out.checksum_missing = (offload.flags & kNeedsChecksum) != 0;
  out.checksum_start = offload.checksum_start;
  out.checksum_offset = offload.checksum_offset;
  return true;
}

void PacketRing::release() {
  auto* header = reinterpret_cast<tpacket2_hdr*>(slot());
  std::atomic_ref<__u32>(header->tp_status).store(TP_STATUS_KERNEL, std::memory_order_release);
  if (++next_ == slots_) next_ = 0;
}

std::uint64_t PacketRing::take_drops() const {
  tpacket_stats stats{};
  socklen_t size = sizeof stats;
  if (::getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &stats, &size) != 0) return 0;
  return stats.tp_drops;
}

void PacketRing::clear_error() const {
  int error = 0;
  socklen_t size = sizeof error;
  static_cast<void>(::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size));
}

}  // namespace synproxy::dataplane
