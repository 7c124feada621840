// SPDX-License-Identifier: BSD-3-Clause
// The page at / of --metrics: the last ten minutes as curves. It is one self-contained document;
// its policy allows its own script and style, by their digests, and questions to its own address.
#pragma once

#include "control/http_server.h"

namespace synproxy::control {

[[nodiscard]] Page live_page();

}  // namespace synproxy::control
