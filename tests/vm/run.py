#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The proxy on PCI devices: inside a virtual machine (QEMU, software emulation), on emulated NICs bound to a
userspace driver, whose other ends are TAPs in the lab's client and server namespaces.

usage: run.py [--list] [--report FILE] [NAME...]     NAME may hold * and ?

All cases share one guest; those of a model share one running proxy. Exit code 3: this machine cannot run a
guest, and the last line says why.
"""
import argparse
import fnmatch
import json
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "e2e"))
from cases import CASES  # noqa: E402  pylint: disable=wrong-import-position
from harness import PROGRAM, Failed  # noqa: E402  pylint: disable=wrong-import-position
from image import Unavailable  # noqa: E402  pylint: disable=wrong-import-position
from lanes import guarded, on_alarm  # noqa: E402  pylint: disable=wrong-import-position
from stand import VmStand  # noqa: E402  pylint: disable=wrong-import-position


def show_log(stand):
    """A guest that has died has nothing to show but its console."""
    try:
        lines = stand.proxy.log() if stand.proxy else ""
    except (Failed, OSError, ValueError):
        lines = stand.guest.read("console")
    for line in lines.splitlines()[-15:]:
        print(f"     | {line}")


def run_cases(names):
    results = {}
    begin = time.monotonic()
    with VmStand() as stand:
        print(f"the guest is up ({time.monotonic() - begin:.1f} s)", flush=True)
        for name in names:
            function, limit = CASES[name]
            begin = time.monotonic()
            results[name], note = guarded(limit, function, stand)
            took = time.monotonic() - begin
            if results[name] is None:
                print(f"PASS {name} ({took:.1f} s){': ' + note if note else ''}", flush=True)
            else:
                print(f"FAIL {name} ({took:.1f} s): {results[name]}", flush=True)
                show_log(stand)
                # One guest that died is one failure.
                if not stand.guest.running():
                    stand.new_guest()
        last = "last_proxy_stops_cleanly"
        results[last], _ = guarded(60, stand.end_proxy)
        print(f"{'PASS' if results[last] is None else 'FAIL'} {last}: {results[last] or 'exit code 0'}", flush=True)
    return results


def pick(patterns):
    if not patterns:
        return list(CASES)
    unknown = [p for p in patterns if not fnmatch.filter(CASES, p)]
    if unknown:
        sys.exit(f"run.py: no such case: {' '.join(unknown)}")
    return [name for name in CASES if any(fnmatch.fnmatch(name, p) for p in patterns)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--report", metavar="FILE", help="write the results there as JSON")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    names = pick(options.names)
    if options.list:
        print("\n".join(names))
        return 0
    if os.geteuid() != 0:
        print("run.py: must run as root (it makes network namespaces)", file=sys.stderr)
        return 2
    if not os.access(PROGRAM, os.X_OK):
        print(f"run.py: no {PROGRAM}; build it first: ninja -C build synproxy", file=sys.stderr)
        return 2
    signal.signal(signal.SIGALRM, on_alarm)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(f"run.py: ended by signal {got}"))
    try:
        results = run_cases(names)
    except Unavailable as why:
        print(f"cannot run a guest here: {why}")
        return 3
    failed = sum(1 for why in results.values() if why is not None)
    if options.report:
        with open(options.report, "w", encoding="utf-8") as out:
            json.dump(results, out, indent=1)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
