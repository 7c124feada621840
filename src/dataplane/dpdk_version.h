// SPDX-License-Identifier: BSD-3-Clause
// What differs between the versions of DPDK that are supported: 22.11 (Debian 12) and 24.11
// (Debian 13). The rest of the program asks for no version.
#pragma once

#include <rte_ip.h>
#include <rte_telemetry.h>
#include <rte_version.h>

#include <cstdint>

namespace synproxy::dataplane {

// The bytes of an address in an IPv6 header: an array before 24.11, a structure since.
#if RTE_VERSION >= RTE_VERSION_NUM(24, 11, 0, 0)
[[nodiscard]] inline std::uint8_t* bytes_of(rte_ipv6_addr& address) { return address.a; }
#else
[[nodiscard]] inline std::uint8_t* bytes_of(std::uint8_t (&address)[16]) { return address; }
#endif

// Unsigned numbers of telemetry have had another name since 23.03; the old one is deprecated.
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
constexpr rte_tel_value_type kTelemetryUint = RTE_TEL_UINT_VAL;
inline int add_to_dict(rte_tel_data* dict, const char* name, std::uint64_t value) {
  return rte_tel_data_add_dict_uint(dict, name, value);
}
inline int add_to_array(rte_tel_data* array, std::uint64_t value) {
  return rte_tel_data_add_array_uint(array, value);
}
#else
constexpr rte_tel_value_type kTelemetryUint = RTE_TEL_U64_VAL;
inline int add_to_dict(rte_tel_data* dict, const char* name, std::uint64_t value) {
  return rte_tel_data_add_dict_u64(dict, name, value);
}
inline int add_to_array(rte_tel_data* array, std::uint64_t value) {
  return rte_tel_data_add_array_u64(array, value);
}
#endif

// What net_bonding's devices call those below them in their arguments.
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
constexpr const char* kBondingMember = "member";
#else
constexpr const char* kBondingMember = "slave";
#endif

}  // namespace synproxy::dataplane
