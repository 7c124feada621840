# SPDX-License-Identifier: BSD-3-Clause
"""The processes of bench/wire: the generator, and at the other end of its links the proxy or testpmd."""
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SYNPROXY_BUILD", os.path.join(ROOT, "build"))
PROXY = os.path.join(BUILD, "synproxy")
GENERATOR = os.path.join(BUILD, "bench", "wire", "wire_generator")
# The addresses are those of bench/wire/segment.h; the flags are those of every tutorial of SYNPROXY. The generator's IPv6
# sources share one /64, so each address is capped by itself.
PROXY_FLAGS = ["--protect", "203.0.113.10:80", "--protect", "[2001:db8::10]:80",
               "--sack-perm", "--timestamp", "--wscale", "7", "--mss", "1460", "--reply-rate", "20000,mask6=128"]
HUGEPAGE = 2 << 20
# Three processes of at most 240 MB.
HUGEPAGES_WANTED = 360


class Failed(Exception):
    """The bench cannot go on; the text says why."""


def free_hugepages():
    try:
        with open("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", encoding="ascii") as count:
            return int(count.read())
    except OSError:
        return 0


def first():
    """Runs in the child: it ends with its parent, and other programs on the machine weigh little beside it. If the
    kernel groups tasks by session, nice values count only within a group, so the group gets one too."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        with open("/proc/self/autogroup", "w", encoding="ascii") as group:
            group.write("-20")


class Process:
    """Runs in a session of its own, so that Ctrl-C reaches only the runner, and ends with its block. Its files,
    DPDK's runtime directory too, lie beside its log."""

    def __init__(self, command, log, **streams):
        self.log_path = log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command, start_new_session=True, preexec_fn=first, stderr=out,
                                            env=os.environ | {"RUNTIME_DIRECTORY": os.path.dirname(log)},
                                            **({"stdout": out} | streams))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def ended(self):
        return self.process.poll() is not None

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as text:
            return " | ".join(text.read().strip().splitlines()[-4:])


def kept_waiting(pid):
    """The share of the time in which its busiest thread wanted to run but had no CPU."""
    busiest = (0, 0)
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as numbers:
                ran, waited, _ = map(int, numbers.read().split())
            busiest = max(busiest, (ran, waited))
    return busiest[1] / sum(busiest) if sum(busiest) else 0.0


class Stand:
    """The place of the bench: two CPUs, hugepages or not, a directory for the sockets."""

    def __init__(self):
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            raise Failed("needs two CPUs, one for each end of the link, and this process may use one")
        self.generator_cpu, self.contender_cpu = cpus[0], cpus[1]
        self.huge = free_hugepages() >= HUGEPAGES_WANTED
        self.waited = []  # by run: the larger share of its two processes
        self.count = 0
        self.directory = None  # of the runs so far
        self.sockets = None  # of this run

    def __enter__(self):
        for program in (PROXY, GENERATOR):
            if not os.path.exists(program):
                raise Failed(f"{program} is not built: meson setup build && meson compile -C build")
        self.directory = tempfile.mkdtemp(prefix="synproxy-wire-")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory, ignore_errors=True)

    def eal_memory(self, megabytes):
        return ["--in-memory"] if self.huge else ["--no-huge", "-m", str(megabytes)]

    def device(self, number, link):
        """The contender's end of a link."""
        return f"net_memif{number},role=client,socket-abstract=no,socket={self.sockets}/{link}.sock"

    def start_proxy(self, log, flags):
        return Process([PROXY, "--client-port", self.device(0, "client"), "--server-port", self.device(1, "server"),
                        *PROXY_FLAGS, "--workers", str(self.contender_cpu), "--name", f"wire-{os.getpid()}", *flags,
                        "--", *self.eal_memory(512)], log)

    def start_testpmd(self, log, mode, links):
        vdevs = [word for number, link in enumerate(links) for word in ("--vdev", self.device(number, link))]
        return Process(["dpdk-testpmd", "--lcores", f"0@{self.generator_cpu},1@{self.contender_cpu}", "--main-lcore",
                        "0", "--no-pci", "--no-telemetry", "--file-prefix", f"wire-{os.getpid()}-testpmd",
                        *self.eal_memory(256), *vdevs, "--", f"--forward-mode={mode}", "--auto-start",
                        "--total-num-mbufs=16384", "--nb-cores=1",
                        *(["--port-topology=loop"] if len(links) == 1 else [])], log, stdin=subprocess.PIPE)

    def start(self, contender, log, flags):
        if contender == "proxy":
            return self.start_proxy(log, flags)
        if contender == "macswap":
            return self.start_testpmd(log, "macswap", ["client"])
        return self.start_testpmd(log, "io", ["client", "server"])

    def run(self, contender, steps, flags=(), seen_as=None, watch=None):
        """Starts both processes anew, runs the steps one after another and returns the generator's results.
        `contender`: proxy, macswap (sends every frame back) or io (passes it on). `seen_as`: what the generator is
        told instead. `watch` gets the contender's process id again and again."""
        self.count += 1
        seen_as = seen_as or {"proxy": "proxy", "macswap": "echo", "io": "wire"}[contender]
        self.sockets = os.path.join(self.directory, str(self.count))
        os.mkdir(self.sockets)
        log = os.path.join(self.sockets, "log-")
        command = [GENERATOR, "--sockets", self.sockets, "--cpu", str(self.generator_cpu), "--contender", seen_as,
                   "--name", f"wire-{os.getpid()}-generator", *steps, "--", *self.eal_memory(256)]
        limit = time.monotonic() + 60 + 3 * len(steps) + 2 * sum(length_of(step) for step in steps)
        with Process(command, log + "generator", stdout=subprocess.PIPE) as generator:
            self.wait_for_sockets(generator)
            with self.start(contender, log + contender, flags) as other:
                waited = 0.0
                while not generator.ended():
                    waited = kept_waiting(generator.process.pid) or waited
                    if watch:
                        watch(other.process.pid)
                    if other.ended():
                        raise Failed(f"{contender} ended early: {other.log()}")
                    if time.monotonic() > limit:
                        raise Failed(f"no end of {' '.join(steps)} against {contender}")
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        generator.process.wait(0.1)
                self.waited.append(max(waited, kept_waiting(other.process.pid)))
        results = [json.loads(line) for line in generator.process.stdout.read().splitlines()]
        if generator.process.returncode != 0 and not any(result["faults"] for result in results):
            raise Failed(f"the generator failed: {generator.log()}")
        return results

    def wait_for_sockets(self, generator):
        """The contender tries only once to connect."""
        end = time.monotonic() + 30
        while not all(os.path.exists(os.path.join(self.sockets, f"{link}.sock")) for link in ("client", "server")):
            if generator.ended() or time.monotonic() > end:
                raise Failed(f"the generator does not start: {generator.log()}")
            time.sleep(0.02)


def length_of(step):
    """The least number of seconds that a step takes."""
    for setting in step.split(","):
        if setting.startswith("seconds="):
            return float(setting.removeprefix("seconds="))
    return 1
