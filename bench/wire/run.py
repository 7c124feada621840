#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Measures the proxy over memif, beside testpmd on the same link and CPUs and in the same run.

usage: run.py [--quick] [--json FILE]     exit status: 0 done, 1 wrong answers or nothing measured, 2 bad usage

Contenders take turns, round after round; ratios are taken within a round, and medians over the rounds.
bench/README.md says what each line means.
"""
import argparse
import os
import shutil
import signal
import statistics
import sys
import time

import idle
from stand import ROOT, Failed, Stand

sys.path.insert(0, os.path.join(ROOT, "bench", "common"))
from entry import run  # pylint: disable=wrong-import-position
from machine import describe  # pylint: disable=wrong-import-position
from results import Results  # pylint: disable=wrong-import-position

QUIET = 0.02
BEGIN = time.monotonic()
LEARN = "connections,concurrent=1,seconds=0.01"
ALL_ANSWERED = ("--syn-shed", "off")


def say(text):
    print(f"[{time.monotonic() - BEGIN:3.0f}s] {text}", flush=True)


class Bench:
    def __init__(self, stand, results, quick):
        self.stand = stand
        self.results = results
        self.quick = quick
        self.rounds = 3 if quick else 5
        self.seconds = 0.2 if quick else 0.4
        self.testpmd = shutil.which("dpdk-testpmd") is not None

    def run(self, contender, steps, flags=(), watch=None):
        """A proxy first sees one connection, from which it learns what its server can do."""
        first = [LEARN] if contender == "proxy" else []
        return self.results.judge(contender, self.stand.run(contender, first + steps, flags, watch=watch))[len(first):]

    def contenders(self, other):
        return ["proxy", other] if self.testpmd else ["proxy"]

    def syn(self):
        """SYNs as fast as they are answered: the rate to which latency and overload refer. With shedding, the proxy
        would read SYNs without answering them, and the link would never be full."""
        kinds = {f"ipv{family}/{'timestamps' if on == 'on' else 'plain'}":
                 f"flood,family={family},timestamps={on},seconds={self.seconds}"
                 for family in (4, 6) for on in ("on", "off")}
        rates = {(contender, kind): [] for contender in self.contenders("macswap") for kind in kinds}
        losses, full_links = [], []
        for number in range(self.rounds):
            for contender in self.contenders("macswap"):
                answers = self.run(contender, list(kinds.values()),
                                   ALL_ANSWERED if contender == "proxy" else ())
                for kind, answer in zip(kinds, answers):
                    rates[contender, kind].append(answer["answered_rate"])
                    losses += [answer["loss"]] if contender == "proxy" else []
                    full_links += [answer["link_full"]] if contender == "macswap" else []
                say(f"SYN flood, round {number + 1} of {self.rounds}, {contender}: " + ", ".join(
                    f"{kind} {rates[contender, kind][-1] / 1e6:.2f} M/s" for kind in kinds))
        for kind in kinds:
            self.results.add_rate(f"syn/{kind}", rates["proxy", kind])
        if self.testpmd:
            for kind in kinds:
                self.results.add_rate(f"macswap/{kind}", rates["macswap", kind])
            ratios = {kind: [mine / its for mine, its in zip(rates["proxy", kind], rates["macswap", kind])]
                      for kind in kinds}
            self.results.add("syn/ratio_to_macswap", statistics.median(ratios["ipv4/timestamps"]), "ratio", "higher",
                             ", ".join(f"{kind} {statistics.median(seen):.2f}" for kind, seen in ratios.items()) +
                             f"; macswap's link was full at {100 * statistics.median(full_links):.0f} % of our bursts",
                             ratios["ipv4/timestamps"])
        self.results.add("syn/loss", statistics.median(losses), "share", "lower",
                         "of what the link took; both links hold 1,024 frames", losses)
        return statistics.median(rates["proxy", "ipv4/timestamps"])

    def latency(self, full):
        """The same frames at the same rate through both, at shares of the rate found."""
        shares = (10, 50, 90)
        seen = {(contender, share, name): [] for contender in ("proxy", "macswap") for share in shares
                for name in ("p50_us", "p99_us", "p999_us")}
        steps = [f"latency,rate={full * share / 100:.0f},seconds={self.seconds}" for share in shares]
        for number in range(self.rounds):
            for contender in self.contenders("macswap"):
                for share, answer in zip(shares, self.run(contender, steps)):
                    for name in ("p50_us", "p99_us", "p999_us"):
                        seen[contender, share, name].append(answer["latency"][name])
                say(f"latency, round {number + 1} of {self.rounds}, {contender}: p50 / p99 " + ", ".join(
                    f"{seen[contender, share, 'p50_us'][-1]:.2f} / {seen[contender, share, 'p99_us'][-1]:.1f} us "
                    f"at {share} %" for share in shares))
        for share in shares:
            for name in ("p50_us", "p99_us", "p999_us"):
                mine = seen["proxy", share, name]
                label = f"latency/{share}_percent/{name.removesuffix('_us')}"
                self.results.add(label, statistics.median(mine), "us", "lower", samples=mine)
                if self.testpmd:
                    added = [a - b for a, b in zip(mine, seen["macswap", share, name])]
                    self.results.add(f"{label}_added", statistics.median(added), "us", "lower",
                                     "over macswap at the same rate", added)

    def connections(self):
        """Whole short connections: SYN, handshake, request, 1,000 bytes of response, both FINs."""
        step = f"connections,seconds={2 * self.seconds}"
        rates = {contender: [] for contender in self.contenders("io")}
        for number in range(self.rounds):
            for contender, seen in rates.items():
                answer, = self.run(contender, [step])
                seen.append(answer["connections_rate"])
                if answer["resets"] or answer["resent"]:
                    say(f"{contender}: {answer['resets']} connections reset, {answer['resent']} segments sent again")
            say(f"connections, round {number + 1} of {self.rounds}: " + ", ".join(
                f"{contender} {seen[-1] / 1e3:.0f} k/s" for contender, seen in rates.items()))
        rate = statistics.median(rates["proxy"])
        self.results.add("connections", rate, "connections/s", "higher", samples=rates["proxy"])
        if rate > 0:
            self.results.add("connections/cycles", self.results.tsc_hz / rate, "cycles/connection", "lower",
                             note="time-stamp counter, of the contender's core; 8 frames in, 8 out")
        if self.testpmd:
            self.results.add("io/connections", statistics.median(rates["io"]), "connections/s", "higher",
                             samples=rates["io"])
            ratios = [mine / its for mine, its in zip(rates["proxy"], rates["io"])]
            self.results.add("connections/ratio_to_io", statistics.median(ratios), "ratio", "higher", samples=ratios)

    def overload(self, full):
        """A flood of twice the rate that can be answered, with connected clients who talk and new clients among it."""
        seconds = 21  # the last newcomer comes after 5.5, and tries for 15
        flood, answer = self.run("proxy", ["flood,seconds=0.5", f"overload,rate={2 * full:.0f},seconds={seconds}"])
        self.results.add("shedding/read", flood["sent_rate"], "packets/s", "higher",
                         note="SYNs taken in as they are shed, without a limit to what is offered")
        self.results.add("shedding/answered", flood["answered_rate"], "packets/s", "higher", note="of these")
        say(f"overload: offered {answer['offered_rate'] / 1e6:.2f} M/s, the link took {answer['taken_rate'] / 1e6:.2f}, "
            f"answered {answer['answered_rate'] / 1e6:.2f}; of {answer['real_sent']} frames of clients "
            f"{answer['real_lost']} met a full ring; new clients by the SYN that was answered: "
            f"{answer['syns_needed']}")
        self.results.add("overload/offered", answer["offered_rate"], "packets/s", "higher",
                         note=f"{answer['offered_rate'] / full:.2f} of the rate that can be answered")
        self.results.add("overload/offered_ratio", answer["offered_rate"] / full, "ratio", "higher",
                         "by the rate that can be answered; twice is planned, the rest is what the link does not take")
        self.results.add("overload/goodput_share", answer["goodput_share"], "share", "higher",
                         f"{answer['steady']['opened']} established flows, {answer['undisturbed']:.0f} responses/s before")
        self.results.add("overload/pages_share", answer["pages_share"], "share", "higher",
                         f"{answer['pages_fetched']} of {answer['pages_asked']} new clients, SYN again after 1, 2, 4, 8 s; "
                         f"page after {answer['page_ms']['p50']:.0f} ms (p99 {answer['page_ms']['p99']:.0f})")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", metavar="FILE", help="write the results there")
    return parser.parse_args()


def main():
    flags = arguments()
    # End in order, with every process and socket gone.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Stand() as stand:
        machine = describe(generator_cpu=stand.generator_cpu, contender_cpu=stand.contender_cpu,
                           memory="hugepages" if stand.huge else "ordinary pages")
        results = Results("wire")
        say(", ".join(f"{name}: {value}" for name, value in machine.items()))
        bench = Bench(stand, results, flags.quick)
        if not bench.testpmd:
            say("dpdk-testpmd is not here (package dpdk-dev): no ratio and no added latency can be given")
        full = bench.syn()
        bench.latency(full)
        idle.measure(bench, full, say)
        bench.connections()
        bench.overload(full)
        machine["tsc_mhz"] = round(results.tsc_hz / 1e6)
    waited = statistics.median(stand.waited)
    results.add("kept_waiting", waited, "share", "lower",
                note="of its time, by other programs, whichever of the two processes waited longer")
    print(results.table())
    if waited > QUIET:
        print(f"This machine was busy: for {100 * waited:.0f} % of the time a process had no CPU. "
              "Do not quote these figures.")
    if flags.json:
        results.write(flags.json, machine)
    for fault in results.faults:
        print(f"run.py: wrong answers: {fault}", file=sys.stderr)
    return 1 if results.faults else 0


if __name__ == "__main__":
    run(main, Failed)
