// SPDX-License-Identifier: BSD-3-Clause
// Cuts a segment whose payload is more than its receiver may get.
#pragma once

#include <cstdint>

#include "synproxy/wire/segment.h"

namespace synproxy {

// Makes `frame`, which has the headers of `g`, the piece of `size` payload bytes that begins at
// byte `at` of the payload; `nth`: of the pieces, from 0. It gets checksums of its own, so those of
// `g` have been checked.
void make_piece(std::uint8_t* frame, const Segment& g, std::uint32_t at, std::uint32_t size,
                std::uint32_t nth);

}  // namespace synproxy
