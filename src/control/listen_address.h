// SPDX-License-Identifier: BSD-3-Clause
// The address that --metrics names, and the socket that listens there.
#pragma once

#include <string_view>

#include "base/config.h"

namespace synproxy::control {

// "9100", "127.0.0.1:9100" or "[::1]:9100". A port alone is the machine's own: 127.0.0.1. Throws
// std::invalid_argument with what is wrong.
[[nodiscard]] ListenAddress parse_listen_address(std::string_view text);

// A socket that listens at --metrics, for the caller to close. Throws UsageError.
[[nodiscard]] int listen_at(const ListenAddress& where);

}  // namespace synproxy::control
