// SPDX-License-Identifier: BSD-3-Clause
// What steering has found out about a frame travels with it, at the start of the headroom of its
// buffer.
//
// Headroom belongs to whoever owns the buffer, so it is written after receiving, is read by the
// worker that the frame was handed to, and means nothing to a device when the frame leaves. A
// buffer whose data begins too early has no room for it: there the engine finds out again.
#pragma once

#include <rte_mbuf.h>

#include "synproxy/proxy/arrival.h"

namespace synproxy::dataplane {

// nullptr: this buffer has no room.
[[nodiscard]] inline Arrival* notes_of(const rte_mbuf& m) {
  return m.data_off >= sizeof(Arrival) ? static_cast<Arrival*>(m.buf_addr) : nullptr;
}

}  // namespace synproxy::dataplane
