#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The proxy on PCI devices: inside a virtual machine (QEMU, software emulation), on emulated NICs bound to a
userspace driver, whose other ends are TAPs in the lab's client and server namespaces.

usage: run.py [--list] [--report FILE] [NAME...]     NAME may hold * and ?

All cases share one guest; those of a model share one running proxy. Exit code 3: this machine cannot run a
guest, and the last line says why.
"""
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "e2e"))
import command_line  # noqa: E402  pylint: disable=wrong-import-position
from cases import CASES  # noqa: E402  pylint: disable=wrong-import-position
from harness import Failed  # noqa: E402  pylint: disable=wrong-import-position
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


def main():
    options = command_line.parser(__doc__).parse_args()
    names = command_line.names_to_run(options, CASES)
    signal.signal(signal.SIGALRM, on_alarm)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(f"run.py: ended by signal {got}"))
    try:
        results = run_cases(names)
    except Unavailable as why:
        print(f"cannot run a guest here: {why}")
        return 3
    return command_line.end(results, options)


if __name__ == "__main__":
    sys.exit(main())
