// SPDX-License-Identifier: BSD-3-Clause
#include "control/privileges.h"

#include <grp.h>
#include <pwd.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <type_traits>
#include <vector>

#include "base/errors.h"

namespace synproxy::control {
namespace {

[[noreturn]] void fail_to(const char* what) {
  throw RuntimeFailure(std::string("cannot ") + what + ": " +
                       std::generic_category().message(errno));
}

cap_value_t value_of(Host::Capability capability) {
  return static_cast<cap_value_t>(number_of(capability));
}

cap_flag_value_t has(cap_t set, cap_value_t value) {
  cap_flag_value_t has = CAP_CLEAR;
  static_cast<void>(::cap_get_flag(set, value, CAP_PERMITTED, &has));
  return has;
}

// Those of `keep` that the process has: none is asked for that was never there.
void keep_only(std::span<const Host::Capability> keep) {
  const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> now(::cap_get_proc(),
                                                                          ::cap_free);
  const std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)> next(::cap_init(),
                                                                           ::cap_free);
  if (!now || !next) fail_to("read the capabilities of this process");
  for (const Host::Capability capability : keep) {
    const cap_value_t value = value_of(capability);
    if (has(now.get(), value) == CAP_CLEAR) continue;
    static_cast<void>(::cap_set_flag(next.get(), CAP_PERMITTED, 1, &value, CAP_SET));
    static_cast<void>(::cap_set_flag(next.get(), CAP_EFFECTIVE, 1, &value, CAP_SET));
  }
  static_cast<void>(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0UL, 0UL, 0UL));
  if (::cap_set_proc(next.get()) == 0) return;
  // A sandbox without capset(2) must give no more than what is kept.
  const int error = errno;
  for (cap_value_t value = 0; value <= CAP_LAST_CAP; ++value) {
    if (has(now.get(), value) == has(next.get(), value)) continue;
    errno = error;
    fail_to("give up capabilities");
  }
}

// What an exec could give back at most. Without CAP_SETPCAP it stays: no-new-privileges is enough.
void bound_by(std::span<const Host::Capability> keep) {
  for (cap_value_t value = 0; value <= CAP_LAST_CAP; ++value) {
    const bool kept = std::ranges::any_of(
        keep, [&](Host::Capability capability) { return value_of(capability) == value; });
    if (!kept) static_cast<void>(::cap_drop_bound(value));
  }
}

void become(const User& user) {
  // glibc changes the user of every thread. The others keep no capability; this one does, for
  // keep_only() to choose from.
  if (::prctl(PR_SET_KEEPCAPS, 1UL, 0UL, 0UL, 0UL) != 0) fail_to("keep capabilities");
  if (::initgroups(user.name.c_str(), user.gid) != 0 ||
      ::setresgid(user.gid, user.gid, user.gid) != 0 ||
      ::setresuid(user.uid, user.uid, user.uid) != 0) {
    fail_to(("become the user " + user.name).c_str());
  }
}

}  // namespace

std::optional<User> find_user(const std::string& name) {
  if (name.empty()) return std::nullopt;
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> text(1U << 16);
  static_cast<void>(::getpwnam_r(name.c_str(), &entry, text.data(), text.size(), &found));
  if (found == nullptr) {
    throw UsageError("--user " + name +
                     ": there is no such user; make one with `adduser --system " +
                     "--group --no-create-home " + name + "`");
  }
  if (entry.pw_uid == 0) {
    throw UsageError("--user " + name +
                     ": is root; name a user without privileges, or leave --user out");
  }
  const bool is_it = ::geteuid() == entry.pw_uid && ::getuid() == entry.pw_uid;
  if (!is_it && ::geteuid() != 0) {
    throw UsageError("--user " + name +
                     ": only root can become another user; run as root, or leave --user out");
  }
  return User{name, entry.pw_uid, entry.pw_gid};
}

void drop_privileges(const std::optional<User>& user, std::span<const Host::Capability> keep) {
  if (user && ::geteuid() != user->uid) {
    bound_by(keep);  // the right to do so goes with the user
    become(*user);
  }
  if (::geteuid() != 0) keep_only(keep);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0) fail_to("set no-new-privileges");
  // A process that has become another user may be dumpable again. This also keeps other processes
  // of that user away from the memory.
  static_cast<void>(::prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL));
}

std::string unreadable_note(const std::string& flag, const std::string& path,
                            const std::string& user) {
  if (path.empty() || ::access(path.c_str(), R_OK) == 0) return "";
  return "--" + flag + " " + path + ": the user " + user +
         " cannot read it, so a reload (SIGHUP) will be refused; `" +
         (flag == "secret-file" ? "chown " + user + " " + path
                                : "chgrp " + user + " " + path + "; chmod g+r " + path) +
         "`";
}

}  // namespace synproxy::control
