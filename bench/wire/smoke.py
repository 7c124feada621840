#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The generator and the proxy at the two ends of memif links, at a small rate: right answers, cookies taken back, wrong
ones refused, connections complete. To show that the generator notices faults, it is also told that the proxy is an
echo.
"""
import os
import sys

from stand import Failed, Stand

# So that even on a slow machine no SYN-ACK is sent twice, and no SYN is shed.
FLAGS = ["--synack-repeats", "0", "--syn-shed", "off"]
# So slow that either process may lose its CPU for half a second before a frame is lost.
STEPS = [f"flood,rate=2000,seconds=0.25,check=1,prove=16,family={family},timestamps={on}"
         for family in (4, 6) for on in ("on", "off")] + ["latency,rate=2000,seconds=0.25,check=1,prove=16"]


def check(condition, text):
    if not condition:
        raise Failed(text)


def proxy_answers_right(stand):
    for result in stand.run("proxy", STEPS, FLAGS):
        step, proofs = result["step"], result["proofs"]
        check(not result["faults"], f"{step}: {result['faults']}")
        check(result["answered"] == result["sent"] == result["checked"] > 0, f"{step}: {result}")
        check(proofs["acknowledged"] == proofs["opened"] == proofs["refused"] > 0, f"{step}: {proofs}")
        check(proofs["forged"] > 0, f"{step}: nothing was forged")


def connections_complete(stand):
    """Whole connections, with and without timestamps, also during a flood. Frames lost on a slow machine are sent
    again; wrong ones are always a fault."""
    for result in stand.run("proxy", [f"connections,concurrent=8,seconds=0.2,check=1,family={family},timestamps={on}"
                                      for family in (4, 6) for on in ("on", "off")], FLAGS):
        check(not result["faults"], f"{result['step']}: {result['faults']}")
        check(result["done"] > 0 and result["resets"] == 0, f"{result['step']}: {result}")
    result, = stand.run("proxy", ["overload,rate=2000,seconds=1,flows=50,newcomers=20,check=1"])
    check(not result["faults"], f"overload: {result['faults']}")
    check(result["steady"]["opened"] >= 50 and result["pages_fetched"] > 0 and result["answered_rate"] > 0,
          f"overload: {result}")


def wrong_answers_are_found(stand):
    result, = stand.run("proxy", ["flood,rate=2000,seconds=0.1"], FLAGS, seen_as="echo")
    check(result["answered"] == 0 and result["faults"]["address"] > 0, f"a SYN-ACK passed for an echo: {result}")


def main():
    with Stand() as stand:
        proxy_answers_right(stand)
        connections_complete(stand)
        wrong_answers_are_found(stand)


if __name__ == "__main__":
    if len(os.sched_getaffinity(0)) < 2:
        print("skipped: needs two CPUs")
        sys.exit(77)
    try:
        main()
    except Failed as why:
        print(f"smoke.py: {why}", file=sys.stderr)
        sys.exit(1)
