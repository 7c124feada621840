/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows of a spliced connection as the other end has to see them. C and C++ read this header
 * alike.
 *
 * RFC 7323 section 2.3: shifts are 0 to 14; 0 where scaling was not agreed. A window is what its
 * field says unless it is called bytes.
 */
#pragma once

#include "synproxy/base/c_and_cpp.h"

#ifdef __cplusplus
namespace synproxy {
#endif

SYNPROXY_RULE uint32_t window_bytes(uint32_t window, uint32_t shift) { return window << shift; }

/* The nearest that the field holds. */
SYNPROXY_RULE uint16_t window_clamped(uint32_t window) {
  return window < 0xffffU ? window & 0xffffU : 0xffffU;
}

/* The server's window as the client has to see it. Rounding never closes an open window. */
SYNPROXY_RULE uint16_t window_to_client(uint32_t window, uint32_t server_shift,
                                        uint32_t offered_shift) {
  const uint32_t scaled = window_bytes(window, server_shift) >> offered_shift;
  return window_clamped(scaled == 0 && window != 0 ? 1U : scaled);
}

/* The client's window for a server that does not scale. */
SYNPROXY_RULE uint16_t window_unscaled(uint32_t window, uint32_t client_shift) {
  return window_clamped(window_bytes(window, client_shift));
}

#ifdef __cplusplus
}  // namespace synproxy
#endif
