// SPDX-License-Identifier: BSD-3-Clause
// Where the sockets of a running proxy are, and the way to them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace synproxy::control {

// Where the socket `file` of a proxy of this name may be: first where EAL puts its files for this
// user, then where it does for root.
[[nodiscard]] std::vector<std::string> socket_paths(const std::string& name, std::string_view file);

// A socket of this type, connected to the first of `paths` that answers. Sending and receiving wait
// kPatienceSeconds at most. `or_as` completes "run as root, or as the user that started the proxy,
// ...". Throws RuntimeFailure: not running, or no permission.
[[nodiscard]] int connect_to_first(const std::string& name, const std::vector<std::string>& paths,
                                   int type, std::string_view or_as = {});

// For a receive that has waited that long: throws RuntimeFailure.
[[noreturn]] void throw_no_answer(const std::string& name);

}  // namespace synproxy::control
