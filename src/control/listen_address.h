// SPDX-License-Identifier: BSD-3-Clause
// The address that --metrics names, and the socket that listens there.
#pragma once

#include <string_view>

#include "base/config.h"
#include "base/errors.h"

namespace synproxy::control {

// "9100", "127.0.0.1:9100" or "[::1]:9100". A port alone is the machine's own: 127.0.0.1. Throws
// std::invalid_argument with what is wrong.
[[nodiscard]] ListenAddress parse_listen_address(std::string_view text);

// Another program listens there.
class AddressTaken : public UsageError {
 public:
  using UsageError::UsageError;
};

// A socket that listens at --metrics, for the caller to close. Throws UsageError, and AddressTaken
// of these.
[[nodiscard]] int listen_at(const ListenAddress& where);
// The same where a process of this user may still listen there, which has allowed it
// (SO_REUSEPORT). Nobody is heard before begin_listening(); false: it is refused.
[[nodiscard]] int take_place_at(const ListenAddress& where);
[[nodiscard]] bool begin_listening(int socket);

}  // namespace synproxy::control
