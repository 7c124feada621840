// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/wire/tcp_options.h"

#include <algorithm>

namespace synproxy {

TcpOptions detail::parse_any_tcp_options(const std::uint8_t* options, std::size_t size) {
  TcpOptions out;
  const bool whole =
      walk_options(options, size, [&](std::uint8_t kind, std::size_t at, std::size_t length) {
        const std::uint8_t* value = options + at + 2;
        switch (kind) {
          case kOptionMss:
            if (length == 4) out.mss = load_be<std::uint16_t>(value);
            break;
          case kOptionWindowScale:
            if (length == 3) out.window_scale = std::min(*value, kMaxWindowScale);
            break;
          case kOptionSackPermitted:
            if (length == 2) out.sack_permitted = true;
            break;
          case kOptionTimestamps:
            if (length == 10) {
              out.timestamps = true;
              out.tsval = load_be<std::uint32_t>(value);
              out.tsecr = load_be<std::uint32_t>(value + 4);
            }
            break;
          case kOptionMd5:
          case kOptionAo:
            out.auth = true;
            break;
          default:
            break;
        }
        return true;
      });
  out.malformed = !whole;
  return out;
}

}  // namespace synproxy
