/* SPDX-License-Identifier: BSD-3-Clause */
/* What an engine and a program in the kernel share of the connections that the kernel carries: the
 * memory of a table of slots. C and C++ read this header alike: the program in the kernel is C.
 *
 * Theory of operation. An engine writes a spliced connection into a free slot, and the state last.
 * From then on the kernel's program finds it by its key, and carries the segments for which the
 * engine would only translate and count (offload_carry.h). All others still come to the engine,
 * which first takes over what the kernel has noted in the slot. To have the connection back, the
 * engine frees the slot. Neither side ever waits for the other, and no system call is made.
 *
 * When the engine writes a connection into a slot, frames of it may still be on their way through
 * the process. The kernel would overtake them. So for each end it begins with a segment whose
 * number is the next one: then everything before has passed. An end that sends without a pause may
 * never show one, so after a while the engine lets it begin all the same.
 *
 * The kernel writes OffloadEnd::next, acked, repeats, packets and bytes; the engine writes the
 * rest, and `next` too; both write `begun`. If both write `next` at the same moment, it stays
 * behind; the next acknowledgment moves it on.
 *
 * Numbers are in host byte order; sequence numbers are those that the client sees, as in
 * FlowRecord.
 */
#pragma once

/* NOLINTBEGIN: C, and fixed arrays in memory that the kernel reads. */
#ifdef __cplusplus
#include <cstddef>
#include <cstdint>
namespace synproxy {
using std::uint16_t;
using std::uint32_t;
using std::uint64_t;
using std::uint8_t;
#else
#include <stddef.h>
#include <stdint.h>
#endif

#define OFFLOAD_WAYS 4U        /* slots that a key may be in */
#define OFFLOAD_SLOTS 1024U    /* a power of two */
#define OFFLOAD_LINK_BYTES 12U /* both MAC addresses of a frame */
/* Super-frames in shorter pieces than Linux ever makes are not carried (super_frame.h). */
#define OFFLOAD_LEAST_SEGMENT 8U

/* The places of ends in arrays: values of Role. */
#define OFFLOAD_CLIENT 0U
#define OFFLOAD_SERVER 1U

/* In network byte order, as in the packet; IPv4 addresses fill the first word. */
struct OffloadKey {
  uint32_t client[4];
  uint32_t server[4];
  uint16_t client_port;
  uint16_t server_port;
  uint32_t ipv6; /* 0 or 1 */
};

/* One end of a connection, by what it sends. */
struct OffloadEnd {
  uint32_t next;                    /* one past the highest byte seen */
  uint32_t acked;                   /* what it acknowledged last, once `packets` is not 0 */
  uint32_t repeats;                 /* segments with data that was seen before */
  uint32_t window_bound;            /* of all windows that it has shown; bytes */
  uint64_t packets;                 /* carried for it */
  uint64_t bytes;                   /* of these frames */
  uint8_t link[OFFLOAD_LINK_BYTES]; /* its frames have these addresses */
  uint8_t window_scale;             /* of its window field; 0: none */
  uint8_t min_ttl;                  /* frames with less are the engine's */
  uint32_t begun;   /* the kernel carries for it; 0: not before a segment begins at `next` */
  uint32_t longest; /* bytes of payload that the other end takes in a segment */
};

enum OffloadState {
  OFFLOAD_FREE = 0,
  OFFLOAD_TAKEN = 1,   /* an engine is writing it */
  OFFLOAD_CARRIED = 2, /* the kernel carries it */
};

/* OffloadSlot::flags */
#define OFFLOAD_TIMESTAMPS 1U      /* every segment has them, in the usual place */
#define OFFLOAD_TRANSLATES 2U      /* numbers and windows differ between the ends */
#define OFFLOAD_SERVER_UNSCALED 4U /* the client scales its window, the server does not */
#define OFFLOAD_SERVER_SILENT 8U   /* the engine wants to see the server's first byte */

struct OffloadSlot {
  uint32_t state;
  uint32_t flags;
  struct OffloadKey key;
  uint32_t delta; /* SplicedPart: what is added to what the client sees */
  uint32_t ts_delta;
  uint32_t offered_scale; /* that the client was promised of the server's window */
  uint32_t unused;
  struct OffloadEnd end[2];
};

/* What holds for the whole table. */
struct OffloadShared {
  uint64_t seed;         /* random: nobody outside can tell which slots a key may be in */
  uint32_t on;           /* 0: the kernel carries nothing, and no engine begins */
  uint32_t carried;      /* slots in use; 0: the kernel need not look */
  uint32_t interface[2]; /* where frames for that role leave: an index; 0: nowhere */
  uint32_t mtu[2];       /* of these interfaces, bytes of an IP packet */
  uint32_t lost[2];      /* frames of that role that somebody took before they could be carried */
};

#ifdef __cplusplus
static_assert(sizeof(OffloadKey) == 40 && sizeof(OffloadEnd) == 56);
static_assert(sizeof(OffloadSlot) == 176 && offsetof(OffloadSlot, end) == 64);
}  // namespace synproxy
#endif
/* NOLINTEND */
