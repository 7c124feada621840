// SPDX-License-Identifier: BSD-3-Clause
// What the program gives away once its ports are open: its user, its capabilities, and the system
// calls that it never makes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "control/host.h"

namespace synproxy::control {

struct User {
  std::string name;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

// The user of --user; nullopt: none is given. Throws UsageError if there is no such user, if it is
// root, or if this process may not become it.
[[nodiscard]] std::optional<User> find_user(const std::string& name);

// Becomes the user, if there is one, and keeps exactly these capabilities. A process of root that
// stays root keeps all of them.
//
// Call it on the thread that needs them, before the workers are started, which inherit them: other
// threads that exist are left without any. Never again can this process or what it would execute
// gain a privilege. Throws RuntimeFailure.
void drop_privileges(const std::optional<User>& user, std::span<const Host::Capability> keep);

// From here on every thread may make only the system calls that a running proxy makes; others fail
// with EPERM. `bpf`: bpf(2) is one of them. Throws RuntimeFailure.
void filter_system_calls(bool bpf);

// A line for the log, or empty: this process cannot read `path` (of flag `flag`) again at a SIGHUP.
[[nodiscard]] std::string unreadable_note(const std::string& flag, const std::string& path,
                                          const std::string& user);

}  // namespace synproxy::control
