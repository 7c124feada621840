// SPDX-License-Identifier: BSD-3-Clause
// Private VLANs: the tags of one direction that are not those of the other (--vlan-pair 100:101).
//
// A connection is known by the tags of its client's frames. The VIDs that servers use are
// translated where a frame of theirs is parsed, and back where one is made in their name.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "synproxy/base/packet.h"
#include "synproxy/wire/vlan.h"

namespace synproxy {

struct VlanPair {
  std::uint16_t client = 0;  // VID of frames from clients
  std::uint16_t server = 0;  // VID of frames from servers

  friend bool operator==(const VlanPair&, const VlanPair&) = default;
};

// Takes "100:101". Throws std::invalid_argument with a sentence that says what is wrong.
[[nodiscard]] VlanPair parse_vlan_pair(std::string_view text);

class VlanPairs {
 public:
  VlanPairs() = default;
  // Throws std::invalid_argument if a VID stands on the same side of two pairs.
  explicit VlanPairs(std::vector<VlanPair> pairs);

  [[nodiscard]] bool empty() const { return pairs_.empty(); }
  // The VID under which frames answer one of `sender` that has `vid`.
  [[nodiscard]] std::uint16_t answering(std::uint16_t vid, Role sender) const {
    for (const VlanPair& p : pairs_) {
      if (vid == (sender == Role::kClient ? p.client : p.server)) {
        return sender == Role::kClient ? p.server : p.client;
      }
    }
    return vid;
  }
  // The stack of the clients' frames that belongs to a stack of `sender`.
  [[nodiscard]] VlanStack as_clients(VlanStack vlan, Role sender) const;

 private:
  std::vector<VlanPair> pairs_;  // a handful
};

}  // namespace synproxy
