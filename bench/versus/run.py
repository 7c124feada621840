#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's SYNPROXY and this proxy in the same place, under the same flood, wrk and iperf3, in turns.

usage: run.py [--quick] [--json FILE]     as root; exit status: 0 done, 1 something failed, 2 bad usage

Ratios are taken within a round, medians over the rounds. bench/README.md says what each line means.
"""
import argparse
import contextlib
import os
import signal
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# The lab, the clients and the floods are those of the end-to-end tests.
sys.path[:0] = [os.path.join(ROOT, "tests", "e2e"), os.path.join(ROOT, "bench", "common")]
# pylint: disable=wrong-import-position
import connect_step
import flood_step
import overload_step
import transfer_step
from clients import wrk
from contenders import CONTENDERS, PROTECT, SHED_OFF, SINK_OF, SINKS, FirstLab, standing
from entry import run
from harness import PROGRAM, SERVER4, TUTORIAL_FLAGS, Failed
from machine import describe
from results import Results
from ways import has_kernel_synproxy

BEGIN = time.monotonic()
QUIET = 0.03
FLOODS = ("hping3", "syn")  # the second: tests/e2e/flood.py
# The lines to compare: name, unit, which is better.
LINES = (("flood/hping3/answered", "SYNs/s", "higher"), ("flood/hping3/cpu_per_answer", "us", "lower"),
         ("flood/hping3/connect", "ms", "lower"), ("flood/hping3/connect_worst", "ms", "lower"),
         ("flood/syn/answered", "SYNs/s", "higher"), ("flood/syn/cpu_per_answer", "us", "lower"),
         ("connections", "connections/s", "higher"), *transfer_step.LINES,
         *connect_step.LINES)


def say(text):
    print(f"[{time.monotonic() - BEGIN:3.0f}s] {text}", flush=True)


def commands():
    """The command, as a user would type it."""
    rule = " ".join(["-p tcp --dport 80 -m state --state INVALID,UNTRACKED -j SYNPROXY", *TUTORIAL_FLAGS])
    protect = " ".join(f"--protect {one}" for one in PROTECT)
    return (f"flood: hping3 --flood -q -S --rand-source -p 80 {SERVER4}; faster: tests/e2e/flood.py",
            f"connections: wrk -t 1 -c 50 -d 1s -H 'Connection: close' http://{SERVER4}/",
            f"throughput: iperf3 -c {SERVER4} -t 1 -P 1, then -P {transfer_step.STREAMS[-1]}; offloads/: with the ends' offloads on",
            "direct: a kernel bridge, and the server's own SYN cookies",
            f"kernel: the same bridge, and on the server iptables-legacy -A INPUT {rule} (all three: scripts/lab.sh)",
            f"synproxy: synproxy --client-port veth-a --server-port veth-b {protect} {' '.join(TUTORIAL_FLAGS)}")


class Bench:
    def __init__(self, lab, quick):
        self.lab = lab
        self.rounds = 1 if quick else 5
        self.seconds = 0.6 if quick else 0.8
        self.seen = {}    # (line, contender): a value per round
        self.others = []  # share of the CPU time that went to processes outside the lab

    def note(self, line, name, value):
        self.seen.setdefault((line, name), []).append(value)

    def flood(self, kind, **more):
        found = flood_step.measure(self.lab, kind, self.seconds, **more)
        self.others.append(found["others"] / os.cpu_count())
        return found

    def sinks(self):
        """The cost of a frame that nobody answers, by flood and by where it ends."""
        costs = {}
        for place, sink in SINKS.items():
            with sink(self.lab):
                for kind in FLOODS:
                    costs[kind, place] = self.flood(kind)["cpu_per_frame"]
        say("flood into nothing: " + ", ".join(f"{kind} as far as the {place} {1e6 * cost:.2f} us/frame"
                                               for (kind, place), cost in costs.items()))
        return costs

    def orders(self, names):
        """A number and an order for each round: contenders take turns in going first, so that none always follows the
        same one."""
        for number in range(1, self.rounds + 1):
            shift = number % len(names)
            yield number, names[shift:] + names[:shift]

    def transfers(self, name, lab, offloads=""):
        for line, value in transfer_step.measure(lab, 1, offloads).items():
            self.note(line, name, value)

    def told(self, number, name, lines):
        say(f"round {number} of {self.rounds}, {name}: " + ", ".join(
            f"{line.removeprefix('flood/')} {self.seen[line, name][-1]:.4g} {unit}" for line, unit, _ in LINES
            if line in lines))

    def turn(self, number, name, costs):
        with standing(self.lab, name):
            # Before the floods: after one, a proxy may go on shedding for a second.
            self.note("connections", name, wrk(self.lab, 4, 1)["rate"])
            self.transfers(name, self.lab)
            for kind in FLOODS:
                found = self.flood(kind, connects=kind == "hping3")
                self.note(f"flood/{kind}/answered", name, found["answered"])
                own = found["lab"] - found["sent"] * costs[kind, SINK_OF[name]]
                self.note(f"flood/{kind}/cpu_per_answer", name, 1e6 * own / max(1, found["answered"]))
                if kind == "hping3":
                    self.note("flood/hping3/connect", name, found["connect_ms"])
                    self.note("flood/hping3/connect_worst", name, found["connect_worst_ms"])
        self.told(number, name, {line for line, *_ in LINES if not line.startswith(("offloads/", "connect/"))})

    def run(self, names):
        for number, order in self.orders(names):
            costs = self.sinks()
            for name in order:
                self.turn(number, name, costs)

    def run_offloads(self, names):
        with FirstLab("--offloads") as lab:
            for number, order in self.orders(names):
                for name in order:
                    with standing(lab, name):
                        self.transfers(name, lab, "offloads/")
                    self.told(number, name, {line for line, *_ in LINES if line.startswith("offloads/")})

    def run_connects(self, names, cpus):
        for number, order in self.orders(names):
            for name in order:
                for line, value in connect_step.turn(self.lab, name, cpus, 20 * self.rounds).items():
                    self.note(line, name, value)
                self.told(number, name, {line for line, *_ in connect_step.LINES})

    def report(self, results, names):
        for line, unit, better in LINES:
            if (line, names[0]) not in self.seen:
                continue  # it needs two CPUs
            median = {name: statistics.median(self.seen[line, name]) for name in names}
            for name in names:
                results.add(f"{line}/{name}", median[name], unit, better, samples=self.seen[line, name])
            for other in ("kernel", "direct") if line.endswith(("stream", "streams")) else ("kernel",):
                if other not in names:
                    continue
                pairs = zip(self.seen[line, "synproxy"], self.seen[line, other])
                ratios = [mine / its for mine, its in pairs if its > 0]
                if ratios:
                    results.add(f"{line}/ratio_to_{other}", statistics.median(ratios), "ratio", better,
                                note=f"{min(ratios):.3g} to {max(ratios):.3g}", samples=ratios)
        results.add("others", statistics.median(self.others), "share", "lower",
                    note="of the CPU time, to programs outside the lab, while a flood was measured")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", metavar="FILE", help="write the results there")
    flags = parser.parse_args()
    if os.geteuid() != 0:
        parser.exit(2, "run.py: must run as root (it makes network namespaces)\n")
    if not os.access(PROGRAM, os.X_OK):
        parser.exit(2, f"run.py: no {PROGRAM}; build it first: ninja -C build synproxy\n")
    return flags


def measure(flags, results):
    with FirstLab() as lab:
        names = list(CONTENDERS)
        if not has_kernel_synproxy(lab):
            say("this kernel has no SYNPROXY: no ratio can be given")
            names.remove("kernel")
        bench = Bench(lab, flags.quick)
        bench.run(names)
        bench.run_offloads(names)
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) >= 2:
            bench.run_connects(names, cpus[:2])
        bench.report(results, names)
        if len(cpus) < 2:
            say("no overload and no single connects: they need two CPUs")
        else:
            overload_step.run(lab, [name for name in names if name != "direct"] + [SHED_OFF], cpus[:2], flags.quick, results, say)
    return statistics.median(bench.others)


def main():
    flags = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    machine = describe()
    results = Results("versus")
    say(", ".join(f"{name}: {value}" for name, value in machine.items()))
    print("\n".join(commands()), flush=True)
    others = measure(flags, results)
    print(results.table())
    if others > QUIET:
        print(f"This machine was busy: {100 * others:.0f} % of its CPU time went to other programs. "
              "Do not quote these figures.")
    if flags.json:
        results.write(flags.json, machine)
    return 0


if __name__ == "__main__":
    run(main, Failed)
