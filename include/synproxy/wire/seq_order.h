/* SPDX-License-Identifier: BSD-3-Clause */
/* The order of TCP sequence numbers (RFC 9293 section 3.4), which are a circle of 2^32. C and C++
 * read this header alike; C++ uses SeqNum (seq_num.h).
 */
#pragma once

#include "synproxy/base/c_and_cpp.h"

#ifdef __cplusplus
namespace synproxy {
#endif

/* By the shorter way round the circle. Of two numbers exactly half way apart each is before the
 * other. */
SYNPROXY_RULE bool seq_before(uint32_t a, uint32_t b) { return (a - b) >> 31 != 0; }
SYNPROXY_RULE bool seq_after(uint32_t a, uint32_t b) { return seq_before(b, a); }

/* low <= value <= high, walking upwards from low. */
SYNPROXY_RULE bool seq_within(uint32_t value, uint32_t low, uint32_t high) {
  return value - low <= high - low;
}

#ifdef __cplusplus
}  // namespace synproxy
#endif
