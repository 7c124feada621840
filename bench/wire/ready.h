// SPDX-License-Identifier: BSD-3-Clause
// A link that is up may lead to a program that does not listen yet: testpmd drops what arrived
// before it began.
#pragma once

#include "stand.h"

namespace synproxy::generator {

// Sends a SYN now and then until a frame comes back or through, then waits for silence. Throws
// std::runtime_error after 20 s.
void wait_for_traffic(const Stand& stand);

}  // namespace synproxy::generator
