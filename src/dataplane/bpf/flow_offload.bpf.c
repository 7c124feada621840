/* SPDX-License-Identifier: BSD-3-Clause */
/* Carries segments of established connections from one Linux interface to the other, within the
 * kernel (dataplane/flow_offload.h).
 *
 * Theory of operation. A packet socket sees each frame before the programs at the ingress of its
 * interface do (tcx). So two programs of each port work together, on the same frame, one right
 * after the other and on the same CPU:
 *   ..._filter   the filter of the port's packet socket. It decides. A frame that the kernel
 *                carries does not go to the socket, and what was found is left in a ticket. Other
 *                frames go on to the filter that the socket had before (`rest`), if there is one.
 *   ..._carry    at the ingress. With a ticket for this very frame it translates the frame and
 *                sends it out by the other interface. Other frames go on as if it were not there.
 * Without its socket the filter never runs, and then no ticket is ever written: what is left of a
 * process that was killed does nothing.
 *
 * A frame that has a ticket and does not reach ..._carry is lost: the socket has not got it. That
 * happens if a program that hangs in front of ..._carry keeps it or changes it. The next filter
 * finds the ticket unused, and the kernel carries nothing from then on.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
/* clang-format off: it needs the types of those. */
#include <bpf/bpf_helpers.h>
/* clang-format on */

#include "synproxy/proxy/offload_carry.h"

char kLicense[] SEC("license") = "Dual BSD/GPL";

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, OFFLOAD_SLOTS);
  __type(key, __u32);
  __type(value, struct OffloadSlot);
} slots SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct OffloadShared);
} shared SEC(".maps");

/* What a filter has found out about the frame that it has seen last on this CPU. */
struct Ticket {
  __u32 slot; /* one more than its number; 0: no frame to carry */
  __u32 length;
  struct OffloadSeen seen;
  __u8 tcp[OFFLOAD_TCP_TIMESTAMPS];
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 2); /* by sender */
  __type(key, __u32);
  __type(value, struct Ticket);
} tickets SEC(".maps");

/* By sender: the filter of other frames. */
struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u32);
} rest SEC(".maps");

static __always_inline int find(const struct OffloadShared* all, struct __sk_buff* skb,
                                const __u32 sender, struct Ticket* ticket) {
  __u8 h[OFFLOAD_LEAST] = {};
  __u8 tcp[OFFLOAD_TCP_TIMESTAMPS] = {};
  struct OffloadSeen seen = {};
  __u32 have = OFFLOAD_TCP_TIMESTAMPS;
  __u32 at;
  __u32 i;
  if (bpf_skb_load_bytes(skb, 0, h, OFFLOAD_LEAST) != 0) return 0;
  at = offload_tcp_at(h);
  if (at == 0) return 0;
  if (bpf_skb_load_bytes(skb, at, tcp, OFFLOAD_TCP_TIMESTAMPS) != 0) {
    if (bpf_skb_load_bytes(skb, at, tcp, OFFLOAD_TCP) != 0) return 0;
    have = OFFLOAD_TCP;
  }
  if (!offload_read(h, tcp, have, skb->len, sender, &seen)) return 0;
  const __u32 headers = seen.tcp_at + seen.tcp_size;
  /* Of super-frames the port takes sound ones only (super_frame.h): what is cut is cut from the
   * whole frame, and no piece is shorter than Linux makes it. */
  if (skb->gso_size != 0 &&
      (skb->len != headers + seen.payload || skb->gso_size < OFFLOAD_LEAST_SEGMENT)) {
    return 0;
  }
  const __u32 piece = skb->gso_size != 0 ? skb->gso_size : seen.payload;
  const __u32 cut = (skb->gso_size != 0 ? headers + skb->gso_size : skb->len) - OFFLOAD_ETHERNET;
  const __u32 first = offload_place(&seen.key, all->seed);
  for (i = 0; i < OFFLOAD_WAYS; ++i) {
    const __u32 number = first + i;
    struct OffloadSlot* slot = bpf_map_lookup_elem(&slots, &number);
    if (slot == 0) return 0;
    if (slot->state != OFFLOAD_CARRIED || !offload_same_key(&slot->key, &seen.key)) continue;
    if (!offload_fits(slot, h, tcp, &seen, sender, cut, piece, all->mtu[sender ^ 1U])) return 0;
    ticket->slot = number + 1;
    ticket->length = skb->len;
    ticket->seen = seen;
    __builtin_memcpy(ticket->tcp, tcp, OFFLOAD_TCP_TIMESTAMPS);
    return 1;
  }
  return 0;
}

static __always_inline int filter(struct __sk_buff* skb, const __u32 sender) {
  /* What a call gets the address of is no constant any more. */
  const __u32 own = sender;
  const __u32 zero = 0;
  struct Ticket* ticket = bpf_map_lookup_elem(&tickets, &own);
  struct OffloadShared* all = bpf_map_lookup_elem(&shared, &zero);
  if (ticket == 0 || all == 0) return 0;
  if (ticket->slot != 0) {
    all->on = 0;
    all->lost[sender] += 1;
  }
  ticket->slot = 0;
  if (all->carried != 0 && all->on != 0 && !skb->vlan_present && find(all, skb, sender, ticket)) {
    return 0;
  }
  bpf_tail_call(skb, &rest, sender);
  return -1; /* there is no other filter: the socket takes the whole frame */
}

static __always_inline int carry(struct __sk_buff* skb, const __u32 sender) {
  /* What a call gets the address of is no constant any more. */
  const __u32 own = sender;
  const __u32 zero = 0;
  struct Ticket* ticket = bpf_map_lookup_elem(&tickets, &own);
  struct OffloadShared* all = bpf_map_lookup_elem(&shared, &zero);
  struct OffloadSlot* slot;
  __u8 now[OFFLOAD_TCP] = {};
  __u8 before[OFFLOAD_TCP_TIMESTAMPS];
  __u8 after[OFFLOAD_TCP_TIMESTAMPS];
  __u32 number;
  __u32 at;
  __s64 difference;
  if (ticket == 0 || all == 0 || ticket->slot == 0) return -1;
  number = ticket->slot - 1;
  at = ticket->seen.tcp_at;
  /* The frame that the ticket is for has these numbers. */
  if (ticket->length != skb->len || bpf_skb_load_bytes(skb, at, now, OFFLOAD_TCP) != 0 ||
      offload_raw32(now) != offload_raw32(ticket->tcp) ||
      offload_raw32(now + 4) != offload_raw32(ticket->tcp + 4) ||
      offload_raw32(now + 8) != offload_raw32(ticket->tcp + 8)) {
    return -1;
  }
  ticket->slot = 0;
  slot = bpf_map_lookup_elem(&slots, &number);
  if (slot == 0) return -1;
  __builtin_memcpy(before, ticket->tcp, OFFLOAD_TCP_TIMESTAMPS);
  __builtin_memcpy(after, ticket->tcp, OFFLOAD_TCP_TIMESTAMPS);
  offload_translate(slot, &ticket->seen, sender, after);
  if (ticket->seen.tcp_size == OFFLOAD_TCP_TIMESTAMPS) {
    difference = bpf_csum_diff((__be32*)before, OFFLOAD_TCP_TIMESTAMPS, (__be32*)after,
                               OFFLOAD_TCP_TIMESTAMPS, 0);
    if (bpf_skb_store_bytes(skb, at, after, OFFLOAD_TCP_TIMESTAMPS, 0) != 0) return TC_ACT_SHOT;
  } else {
    difference = bpf_csum_diff((__be32*)before, OFFLOAD_TCP, (__be32*)after, OFFLOAD_TCP, 0);
    if (bpf_skb_store_bytes(skb, at, after, OFFLOAD_TCP, 0) != 0) return TC_ACT_SHOT;
  }
  /* Leaves a field alone that holds the pseudo-header's sum only. */
  if (bpf_l4_csum_replace(skb, at + 16, 0, (__u64)difference, 0) != 0) return TC_ACT_SHOT;
  offload_note(slot, &ticket->seen, sender, ticket->length);
  return (int)bpf_redirect(all->interface[sender ^ 1U], 0);
}

SEC("socket") int client_filter(struct __sk_buff* skb) { return filter(skb, OFFLOAD_CLIENT); }
SEC("socket") int server_filter(struct __sk_buff* skb) { return filter(skb, OFFLOAD_SERVER); }
SEC("tc") int client_carry(struct __sk_buff* skb) { return carry(skb, OFFLOAD_CLIENT); }
SEC("tc") int server_carry(struct __sk_buff* skb) { return carry(skb, OFFLOAD_SERVER); }
