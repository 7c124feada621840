# SPDX-License-Identifier: BSD-3-Clause
"""What --idle-sleep saves and costs without traffic, with little and with much."""
import contextlib
import os
import statistics
import time

DEFAULT = 50
SLEEPS = (0, DEFAULT, 500)  # microseconds; 0 polls
LITTLE = 1000  # SYNs per second: a worker that may sleep sleeps before each
SILENCE = "latency,rate=1,seconds=1"


class CpuWatch:
    """The share of a CPU that a process's busiest worker took between the first look and the last."""

    def __init__(self):
        self.looks = []  # (when, seconds on the CPU)

    def __call__(self, pid):
        with contextlib.suppress(OSError):
            used = [self.used(f"/proc/{pid}/task/{task}") for task in os.listdir(f"/proc/{pid}/task")]
            if any(used):
                self.looks.append((time.monotonic(), max(used)))

    @staticmethod
    def used(task):
        with open(f"{task}/comm", encoding="ascii") as name, open(f"{task}/schedstat", encoding="ascii") as numbers:
            return int(numbers.read().split()[0]) / 1e9 if name.read().startswith("synproxy-w") else 0

    def share(self):
        (began, first), (ended, last) = self.looks[0], self.looks[-1]
        return (last - first) / (ended - began) if ended > began else 0.0


def measure(bench, full, say):
    """`full`: SYNs answered per second. Within a round the settings run one after another, like contenders."""
    steps = [f"latency,rate={LITTLE},seconds={1.25 * bench.seconds}", f"latency,rate={full / 2:.0f},seconds=0.2"]
    seen = {(sleep, load, name): [] for sleep in SLEEPS for load in ("little", "half") for name in ("p50_us", "p99_us")}
    shares = []
    for number in range(1 if bench.quick else 3):
        for sleep in SLEEPS:
            for load, answer in zip(("little", "half"), bench.run("proxy", steps, ("--idle-sleep", str(sleep)))):
                for name in ("p50_us", "p99_us"):
                    seen[sleep, load, name].append(answer["latency"][name])
        watch = CpuWatch()
        bench.run("proxy", [SILENCE], ("--idle-sleep", str(DEFAULT)), watch=watch)
        shares.append(watch.share())
        say(f"idle, round {number + 1}: {shares[-1]:.2f} of a CPU; p50 at {LITTLE} SYNs a second " + ", ".join(
            f"{seen[sleep, 'little', 'p50_us'][-1]:.1f} us with --idle-sleep {sleep}" for sleep in SLEEPS))
    report(bench.results, seen, shares)


def report(results, seen, shares):
    results.add(f"idle/{DEFAULT}_us/cpu", statistics.median(shares), "share", "lower",
                note="of the worker's CPU, while nothing comes; 1 when it polls")
    for sleep in SLEEPS:
        for name in ("p50_us", "p99_us"):
            label = f"idle/{sleep}_us/{name.removesuffix('_us')}"
            mine = seen[sleep, "little", name]
            results.add(label, statistics.median(mine), "us", "lower", note=f"at {LITTLE} SYNs a second")
            if sleep:
                added = [a - b for a, b in zip(mine, seen[0, "little", name])]
                results.add(f"{label}_added", statistics.median(added), "us", "lower", note="over --idle-sleep 0")
    for name in ("p50_us", "p99_us"):
        added = [a - b for a, b in zip(seen[DEFAULT, "half", name], seen[0, "half", name])]
        results.add(f"idle/{DEFAULT}_us/half_load/{name.removesuffix('_us')}_added", statistics.median(added), "us",
                    "lower",
                    note="over --idle-sleep 0, at half the rate found")
