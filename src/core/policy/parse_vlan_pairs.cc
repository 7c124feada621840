// SPDX-License-Identifier: BSD-3-Clause
#include "synproxy/policy/vlan_pairs.h"

#include <charconv>
#include <stdexcept>
#include <string>
#include <utility>

namespace synproxy {
namespace {

constexpr unsigned kLastVid = 4094;

std::uint16_t parse_vid(std::string_view text) {
  unsigned vid = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, vid);
  if (error != std::errc() || stop != end || vid < 1 || vid > kLastVid) {
    throw std::invalid_argument("is not a pair of VLANs; write CLIENT:SERVER, each 1 to 4094");
  }
  return static_cast<std::uint16_t>(vid);
}

}  // namespace

VlanPair parse_vlan_pair(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return {parse_vid(text), parse_vid({})};
  return {parse_vid(text.substr(0, colon)), parse_vid(text.substr(colon + 1))};
}

VlanPairs::VlanPairs(std::vector<VlanPair> pairs) : pairs_(std::move(pairs)) {
  for (std::size_t i = 0; i < pairs_.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      const bool client = pairs_[i].client == pairs_[k].client;
      if (!client && pairs_[i].server != pairs_[k].server) continue;
      throw std::invalid_argument("VLAN " +
                                  std::to_string(client ? pairs_[i].client : pairs_[i].server) +
                                  " stands on the same side of two pairs; name it once");
    }
  }
}

}  // namespace synproxy
