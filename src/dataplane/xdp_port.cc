// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/xdp_port.h"

#include <rte_ether.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "base/errors.h"

namespace synproxy::dataplane {
namespace {

// A worker that loses its CPU for 10 ms at 400,000 packets a second finds 4,000 frames.
constexpr std::uint32_t kReceiveFrames = 4096;
constexpr std::uint32_t kSendFrames = 2048;
// The kernel keeps the front of a chunk for XDP programs.
constexpr std::uint32_t kXdpHeadroom = 256;
constexpr std::uint32_t kSmallChunk = 2048;
constexpr std::uint32_t kLargeChunk = 4096;

// The kernel lets go of a queue some 10 to 20 ms after its socket was closed.
constexpr std::chrono::milliseconds kRelease{5};
constexpr unsigned kReleases = 100;

std::unique_ptr<XdpSocket> bind_soon(int interface_index, const XdpMemory& memory,
                                     std::uint32_t queue, bool copy) {
  for (unsigned i = 0;; ++i) {
    try {
      return std::make_unique<XdpSocket>(interface_index, memory, queue, copy);
    } catch (const std::system_error& error) {
      if (error.code().value() != EBUSY || i == kReleases) throw;
    }
    std::this_thread::sleep_for(kRelease);
  }
}

[[noreturn]] void refuse(const XdpPortRequest& request, const std::system_error& error) {
  const std::string said = error.what();
  switch (error.code().value()) {
    case EPERM:
    case EACCES:
      throw UsageError(request.who + ": no permission (" + said + "); run as root");
    case EBUSY:
    case EEXIST:
      throw RuntimeFailure(request.who + ": another program has it (" + said + "); end that, or '" +
                           "ip link set dev " + request.interface + " xdp off'");
    case ENOBUFS:
      throw UsageError(request.who + ": no more memory may be locked (" + said +
                       "); 'ulimit -l unlimited', or LimitMEMLOCK=infinity in the unit");
    default:
      throw RuntimeFailure(request.who + ": the interface cannot be opened: " + said);
  }
}

}  // namespace

struct XdpPort::Queue {
  explicit Queue(std::unique_ptr<XdpSocket> made) : socket(std::move(made)) {}

  struct alignas(64) Receiving {  // written by the worker that receives
    Counter oversize;
  };
  struct alignas(64) Sending {  // by those who send
    rte_spinlock_t lock = RTE_SPINLOCK_INITIALIZER;
  };

  const std::unique_ptr<XdpSocket> socket;
  Receiving receiving;
  Sending sending;
};

XdpPort::XdpPort(XdpPortRequest request, std::vector<Descriptor> files, rte_mempool* pool)
    : request_(std::move(request)),
      pool_(pool),
      dev_(request_.interface),
      prep_(dev_, InterfacePrep::Frames::kAsOnTheWire, record_directory(), request_.addresses) {
  const auto facts = dev_.facts();
  if (!facts) throw std::system_error(ENODEV, std::generic_category());
  const QueueCounts queues = dev_.queues();
  shape_ = {
      .interface_index = facts->index,
      .queues = queues.all,
      .send_queues = queues.sending,
      .chunk_bytes = request_.max_frame + kXdpHeadroom <= kSmallChunk ? kSmallChunk : kLargeChunk,
      .receive_frames = kReceiveFrames,
      .send_frames = kSendFrames};
  if (!files.empty()) take(std::move(files));
  link_.begin(facts->running);
}

XdpPort::~XdpPort() = default;

// The order of files().
void XdpPort::take(std::vector<Descriptor> files) {
  constexpr std::size_t kBefore = 2;
  memory_ = std::make_unique<XdpMemory>(std::move(files.front()));
  if (memory_->shape().interface_index != shape_.interface_index ||
      files.size() != kBefore + memory_->shape().queues) {
    throw std::system_error(ENODEV, std::generic_category(), "what was handed over");
  }
  shape_ = memory_->shape();
  program_.link = std::move(files[1]);
  for (std::uint32_t q = 0; q < shape_.queues; ++q) {
    queues_.push_back(std::make_unique<Queue>(
        std::make_unique<XdpSocket>(std::move(files[kBefore + q]), *memory_, q)));
  }
  can_change_hands_ = true;
}

// The program first: it decides whether the sockets may do without copying.
void XdpPort::make() {
  memory_ = std::make_unique<XdpMemory>(shape_);
  program_ = attach_xdp_program(shape_.interface_index, shape_.queues);
  for (std::uint32_t q = 0; q < shape_.queues; ++q) {
    queues_.push_back(
        std::make_unique<Queue>(bind_soon(shape_.interface_index, *memory_, q, program_.generic)));
    direct_queue(program_, q, queues_.back()->socket->descriptor());
  }
  program_.sockets = {};  // the program has it
  can_change_hands_ = !request_.old_kernel && queues_.front()->socket->can_change_hands();
}

void XdpPort::drop() {
  program_ = {};
  queues_.clear();
  memory_.reset();
  missed_before_.reset();
}

void XdpPort::open() {
  const std::lock_guard lock(asked_);
  if (open_) return;
  try {
    if (queues_.empty()) make();
  } catch (const std::system_error& error) {
    drop();
    refuse(request_, error);
  }
  if (!memory_->lock()) {
    throw RuntimeFailure(request_.who + ": the queues are those of another process, which runs");
  }
  for (const auto& queue : queues_) {
    queue->socket->receiver().go_on();
    queue->socket->sender().go_on();
  }
  if (!missed_before_) missed_before_ = missed();
  open_ = true;
}

void XdpPort::close() {
  const std::lock_guard lock(asked_);
  if (!open_) return;
  open_ = false;
  if (can_change_hands_) {
    memory_->unlock();
  } else {
    drop();
  }
}

std::vector<int> XdpPort::files() const {
  const std::lock_guard lock(asked_);
  if (!open_ || !can_change_hands_) return {};
  std::vector<int> all = {memory_->descriptor(), program_.link.get()};
  for (const auto& queue : queues_) all.push_back(queue->socket->descriptor());
  return all;
}

bool XdpPort::has_link() const { return dev_.facts().value_or(NetdevFacts{}).running; }

std::uint16_t XdpPort::receive(std::uint16_t queue, rte_mbuf** out, std::uint16_t n,
                               IoCounters& io) {
  Queue& from = *queues_[queue];
  XdpReceiver& receiver = from.socket->receiver();
  const std::uint32_t waiting = std::min<std::uint32_t>(receiver.waiting(), n);
  if (waiting == 0) {
    if (receiver.needs_wakeup()) from.socket->wake_receiving();
    return 0;
  }
  std::uint16_t got = 0;
  for (std::uint32_t i = 0; i < waiting; ++i) {
    const std::span<const std::uint8_t> frame = receiver.frame(i);
    if (frame.size() < RTE_ETHER_HDR_LEN || frame.size() > request_.max_frame) {
      from.receiving.oversize.add(1);
      continue;
    }
    rte_mbuf* m = rte_pktmbuf_alloc(pool_);
    if (m == nullptr) {
      io.no_buffer.add(1);
      continue;
    }
    std::memcpy(rte_pktmbuf_mtod(m, void*), frame.data(), frame.size());
    m->data_len = static_cast<std::uint16_t>(frame.size());
    m->pkt_len = m->data_len;
    out[got++] = m;
  }
  receiver.release(waiting);
  return got;
}

Sent XdpPort::transmit(unsigned worker, rte_mbuf** frames, std::uint16_t n) {
  Queue& to = *queues_[worker % shape_.send_queues];
  XdpSender& sender = to.socket->sender();
  const bool shared = request_.workers > shape_.send_queues;
  Sent sent;
  if (shared) rte_spinlock_lock(&to.sending.lock);
  const std::uint32_t room = sender.room();
  for (std::uint16_t i = 0; i < n && sent.packets < room; ++i) {
    const std::uint16_t length = frames[i]->data_len;
    if (length < RTE_ETHER_HDR_LEN || length > shape_.chunk_bytes) continue;
    std::memcpy(sender.chunk(sent.packets).data(), rte_pktmbuf_mtod(frames[i], void*), length);
    sender.put(sent.packets++, length);
    sent.bytes += length;
  }
  if (sent.packets != 0) sender.send(sent.packets);
  if (shared) rte_spinlock_unlock(&to.sending.lock);
  to.socket->wake_sending(sent.packets);
  rte_pktmbuf_free_bulk(frames, n);
  return sent;
}

int XdpPort::wait_descriptor(std::uint16_t queue) const {
  return queue < queues_.size() ? queues_[queue]->socket->descriptor() : -1;
}

void XdpPort::clear_wait_error() {
  for (const auto& queue : queues_) queue->socket->clear_error();
}

void XdpPort::supervise(std::vector<std::string>& lines) {
  prep_.claim();
  if (!std::exchange(warned_, true) && !prep_.warning().empty()) lines.push_back(prep_.warning());
  if (gone_) return;
  const auto facts = dev_.facts();
  if (facts && facts->index == shape_.interface_index) {
    link_.observe(facts->running, lines);
    return;
  }
  gone_ = true;
  link_.lost();
  lines.emplace_back("the interface is gone; restart the proxy when it is back");
}

std::uint64_t XdpPort::missed() const {
  std::uint64_t all = 0;
  for (const auto& queue : queues_) all += queue->socket->missed();
  return all;
}

PortStatus XdpPort::status() const {
  const std::lock_guard lock(asked_);
  PortStatus s;
  s.name = request_.typed;
  s.link_up = link_.up();
  s.link_changes = link_.changes();
  s.rx_missed = missed() - missed_before_.value_or(missed());
  for (const auto& queue : queues_) s.rx_oversize += queue->receiving.oversize.get();
  s.driver = "xdp";
  s.rx_queues = shape_.queues;
  s.tx_queues = shape_.send_queues;
  s.mtu = dev_.facts().value_or(NetdevFacts{}).mtu;
  return s;
}

}  // namespace synproxy::dataplane
