// SPDX-License-Identifier: BSD-3-Clause
// lwIP as one end: by its raw API, with its timers called by the virtual clock and its packets
// wrapped into Ethernet and tags. lwIP cannot leave out an option per connection. If the plan does
// not want one, NOPs replace it in the SYN on the way out (or in, for a server), as if the host
// lacked it.
//
// lwIP's state is global. So there is one peer at a time, and a new one begins with everything
// cleared, so that a seed does not see the seed before it.
#include <algorithm>
#include <cstring>

#include "peer.h"
#include "support/naive_checksum.h"
#include "synproxy/wire/seq_num.h"

#ifdef SYNPROXY_SIM_LWIP

extern "C" {
#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
}

namespace {
std::uint32_t lwip_now = 0;
}
// NOLINTBEGIN(readability-identifier-naming): lwIP's names
extern "C" {
std::uint32_t sim_lwip_window_less_one = 0xffff;
std::uint8_t sim_lwip_scale = 0;
std::uint32_t sim_lwip_isn = 0;
std::uint32_t sys_now() { return lwip_now; }
// The virtual clock calls the timers all the time.
void tcp_timer_needed() {}
}
// NOLINTEND(readability-identifier-naming)

namespace synproxy::test::sim {
namespace {

constexpr std::uint64_t kTimerMs = TCP_FAST_INTERVAL;
constexpr std::uint32_t kFarAway = 1U << 20;

class LwipPeer final : public Peer {
 public:
  explicit LwipPeer(const HostPlan& plan);
  ~LwipPeer() override;

  void connect(const Part& part, const Bytes& data, std::uint64_t now) override;
  void listen(const Part& part, bool refuse, std::uint64_t now) override;
  void write(const Bytes& data, std::uint64_t now) override;
  void close(std::uint64_t now) override;
  void abort(std::uint64_t now) override;
  void read(std::uint64_t now) override;
  void forget() override;
  void receive(const DecodedFrame& f, std::uint64_t now) override;
  void tick(std::uint64_t now) override;
  [[nodiscard]] std::uint64_t next_timer() const override;
  [[nodiscard]] bool outstanding() const override {
    return pcb_ != nullptr &&
           (written_ < stream_.size() || pcb_->unsent != nullptr || pcb_->unacked != nullptr);
  }

 private:
  void set_time(std::uint64_t now) { lwip_now = plan_.ts_base + static_cast<std::uint32_t>(now); }
  void new_connection(const Part& part);
  void adopt(tcp_pcb* pcb);
  void leave();  // the application forgets the connection, the stack goes on with it
  void push();   // writes as much of the stream as fits
  void look();   // notes what the stack did outside the callbacks
  void emit(const pbuf* p);
  // Options that the host must not have become NOPs.
  void strip(Bytes& packet) const;
  void note_answer(const Bytes& packet);

  static err_t on_link_output4(netif* n, pbuf* p, const ip4_addr_t*) {
    static_cast<LwipPeer*>(n->state)->emit(p);
    return ERR_OK;
  }
  static err_t on_link_output6(netif* n, pbuf* p, const ip6_addr_t*) {
    static_cast<LwipPeer*>(n->state)->emit(p);
    return ERR_OK;
  }
  static err_t on_connected(void* self, tcp_pcb*, err_t) {
    static_cast<LwipPeer*>(self)->opened = true;
    static_cast<LwipPeer*>(self)->push();
    return ERR_OK;
  }
  static err_t on_accept(void* self, tcp_pcb* pcb, err_t error);
  static err_t on_receive(void* self, tcp_pcb* pcb, pbuf* p, err_t error);
  static err_t on_sent(void* self, tcp_pcb*, u16_t) {
    static_cast<LwipPeer*>(self)->push();
    return ERR_OK;
  }
  static void on_error(void* self, err_t error);

  const HostPlan& plan_;
  netif netif_{};
  ip_addr_t own_{};
  ip_addr_t peer_{};
  tcp_pcb* listener_ = nullptr;
  tcp_pcb* pcb_ = nullptr;
  Bytes stream_;
  std::size_t written_ = 0;
  bool closing_ = false;
  bool fin_given_ = false;
  bool emitting_ = true;
  std::size_t unread_ = 0;
  std::uint32_t peer_isn_ = 0;
  AnsweredSyns answered_;
  std::uint64_t timer_at_ = 0;
  unsigned phase_ = 0;
  std::uint64_t time_wait_until_ = kNever;
};

ip_addr_t to_lwip(const Bytes& address) {
  ip_addr_t a{};
  if (address.size() == 4) {
    IP_ADDR4(&a, address[0], address[1], address[2], address[3]);
  } else {
    a.type = IPADDR_TYPE_V6;
    std::memcpy(ip_2_ip6(&a)->addr, address.data(), 16);
  }
  return a;
}

LwipPeer::LwipPeer(const HostPlan& plan)
    : plan_(plan), own_(to_lwip(plan.address)), peer_(to_lwip(plan.peer)) {
  static const bool initialised = [] {
    lwip_init();
    return true;
  }();
  (void)initialised;
  tcp_ticks = 0;
  const auto init = [](netif* n) -> err_t {
    n->name[0] = 's';
    n->name[1] = 'y';
    n->mtu = 1500;
    n->output = on_link_output4;
    n->output_ip6 = on_link_output6;
    n->flags = NETIF_FLAG_UP | NETIF_FLAG_LINK_UP;
    return ERR_OK;
  };
  const auto input = [](pbuf* p, netif* n) -> err_t { return ip_input(p, n); };
  netif_add(&netif_, plan.ipv6 ? nullptr : ip_2_ip4(&own_), nullptr, nullptr, this, init, input);
  netif_.mtu = static_cast<u16_t>((plan.mss != 0 ? plan.mss : 1460) + (plan.ipv6 ? 60 : 40));
  netif_.mtu6 = netif_.mtu;
  if (plan.ipv6) {
    netif_ip6_addr_set(&netif_, 0, ip_2_ip6(&own_));
    netif_ip6_addr_set_state(&netif_, 0, IP6_ADDR_PREFERRED);
  }
  netif_set_default(&netif_);
  netif_set_up(&netif_);
  netif_set_link_up(&netif_);
  sim_lwip_scale = plan.scale.value_or(0);
}

LwipPeer::~LwipPeer() {
  emitting_ = false;
  LwipPeer::forget();
  if (listener_ != nullptr) tcp_close(listener_);
  netif_remove(&netif_);
}

// Every connection of the stack, known to the application or not.
void LwipPeer::forget() {
  emitting_ = false;
  leave();
  while (tcp_active_pcbs != nullptr) {
    tcp_arg(tcp_active_pcbs, nullptr);
    tcp_err(tcp_active_pcbs, nullptr);
    tcp_abort(tcp_active_pcbs);
  }
  while (tcp_tw_pcbs != nullptr) tcp_abort(tcp_tw_pcbs);
  while (tcp_bound_pcbs != nullptr) tcp_abort(tcp_bound_pcbs);
  emitting_ = true;
}

void LwipPeer::new_connection(const Part& part) {
  leave();
  received.clear();
  opened = peer_closed = all_acked = reset = false;
  stream_.clear();
  written_ = 0;
  closing_ = fin_given_ = false;
  unread_ = 0;
  sim_lwip_isn = part.isn;
  peer_isn_ = part.peer_isn;
  sim_lwip_window_less_one = part.buffer - 1;
  if (!plan_.scale) sim_lwip_window_less_one = std::min(sim_lwip_window_less_one, 0xfffeU);
}

void LwipPeer::leave() {
  if (pcb_ == nullptr) return;
  tcp_arg(pcb_, nullptr);
  tcp_recv(pcb_, nullptr);
  tcp_sent(pcb_, nullptr);
  tcp_err(pcb_, nullptr);
  pcb_ = nullptr;
}

void LwipPeer::adopt(tcp_pcb* pcb) {
  pcb_ = pcb;
  tcp_arg(pcb, this);
  tcp_recv(pcb, on_receive);
  tcp_sent(pcb, on_sent);
  tcp_err(pcb, on_error);
  tcp_nagle_disable(pcb);
}

void LwipPeer::connect(const Part& part, const Bytes& data, std::uint64_t now) {
  set_time(now);
  // The application begins anew. The rest of its last connection dies unheard, as if a process were
  // killed while the network is down. TIME_WAIT stays, but does not keep the port.
  emitting_ = false;
  leave();
  while (tcp_active_pcbs != nullptr) {
    tcp_err(tcp_active_pcbs, nullptr);
    tcp_abort(tcp_active_pcbs);
  }
  emitting_ = true;
  new_connection(part);
  sim_lwip_isn = part.isn + 1;  // lwIP's SYN carries the number before
  stream_ = data;
  tcp_pcb* pcb = tcp_new_ip_type(plan_.ipv6 ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4);
  adopt(pcb);
  pcb->local_port = plan_.port;  // tcp_bind() would find it taken by TIME_WAIT
  ip_addr_copy(pcb->local_ip, own_);
  tcp_connect(pcb, &peer_, plan_.peer_port, on_connected);
}

void LwipPeer::listen(const Part& part, bool refuse, std::uint64_t now) {
  set_time(now);
  new_connection(part);
  if (refuse && listener_ != nullptr) {
    tcp_close(listener_);
    listener_ = nullptr;
  }
  if (refuse || listener_ != nullptr) return;
  tcp_pcb* pcb = tcp_new_ip_type(plan_.ipv6 ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4);
  ip_set_option(pcb, SOF_REUSEADDR);
  tcp_bind(pcb, &own_, plan_.port);
  listener_ = tcp_listen(pcb);
  tcp_arg(listener_, this);
  tcp_accept(listener_, on_accept);
}

err_t LwipPeer::on_accept(void* self, tcp_pcb* pcb, err_t error) {
  auto* const me = static_cast<LwipPeer*>(self);
  if (error != ERR_OK || pcb == nullptr) return ERR_VAL;
  // The proxy may have asked for a client that has gone: lwIP's own callbacks serve this
  // connection.
  if (pcb->rcv_nxt - 1 != me->peer_isn_) return ERR_OK;
  me->leave();
  me->adopt(pcb);
  me->opened = true;
  return ERR_OK;
}

err_t LwipPeer::on_receive(void* self, tcp_pcb*, pbuf* p, err_t) {
  auto* const me = static_cast<LwipPeer*>(self);
  if (p == nullptr) {
    me->peer_closed = true;
    return ERR_OK;
  }
  const std::size_t before = me->received.size();
  me->received.resize(before + p->tot_len);
  pbuf_copy_partial(p, me->received.data() + before, p->tot_len, 0);
  me->unread_ += p->tot_len;
  pbuf_free(p);
  return ERR_OK;
}

void LwipPeer::on_error(void* self, err_t error) {
  auto* const me = static_cast<LwipPeer*>(self);
  if (me == nullptr) return;
  me->pcb_ = nullptr;  // already freed
  if (error == ERR_CLSD) {
    me->all_acked = true;
  } else {
    me->reset = true;
  }
}

void LwipPeer::push() {
  if (pcb_ == nullptr) return;
  while (written_ < stream_.size()) {
    const std::size_t n =
        std::min<std::size_t>({stream_.size() - written_, tcp_sndbuf(pcb_), 4096});
    if (n == 0) break;
    if (tcp_write(pcb_, stream_.data() + written_, static_cast<u16_t>(n), TCP_WRITE_FLAG_COPY) !=
        ERR_OK) {
      break;
    }
    written_ += n;
  }
  // The FIN must travel alone: lwIP 2.1.3 repeats it if it cuts the segment that carries it.
  if (closing_ && !fin_given_ && written_ == stream_.size() && pcb_->unsent == nullptr &&
      tcp_shutdown(pcb_, 0, 1) == ERR_OK) {
    fin_given_ = true;
    tcp_output(pcb_);
  }
}

void LwipPeer::write(const Bytes& data, std::uint64_t now) {
  set_time(now);
  stream_.insert(stream_.end(), data.begin(), data.end());
  if (!opened) return;
  push();
  if (pcb_ != nullptr) tcp_output(pcb_);
}

void LwipPeer::close(std::uint64_t now) {
  set_time(now);
  closing_ = true;
  if (!opened) return;
  push();
  if (pcb_ != nullptr) tcp_output(pcb_);
  look();
}

void LwipPeer::abort(std::uint64_t now) {
  set_time(now);
  tcp_pcb* const pcb = pcb_;
  if (pcb == nullptr) return;
  leave();
  tcp_abort(pcb);
}

void LwipPeer::read(std::uint64_t now) {
  set_time(now);
  while (unread_ > 0 && pcb_ != nullptr) {
    const auto n = static_cast<u16_t>(std::min<std::size_t>(unread_, 0xffff));
    unread_ -= n;
    tcp_recved(pcb_, n);
  }
}

void LwipPeer::look() {
  if (pcb_ == nullptr) return;
  if (opened && closing_) push();
  if (pcb_->state == FIN_WAIT_2 || pcb_->state == TIME_WAIT) all_acked = true;
  if (pcb_->state == TIME_WAIT) leave();
}

void LwipPeer::strip(Bytes& packet) const {
  const std::size_t ip = plan_.ipv6 ? 40 : (packet.at(0) & 0xfU) * 4U;
  std::uint8_t* const tcp = packet.data() + ip;
  if ((tcp[13] & 2U) == 0) return;
  std::uint8_t* o = tcp + 20;
  std::uint8_t* const end = tcp + (tcp[12] >> 4) * 4;
  while (o < end && *o != 0) {
    if (*o == 1) {
      ++o;
      continue;
    }
    const std::size_t length = o[1];
    const bool unwanted =
        (*o == 3 && !plan_.scale) || (*o == 4 && !plan_.sack) || (*o == 8 && !plan_.timestamps);
    if (unwanted) std::fill(o, o + length, std::uint8_t{1});
    o += length;
  }
  tcp[16] = tcp[17] = 0;
  const std::span<const std::uint8_t> all(packet);
  const auto addresses = plan_.ipv6 ? all.subspan(8, 32) : all.subspan(12, 8);
  const std::size_t length = packet.size() - ip;
  const unsigned sum =
      naive_pseudo_header(addresses, kProtocolTcp, length).add(all.subspan(ip)).checksum();
  tcp[16] = static_cast<std::uint8_t>(sum >> 8);
  tcp[17] = static_cast<std::uint8_t>(sum);
}

void LwipPeer::note_answer(const Bytes& packet) {
  const std::uint8_t* const tcp = packet.data() + (plan_.ipv6 ? 40 : (packet.at(0) & 0xfU) * 4U);
  if ((tcp[13] & 0x12U) != 0x12) return;  // SYN and ACK
  std::uint32_t ack = 0;
  for (std::size_t i = 8; i < 12; ++i) ack = ack << 8 | tcp[i];
  answered_.answered(ack - 1);
}

void LwipPeer::emit(const pbuf* p) {
  if (!emitting_) return;
  Bytes packet(p->tot_len);
  pbuf_copy_partial(p, packet.data(), p->tot_len, 0);
  strip(packet);
  note_answer(packet);
  Bytes frame(plan_.peer_mac.begin(), plan_.peer_mac.end());
  frame.insert(frame.end(), plan_.mac.begin(), plan_.mac.end());
  const auto put16 = [&](unsigned v) {
    frame.push_back(static_cast<std::uint8_t>(v >> 8));
    frame.push_back(static_cast<std::uint8_t>(v));
  };
  for (const VlanTag& tag : plan_.tags) {
    put16(tag.tpid);
    put16(tag.tci);
  }
  put16(plan_.ipv6 ? kEtherTypeIpv6 : kEtherTypeIpv4);
  frame.insert(frame.end(), packet.begin(), packet.end());
  out.push_back({std::move(frame)});
}

void LwipPeer::receive(const DecodedFrame& f, std::uint64_t now) {
  set_time(now);
  if (!same_vlans(f.tags, plan_.tags) || f.ipv6 != plan_.ipv6) return;
  if (listener_ != nullptr && f.has(kSyn) && !f.has(kAck) &&
      answered_.is_late(f.seq, peer_isn_, opened && pcb_ == nullptr)) {
    return;
  }
  // lwIP takes ACK and window of a segment before it checks that the segment lies in the window
  // (against RFC 9293 section 3.10.7.4). A late segment of another connection can stop it for good,
  // so the host has a filter in front of it.
  if (pcb_ != nullptr && pcb_->state >= ESTABLISHED && !f.has(kRst | kSyn) &&
      SeqNum(f.seq) - SeqNum(pcb_->rcv_nxt) + kFarAway > 2 * kFarAway) {
    return;
  }
  const std::size_t l2 = 14 + f.tags.size() * 4;
  Bytes packet(f.raw.begin() + static_cast<long>(l2), f.raw.end() - static_cast<long>(f.trailing));
  if (f.checksums_good && f.has(kSyn) && !f.has(kAck)) strip(packet);
  pbuf* const p = pbuf_alloc(PBUF_RAW, static_cast<u16_t>(packet.size()), PBUF_RAM);
  pbuf_take(p, packet.data(), static_cast<u16_t>(packet.size()));
  netif_.input(p, &netif_);
  look();
}

std::uint64_t LwipPeer::next_timer() const {
  return tcp_active_pcbs != nullptr || tcp_tw_pcbs != nullptr ? timer_at_ : kNever;
}

void LwipPeer::tick(std::uint64_t now) {
  set_time(now);
  while (now >= timer_at_) {
    // The clock stood still while there was nothing to do.
    timer_at_ = std::max(timer_at_ + kTimerMs, now > 10 * kTimerMs ? now - 10 * kTimerMs : 0);
    tcp_fasttmr();
    if ((++phase_ & 1U) != 0) tcp_slowtmr();
    look();
  }
  if (tcp_tw_pcbs == nullptr) time_wait_until_ = kNever;
  if (tcp_tw_pcbs != nullptr && time_wait_until_ == kNever) {
    time_wait_until_ = now + plan_.time_wait_ms;
  }
  if (now >= time_wait_until_) {
    while (tcp_tw_pcbs != nullptr) tcp_abort(tcp_tw_pcbs);  // silent in this state
    time_wait_until_ = kNever;
  }
}

}  // namespace

std::unique_ptr<Peer> make_lwip_peer(const HostPlan& plan) {
  return std::make_unique<LwipPeer>(plan);
}
bool lwip_is_there() { return true; }

}  // namespace synproxy::test::sim

#else

namespace synproxy::test::sim {
std::unique_ptr<Peer> make_lwip_peer(const HostPlan&) { return nullptr; }
bool lwip_is_there() { return false; }
}  // namespace synproxy::test::sim

#endif
