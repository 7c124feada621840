/* SPDX-License-Identifier: BSD-3-Clause */
/* The numbers of a segment of a spliced connection: what the other end calls them, which of them
 * fit, and where they lead. C and C++ read this header alike: these are rules of the engine, and of
 * the kernel for what it carries.
 *
 * `next`: one past the highest byte seen of an end, in the numbers that the client sees
 * (FlowRecord). It moves by a segment that begins there, and over a gap only when the other end has
 * acknowledged what lies behind it.
 */
#pragma once

#include "synproxy/wire/seq_order.h"

#ifdef __cplusplus
namespace synproxy {
#endif

/* The deltas are those of SplicedPart. On the way to the server ack and SACK edges change by
 * `delta` and TSecr by `ts_delta`; on the way to the client seq and TSval do. All others stay. */
SYNPROXY_RULE uint32_t number_to_server(uint32_t number, uint32_t delta) { return number + delta; }
SYNPROXY_RULE uint32_t number_to_client(uint32_t number, uint32_t delta) { return number - delta; }

/* RFC 7323 section 3.2: a TSecr of 0 echoes nothing, so it stays. In either byte order. */
SYNPROXY_RULE bool tsecr_echoes(uint32_t tsecr) { return tsecr != 0; }

/* Whether a number lies within the receiver's window. `next`: of the sender. `takes`: upper bound
 * of all windows that the receiver has shown. */
SYNPROXY_RULE bool seq_fits(uint32_t seq, uint32_t next, uint32_t takes) {
  return seq_within(seq, next - takes, next + takes);
}

/* SND.UNA - MAX.WND <= ack (RFC 5961 section 5.2). `next`: of the other end. It stays behind at a
 * gap, so an ack may lie above it by as much as can be under way. `gives`: upper bound of all
 * windows that the sender of the ack has shown. */
SYNPROXY_RULE bool ack_fits(uint32_t ack, uint32_t next, uint32_t gives) {
  return seq_within(ack, next - 2U * gives, next + gives);
}

enum SegmentOrder {
  SEGMENT_IN_ORDER,     /* begins at `next`: that moves to its end */
  SEGMENT_OUT_OF_ORDER, /* ends behind `next`, and begins elsewhere */
  SEGMENT_REPEATED,     /* all of it was seen before */
  SEGMENT_EMPTY,
};

/* `length`: in the sequence space, with SYN and FIN. */
SYNPROXY_RULE enum SegmentOrder segment_order(uint32_t seq, uint32_t length, uint32_t next) {
  if (seq_after(seq + length, next)) {
    return seq == next ? SEGMENT_IN_ORDER : SEGMENT_OUT_OF_ORDER;
  }
  return length != 0 ? SEGMENT_REPEATED : SEGMENT_EMPTY;
}

#ifdef __cplusplus
}  // namespace synproxy
#endif
