/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel does with a segment of a connection that it carries (offload_slot.h). C and C++
 * read this header alike: the kernel's program runs it, and the tests run it as a kernel of their
 * own.
 *
 * A frame goes through
 *   offload_read()       is it a plain segment at all? Else it is the engine's
 *   offload_fits()       would the engine only translate and count it? Else it is the engine's
 *   offload_note()       notes in the slot what the engine has to know
 *   offload_translate()  writes the TCP header anew
 *
 * It follows fits() and note() of spliced/progress.h, and translate.h, by the same rules for
 * numbers and windows (spliced_numbers.h, window_scale.h). What needs more than these is left to
 * the engine: other flags than ACK, PSH, ECE and CWR, other options than timestamps in their usual
 * place (SACK blocks), tags, IPv4 options, extension headers, fragments, frames from another MAC
 * address, windows larger than any before, numbers that do not fit.
 */
#pragma once

#include "synproxy/proxy/offload_slot.h"
#include "synproxy/proxy/spliced_numbers.h"
#include "synproxy/proxy/window_scale.h"

/* NOLINTBEGIN: C. */
#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
namespace synproxy {
#endif

#define OFFLOAD_INLINE static inline __attribute__((always_inline))

/* Sizes of headers; offloads.cc holds them to wire/headers.h, and the places of roles to Role. */
#define OFFLOAD_ETHERNET 14U
#define OFFLOAD_IPV4 20U
#define OFFLOAD_IPV6 40U
#define OFFLOAD_TCP 20U
#define OFFLOAD_TCP_TIMESTAMPS 32U /* with NOP, NOP and the option */
/* As many bytes has any frame with a TCP header, and in front of it there are not more. */
#define OFFLOAD_LEAST (OFFLOAD_ETHERNET + OFFLOAD_IPV6)

/* A segment as it came: the numbers are the sender's own. */
struct OffloadSeen {
  struct OffloadKey key;
  uint32_t seq;
  uint32_t ack;
  uint32_t payload; /* bytes */
  uint32_t window;  /* the field */
  uint32_t tcp_at;
  uint32_t tcp_size; /* OFFLOAD_TCP or OFFLOAD_TCP_TIMESTAMPS */
  uint32_t ttl;
};

OFFLOAD_INLINE uint32_t offload_be16(const uint8_t* at) {
  return (uint32_t)at[0] << 8 | (uint32_t)at[1];
}
OFFLOAD_INLINE uint32_t offload_be32(const uint8_t* at) {
  return offload_be16(at) << 16 | offload_be16(at + 2);
}
OFFLOAD_INLINE void offload_put32(uint8_t* at, uint32_t value) {
  at[0] = (uint8_t)(value >> 24);
  at[1] = (uint8_t)(value >> 16);
  at[2] = (uint8_t)(value >> 8);
  at[3] = (uint8_t)value;
}
/* Four bytes as they lie in memory. */
OFFLOAD_INLINE uint32_t offload_raw32(const uint8_t* at) {
  uint32_t value;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}

/* Where the TCP header begins. `h`: the first OFFLOAD_LEAST bytes of a frame. 0: it has none that
 * is looked for. */
OFFLOAD_INLINE uint32_t offload_tcp_at(const uint8_t* h) {
  const uint32_t type = offload_be16(h + 12);
  if (type == 0x0800U) return OFFLOAD_ETHERNET + OFFLOAD_IPV4;
  return type == 0x86ddU ? OFFLOAD_ETHERNET + OFFLOAD_IPV6 : 0;
}

/* Reads the headers of a frame of `sender`. `h`: the first OFFLOAD_LEAST bytes of it. `tcp`: what
 * comes at offload_tcp_at(h), `have` bytes of it, in OFFLOAD_TCP_TIMESTAMPS bytes. They are two
 * pieces because a program without CAP_PERFMON must not look at a place of its stack that varies.
 * `length`: of the whole frame, as it is on the wire but for a super-frame. 0: it is none of the
 * plain segments. */
OFFLOAD_INLINE int offload_read(const uint8_t* h, const uint8_t* tcp, uint32_t have,
                                uint32_t length, uint32_t sender, struct OffloadSeen* seen) {
  const uint32_t type = offload_be16(h + 12);
  const uint8_t* ip = h + OFFLOAD_ETHERNET;
  uint32_t whole; /* bytes of the packet */
  const int from_client = sender == OFFLOAD_CLIENT;
  if (have < OFFLOAD_TCP) return 0;
  if (type == 0x0800U) {
    if (ip[0] != 0x45U || ip[9] != 6U || (offload_be16(ip + 6) & 0x3fffU) != 0) return 0;
    whole = offload_be16(ip + 2);
    seen->ttl = ip[8];
    seen->tcp_at = OFFLOAD_ETHERNET + OFFLOAD_IPV4;
    seen->key.client[0] = offload_raw32(ip + (from_client ? 12 : 16));
    seen->key.server[0] = offload_raw32(ip + (from_client ? 16 : 12));
    seen->key.client[1] = seen->key.client[2] = seen->key.client[3] = 0;
    seen->key.server[1] = seen->key.server[2] = seen->key.server[3] = 0;
    seen->key.ipv6 = 0;
  } else if (type == 0x86ddU) {
    if ((ip[0] & 0xf0U) != 0x60U || ip[6] != 6U) return 0;
    whole = OFFLOAD_IPV6 + offload_be16(ip + 4);
    seen->ttl = ip[7];
    seen->tcp_at = OFFLOAD_ETHERNET + OFFLOAD_IPV6;
    __builtin_memcpy(seen->key.client, ip + (from_client ? 8 : 24), 16);
    __builtin_memcpy(seen->key.server, ip + (from_client ? 24 : 8), 16);
    seen->key.ipv6 = 1;
  } else {
    return 0;
  }
  __builtin_memcpy(&seen->key.client_port, tcp + (from_client ? 0 : 2), 2);
  __builtin_memcpy(&seen->key.server_port, tcp + (from_client ? 2 : 0), 2);
  seen->seq = offload_be32(tcp + 4);
  seen->ack = offload_be32(tcp + 8);
  seen->window = offload_be16(tcp + 14);
  /* ACK, and of all other flags and reserved bits only PSH, ECE and CWR. */
  if ((offload_be16(tcp + 12) & 0x0f37U) != 0x10U) return 0;
  seen->tcp_size = (uint32_t)(tcp[12] >> 4) * 4U;
  if (seen->tcp_size == OFFLOAD_TCP_TIMESTAMPS) {
    if (have < OFFLOAD_TCP_TIMESTAMPS) return 0;
    if (offload_be32(tcp + OFFLOAD_TCP) != 0x0101080aU) return 0;
  } else if (seen->tcp_size != OFFLOAD_TCP) {
    return 0;
  }
  /* A frame may be padded. A length of 0 is one that the field cannot hold. */
  if (length < OFFLOAD_ETHERNET + whole) return 0;
  if (OFFLOAD_ETHERNET + whole < seen->tcp_at + seen->tcp_size) return 0;
  seen->payload = OFFLOAD_ETHERNET + whole - seen->tcp_at - seen->tcp_size;
  return 1;
}

/* The first of the OFFLOAD_WAYS slots where the key may be. */
OFFLOAD_INLINE uint32_t offload_place(const struct OffloadKey* key, uint64_t seed) {
  uint64_t h = seed ^ ((uint64_t)key->client_port << 16 | key->server_port);
  uint32_t i;
#pragma GCC unroll 4
  for (i = 0; i < 4; ++i) {
    h = (h ^ ((uint64_t)key->client[i] << 32 | key->server[i])) * 0x9e3779b97f4a7c15ULL;
    h ^= h >> 29;
  }
  return (uint32_t)(h >> 32) & (OFFLOAD_SLOTS - 1U) & ~(OFFLOAD_WAYS - 1U);
}

OFFLOAD_INLINE int offload_same_key(const struct OffloadKey* a, const struct OffloadKey* b) {
  uint32_t differs = (uint32_t)(a->client_port ^ b->client_port) |
                     (uint32_t)(a->server_port ^ b->server_port) | (a->ipv6 ^ b->ipv6);
  uint32_t i;
#pragma GCC unroll 4
  for (i = 0; i < 4; ++i) {
    differs |= (a->client[i] ^ b->client[i]) | (a->server[i] ^ b->server[i]);
  }
  return differs == 0;
}

/* Whether the TCP checksum is right, or is the pseudo-header's sum alone, which the sender's kernel
 * leaves to a network card. Of a segment without data. */
OFFLOAD_INLINE int offload_tcp_sum_good(const uint8_t* tcp, const struct OffloadSeen* seen) {
  const uint8_t rest[4] = {0, 6U, 0, (uint8_t)seen->tcp_size}; /* protocol, length */
  uint32_t pseudo = (offload_raw32(rest) & 0xffffU) + (offload_raw32(rest) >> 16);
  uint32_t sum = 0;
  uint32_t i;
  /* Words are added as they lie in memory. */
#pragma GCC unroll 4
  for (i = 0; i < 4; ++i) {
    pseudo += (seen->key.client[i] & 0xffffU) + (seen->key.client[i] >> 16) +
              (seen->key.server[i] & 0xffffU) + (seen->key.server[i] >> 16);
  }
#pragma GCC unroll 8
  for (i = 0; i < OFFLOAD_TCP_TIMESTAMPS; i += 4) {
    if (i < seen->tcp_size) {
      const uint32_t raw = offload_raw32(tcp + i);
      sum += (raw & 0xffffU) + (raw >> 16);
    }
  }
  sum += pseudo;
  sum = (sum & 0xffffU) + (sum >> 16);
  sum = (sum & 0xffffU) + (sum >> 16);
  pseudo = (pseudo & 0xffffU) + (pseudo >> 16);
  pseudo = (pseudo & 0xffffU) + (pseudo >> 16);
  if (sum == 0xffffU) return 1;
  {
    uint16_t field;
    __builtin_memcpy(&field, tcp + 16, sizeof field);
    return field == (uint16_t)pseudo;
  }
}

/* The sequence number of a segment of `sender` as the client sees it. */
OFFLOAD_INLINE uint32_t offload_client_seq(const struct OffloadSlot* slot,
                                           const struct OffloadSeen* seen, uint32_t sender) {
  return sender == OFFLOAD_CLIENT ? seen->seq : number_to_client(seen->seq, slot->delta);
}

/* Whether the engine would only translate and count the segment. `most`: bytes that a packet may
 * have where it leaves. `cut` and `piece`: bytes of the longest packet that it is cut into, and of
 * that one's payload. */
OFFLOAD_INLINE int offload_fits(const struct OffloadSlot* slot, const uint8_t* h,
                                const uint8_t* tcp, const struct OffloadSeen* seen, uint32_t sender,
                                uint32_t cut, uint32_t piece, uint32_t most) {
  const struct OffloadEnd* own = &slot->end[sender];
  const struct OffloadEnd* peer = &slot->end[sender ^ 1U];
  const uint32_t seq = offload_client_seq(slot, seen, sender);
  uint32_t differs = 0;
  uint32_t i;
  const uint32_t with_timestamps = (slot->flags & OFFLOAD_TIMESTAMPS) != 0;
  if (seen->tcp_size != (with_timestamps ? OFFLOAD_TCP_TIMESTAMPS : OFFLOAD_TCP)) return 0;
#pragma GCC unroll 3
  for (i = 0; i < OFFLOAD_LINK_BYTES; i += 4) {
    differs |= offload_raw32(h + i) ^ offload_raw32(own->link + i);
  }
  if (differs != 0 || seen->ttl < own->min_ttl || cut > most || piece > own->longest) return 0;
  if (!own->begun && seq != own->next) return 0;
  if (window_bytes(seen->window, own->window_scale) > own->window_bound) return 0;
  if (!seq_fits(seq, own->next, peer->window_bound)) return 0;
  if (!ack_fits(seen->ack, peer->next, own->window_bound)) return 0;
  if ((slot->flags & OFFLOAD_SERVER_SILENT) != 0 &&
      (sender == OFFLOAD_SERVER ? seen->payload != 0 : seq_after(seen->ack, peer->next))) {
    return 0;
  }
  /* It acknowledges what has not passed here. The engine goes by it only if it is not damaged. */
  if (seq_after(seen->ack, peer->next)) {
    return seen->payload == 0 && offload_tcp_sum_good(tcp, seen);
  }
  return 1;
}

/* Notes a segment that fits. `length`: of its frame. */
OFFLOAD_INLINE void offload_note(struct OffloadSlot* slot, const struct OffloadSeen* seen,
                                 uint32_t sender, uint32_t length) {
  struct OffloadEnd* own = &slot->end[sender];
  struct OffloadEnd* peer = &slot->end[sender ^ 1U];
  const uint32_t seq = offload_client_seq(slot, seen, sender);
  const enum SegmentOrder order = segment_order(seq, seen->payload, own->next);
  if (order == SEGMENT_IN_ORDER) own->next = seq + seen->payload;
  if (order == SEGMENT_REPEATED) own->repeats += 1;
  if (seq_after(seen->ack, peer->next)) peer->next = seen->ack;
  own->acked = seen->ack;
  own->begun = 1;
  /* Frames of one end may come by several CPUs at once. */
  __sync_fetch_and_add(&own->packets, 1);
  __sync_fetch_and_add(&own->bytes, length);
}

/* A window field as the other end has to see it. */
OFFLOAD_INLINE uint32_t offload_window(const struct OffloadSlot* slot, uint32_t window,
                                       uint32_t sender) {
  const uint32_t scale = slot->end[sender].window_scale;
  if (sender == OFFLOAD_SERVER) return window_to_client(window, scale, slot->offered_scale);
  return (slot->flags & OFFLOAD_SERVER_UNSCALED) != 0 ? window_unscaled(window, scale) : window;
}

/* Writes what the other end is to see into the TCP header of a segment that fits; its checksum
 * stays as it is. `tcp`: OFFLOAD_TCP_TIMESTAMPS bytes, of which the first seen->tcp_size are the
 * header. */
OFFLOAD_INLINE void offload_translate(const struct OffloadSlot* slot,
                                      const struct OffloadSeen* seen, uint32_t sender,
                                      uint8_t* tcp) {
  const uint32_t window = offload_window(slot, seen->window, sender);
  if ((slot->flags & OFFLOAD_TRANSLATES) == 0) return;
  tcp[14] = (uint8_t)(window >> 8);
  tcp[15] = (uint8_t)window;
  if (sender == OFFLOAD_CLIENT) {
    offload_put32(tcp + 8, number_to_server(seen->ack, slot->delta));
    if ((slot->flags & OFFLOAD_TIMESTAMPS) != 0) {
      const uint32_t tsecr = offload_be32(tcp + 28);
      if (tsecr_echoes(tsecr)) {
        offload_put32(tcp + 28, number_to_server(tsecr, slot->ts_delta));
      }
    }
  } else {
    offload_put32(tcp + 4, number_to_client(seen->seq, slot->delta));
    if ((slot->flags & OFFLOAD_TIMESTAMPS) != 0) {
      const uint32_t tsval = offload_be32(tcp + 24);
      offload_put32(tcp + 24, number_to_client(tsval, slot->ts_delta));
    }
  }
}

#ifdef __cplusplus
}  // namespace synproxy
#pragma GCC diagnostic pop
#endif
/* NOLINTEND */
