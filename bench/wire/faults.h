// SPDX-License-Identifier: BSD-3-Clause
// One list of what may be wrong with an answer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

// clang-format off
#define SYNPROXY_FAULTS(X) \
  X(not_tcp, "neither TCP over IPv4 nor over IPv6") \
  X(ip_header, "IP header with options, a wrong length or a fragment") \
  X(ttl, "TTL or hop limit that is not 64") \
  X(ip_checksum, "checksum of the IP header") \
  X(tcp_header, "TCP header longer than the packet") \
  X(tcp_checksum, "checksum of TCP") \
  X(mac, "MAC addresses not those of an answer") \
  X(address, "addresses or port that are not those of client and server") \
  X(flags, "flags that do not answer what was sent") \
  X(seq, "sequence number that is not the next one") \
  X(ack, "acknowledgement of something that was not sent") \
  X(options, "malformed options") \
  X(option_not_offered, "option that was not offered") \
  X(tsval, "timestamp that is not the sender's") \
  X(tsecr, "echo of a timestamp that was not sent") \
  X(payload, "payload of a wrong length") \
  X(forged_opens, "connection opened by an acknowledgement with a wrong cookie") \
  X(valid_opens_not, "connection not opened although its cookie was acknowledged") \
  X(unasked, "segment that nobody waits for")
// clang-format on

namespace synproxy::generator {

enum class Fault : std::uint8_t {
  none,
#define SYNPROXY_X(name, sentence) name,
  SYNPROXY_FAULTS(SYNPROXY_X)
#undef SYNPROXY_X
      count
};

struct FaultInfo {
  std::string_view name;
  std::string_view sentence;
};

inline constexpr auto kFaults = std::to_array<FaultInfo>({{"none", ""},
#define SYNPROXY_X(name, sentence) {#name, sentence},
                                                          SYNPROXY_FAULTS(SYNPROXY_X)
#undef SYNPROXY_X
});
static_assert(kFaults.size() == static_cast<std::size_t>(Fault::count));

// How often each occurred.
class FaultCount {
 public:
  void add(Fault f, std::uint64_t n = 1) { counts_[static_cast<std::size_t>(f)] += n; }
  void add(const FaultCount& others) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += others.counts_[i];
  }
  [[nodiscard]] std::uint64_t operator[](Fault f) const {
    return counts_[static_cast<std::size_t>(f)];
  }
  [[nodiscard]] std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 1; i < counts_.size(); ++i) sum += counts_[i];
    return sum;
  }

 private:
  std::array<std::uint64_t, kFaults.size()> counts_{};
};

}  // namespace synproxy::generator
