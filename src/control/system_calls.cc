// SPDX-License-Identifier: BSD-3-Clause
// The system calls of a running proxy: of its own code, glibc, libstdc++, OpenSSL, libsystemd, DPDK
// and its drivers. A call that the kernel or libseccomp does not know is left out.
#include <seccomp.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>

#include "base/errors.h"
#include "control/privileges.h"

namespace synproxy::control {
namespace {

constexpr auto kCalls = std::to_array<const char*>({
    // packets and sockets; families that a program without privileges could not open stay closed
    // to it anyway
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "socket",
    "socketpair",
    // waiting
    "clock_nanosleep",
    "epoll_create",  // DPDK's interrupt thread, whenever a device comes or goes
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    "nanosleep",
    "pause",
    "poll",
    "ppoll",
    "pselect6",
    "select",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_settime",
    "restart_syscall",
    // time
    "clock_getres",
    "clock_gettime",
    "gettimeofday",
    "time",
    // files: those of a reload, records, the store of the flows
    "access",
    "chdir",
    "chmod",
    "close",
    "close_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fallocate",
    "fchmod",
    "fchmodat",
    "fchown",
    "fcntl",
    "fdatasync",
    "flock",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "getcwd",
    "getdents64",
    "inotify_add_watch",
    "inotify_init1",
    "inotify_rm_watch",
    "ioctl",
    "link",
    "linkat",
    "lseek",
    "lstat",
    "memfd_create",
    "mkdir",
    "mkdirat",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pipe",
    "pipe2",
    "pread64",
    "preadv",
    "pwrite64",
    "pwritev",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "splice",
    "stat",
    "statfs",
    "statx",
    "symlink",
    "symlinkat",
    "umask",
    "unlink",
    "unlinkat",
    "utimensat",
    "write",
    "writev",
    // memory
    "brk",
    "get_mempolicy",
    "madvise",
    "mbind",
    "membarrier",
    "mincore",
    "mlock",
    "mlock2",
    "mmap",
    "mprotect",
    "mremap",
    "msync",
    "munlock",
    "munmap",
    "set_mempolicy",
    // threads and signals
    "arch_prctl",
    "clone",
    "clone3",
    "exit",
    "exit_group",
    "futex",
    "futex_wait",
    "futex_wake",
    "get_robust_list",
    "getcpu",
    "gettid",
    "kill",
    "prctl",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_setaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "signalfd4",
    "tgkill",
    "tkill",
    "wait4",
    // who and where
    "capget",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getresgid",
    "getresuid",
    "getrlimit",
    "getrusage",
    "getsid",
    "getuid",
    "prlimit64",
    "setpriority",
    "setrlimit",
    "sysinfo",
    "times",
    "uname",
});

void check(int error, const char* what) {
  if (error == 0) return;
  throw RuntimeFailure(std::string("the filter of system calls: cannot ") + what + ": " +
                       std::generic_category().message(-error) + "; start with --seccomp off");
}

}  // namespace

void filter_system_calls(bool bpf) {
  const std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, void (*)(scmp_filter_ctx)> filter(
      ::seccomp_init(SCMP_ACT_ERRNO(EPERM)), ::seccomp_release);
  if (!filter) throw RuntimeFailure("no memory for the filter of system calls");
  const auto allow = [&](const char* name) {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) return;
    const int error = ::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, number, 0);
    if (error != -EDOM) check(error, name);  // EDOM: another architecture's
  };
  for (const char* name : kCalls) allow(name);
  if (bpf) allow("bpf");
  // Every thread, those of DPDK and of the log too.
  check(::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1), "cover every thread");
  check(::seccomp_load(filter.get()), "load it");
}

}  // namespace synproxy::control
