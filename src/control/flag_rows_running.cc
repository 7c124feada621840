// SPDX-License-Identifier: BSD-3-Clause
// How the proxy runs, and the flags that have no place in a Config.
#include <array>

#include "control/flag_rows.h"
#include "control/flag_values.h"

namespace synproxy::control {
namespace {

constexpr auto kRunningRows = std::to_array<Flag>({
    {.name = "secret-file",
     .form = "FILE",
     .example = "/etc/synproxy.secret",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "a file of 16 to 1024 bytes that only its owner may read (chmod 600)",
     .help =
         "master secret of the cookies, so that a restarted or a second proxy accepts them (head "
         "-c 32 /dev/urandom > FILE; chmod 600 FILE)",
     .reason = "Without it the proxy makes a random secret at each start: handshakes that are "
               "under way at a restart fail, and their clients try again (with --state-dir they go "
               "on: the keys of the present epochs are kept there). A reload reads the "
               "file again. Another secret in it is used from the first epoch that no worker has "
               "keys of: two to three epochs later. Until then cookies are made with the old one, "
               "so that no handshake fails, and proxies that are given the new file in the same "
               "epoch change over together. Restart where the old secret is to be worthless at "
               "once.",
     .value = path(At<&Config::secret_file>{})},
    {.name = "state-dir",
     .form = "DIR",
     .example = "/run/synproxy",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "a directory of a tmpfs or hugetlbfs, as in /run/synproxy",
     .help =
         "keep the connections in a file there: they outlive the process, and the next start goes "
         "on with them (DIR is of a tmpfs or hugetlbfs)",
     .reason =
         "None: then a service manager keeps the connections (its descriptor store), and without "
         "one they end with the process. The file is NAME.flows, for its owner "
         "alone, and takes all its memory at the start: about 140 MB for the default --max-flows. "
         "A start with the same workers, --max-flows and --epoch finds it, also after a crash, "
         "until the machine is booted. docs/operation.md says what goes on and what does not.",
     .value = path(At<&Config::state_dir>{})},
    {.name = "fresh",
     .form = "on|off",
     .example = "on",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kSwitch,
     .change = Change::kRestart,
     .accepts = "on or off",
     .help = "start without the connections that were kept",
     .reason = "Connections that are found go on.",
     .value = word<kOffOn>(At<&Config::fresh>{})},
    {.name = "take-over",
     .form = "on|off",
     .example = "on",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kSwitch,
     .change = Change::kRestart,
     .accepts = "on or off",
     .help = "go on with the connections of the running proxy of this --name, which ends; this one "
             "may be of another version or have other --workers",
     .reason = "A start finds a running proxy of the same name in its way. With it, this one makes "
               "everything ready beside the other one, asks it to stop, takes its connections and "
               "its ports and goes on; both print for how many microseconds nobody forwarded. "
               "docs/operation.md says what is needed and what happens if either of them fails.",
     .value = word<kOffOn>(At<&Config::take_over>{})},
    {.name = "workers",
     .form = "LIST",
     .example = "2-3",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "CPUs such as 0-1,3, each once",
     .help =
         "CPUs that move packets, one thread each, as in 0-1,3 (default: the first CPU allowed)",
     .reason =
         "One worker on the first CPU of the affinity mask. A worker polls its ports and, while "
         "frames come, keeps its CPU at 100 %.",
     .value = cpus(At<&Config::workers>{})},
    {.name = "idle-sleep",
     .form = "MICROSECONDS",
     .example = "100",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "0 to 1000 microseconds",
     .help = "longest sleep of a worker while nothing arrives, microseconds; 0 keeps polling",
     .reason =
         "A receive queue of 1,024 frames, the usual one, holds what 10 Gbit/s of the smallest "
         "frames bring in 69 us; that leaves 19 us for waking when a flood begins. A queue that "
         "holds fewer frames shortens the sleep in proportion. The worker polls for 50 us after "
         "each frame, then sleeps for a quarter of the silence so far, up to this limit: no "
         "connection that is busy notices, and the first frame after a silence waits that long at "
         "most, and until the kernel wakes the worker. Measured over memif on a busy virtual "
         "machine, where waking is dear: at 1,000 SYNs a second half of the SYN-ACKs came within "
         "36 us (3 us when polling, 61 with a limit of 100, 80 with 500), and without traffic the "
         "worker took 0.28 of its CPU (0.14 with 100, 0.08 with 500). A larger limit also risks "
         "the first frames of a sudden burst. Linux interfaces (eth1, xdp:eth1) wake the proxy "
         "with each frame, whatever the limit. 0 keeps polling on every port: one CPU "
         "per worker at 100 %, and the lowest latency. 1 ms is the tick of the proxy's timers, "
         "hence the largest limit.",
     .value = integer<0, 1000>(kLoop<&LoopTuning::idle_sleep_us>)},
    {.name = "name",
     .form = "NAME",
     .example = "web",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "1 to 48 of the characters A-Z a-z 0-9 _ . - and no . or - first",
     .help = "tells several proxies on one machine apart; `synproxy stat --name` finds it by this",
     .reason =
         "It is DPDK's file prefix and names the directory of the telemetry socket, whose path "
         "has to fit the 108 bytes of a socket address: hence 48 characters.",
     .value = name(At<&Config::name>{})},
    {.name = "user",
     .form = "USER",
     .example = "synproxy",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "the name of a user who is not root",
     .help = "become this user once the ports are open, and keep only the capabilities that the "
             "ports need",
     .reason =
         "Without it the program stays who started it. docs/operation.md lists what each kind of "
         "port needs. A reload reads its files as this user: the file of `--config` has to be "
         "readable for it, the secret file has to belong to it (mode 0600); a line at the start "
         "says where that is not so. System calls are filtered and new privileges are impossible "
         "with and without it.",
     .value = name_if_any(At<&Config::user>{})},
    {.name = "seccomp",
     .form = "on|off",
     .example = "off",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kSwitch,
     .change = Change::kRestart,
     .accepts = "on or off",
     .help = "once the ports are open, refuse the system calls that a running proxy does not make",
     .reason = "A running proxy executes nothing, mounts nothing and traces nobody. `off` is for a "
               "driver that needs what the filter refuses; please report it.",
     .value = word<kOffOn>(At<&Config::seccomp>{})},
    {.name = "control-group",
     .form = "GROUP",
     .example = "adm",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "a group by name or number",
     .help =
         "who may ask the running proxy, besides root and the user that it runs as: members "
         "of this group may read (`get`, `config`, `flows`, `top`, `report`), and change nothing",
     .reason =
         "None: what an operator sees of connections is nobody else's business. Changing is for "
         "root and the proxy's own user alone, by the word of the kernel about who asks "
         "(SO_PEERCRED). `synproxy stat` asks DPDK's telemetry, which knows no groups.",
     .value = path(At<&Config::control_group>{})},
    {.name = "stats-interval",
     .form = "N",
     .example = "1",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "0 to 86400 seconds",
     .help = "print a line of rates every N seconds; 0 prints none",
     .reason = "`synproxy stat` answers at any time; a daemon's log needs no line a second.",
     .value = integer<0, 86'400>(At<&Config::stats_interval>{})},
    {.name = "metrics",
     .form = "[ADDR:]PORT",
     .example = "[::1]:9100",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "a port, or an address and a port, as in 9100, 127.0.0.1:9100 or [::1]:9100",
     .help = "answer http://ADDR:PORT/metrics with every counter for Prometheus; a PORT alone "
             "means 127.0.0.1",
     .reason =
         "None: nothing listens. Everybody who reaches the address may read all counters, so it is "
         "the machine's own unless another is named; nothing can be changed there. One "
         "thread of its own, with a lower priority than the workers, serves up to 256 "
         "connections at a time and gives each question ten seconds.",
     .value = listen_address(At<&Config::metrics>{})},
    {.name = "log-level",
     .form = "LEVEL",
     .example = "error",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kValue,
     .change = Change::kReload,
     .accepts = "error, warning, info or debug",
     .help = "error, warning, info or debug; with debug DPDK's own lines are shown too",
     .reason = "What needs an operator, and nothing else. Whether DPDK's own lines are shown is "
               "settled at the start.",
     .value = word<kLogLevels, kNoLevel>(At<&Config::log_level>{})},
    {.name = "config",
     .form = "FILE",
     .example = "/etc/synproxy.conf",
     .group = FlagGroup::kRunning,
     .kind = FlagKind::kValue,
     .change = Change::kRestart,
     .accepts = "a file of lines `key = value`",
     .help = "read these flags from FILE, lines `key = value`, # comments; flags given here win. "
             "SIGHUP reads it again",
     .reason = "None is read unless named.",
     .value = path(At<&Config::config_file>{})},
    {.name = "help",
     .group = FlagGroup::kOther,
     .kind = FlagKind::kBare,
     .help = "print this text; behind a command, what that one takes"},
    {.name = "version",
     .group = FlagGroup::kOther,
     .kind = FlagKind::kBare,
     .help = "print the version"},
});

}  // namespace

std::span<const Flag> running_rows() { return kRunningRows; }

}  // namespace synproxy::control
