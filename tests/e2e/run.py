#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""End-to-end tests: real clients and a real web server in network namespaces, the proxy between them.

usage: run.py [--list] [--thorough] [--report FILE] [NAME...]     NAME may hold * and ?

Every case prints PASS or FAIL with its name; a failure shows the end of the proxy's log. Most cases
share one lab and one running proxy, whose buffers and flows are compared with the start at the very end.
"""
import argparse
import fnmatch
import json
import os
import signal
import sys
import time
import traceback

import cases_features
import cases_flood
import cases_banner
import cases_distance
import cases_http
import cases_operation
import cases_overload
import cases_packets
import cases_path
import cases_rate
import cases_reload
import cases_tcp
import cases_usage
from harness import CASES, PROGRAM, THOROUGH, Failed, Stand

MODULES = (cases_http, cases_tcp, cases_packets, cases_usage, cases_operation, cases_flood, cases_overload, cases_rate,
           cases_distance, cases_path, cases_features, cases_banner, cases_reload)


class TimeLimit(BaseException):
    """Not an Exception: no handler inside a case may swallow it."""


def on_alarm(*_):
    raise TimeLimit


class SharedStand:
    """Made when the first case asks for it, and made anew when a case has broken it."""

    def __init__(self):
        self.stand = None
        self.remade = False

    def get(self):
        if self.stand is None:
            self.stand = Stand().__enter__()
        return self.stand

    def died(self):
        return self.stand is not None and not self.stand.proxy.running()

    def drop(self):
        if self.stand is not None:
            stand, self.stand = self.stand, None
            stand.__exit__()
            self.remade = True


def outcome(function, limit, shared):
    """None for a pass, else why not."""
    signal.alarm(limit)
    try:
        own = getattr(function, "own_stand", False)
        note = function(None if own else shared.get())
        signal.alarm(0)
        if not own and shared.died():
            return "the proxy died", note
        return None, note
    except Failed as why:
        return str(why), None
    except TimeLimit:
        return f"not done after {limit} s", None
    except Exception:  # pylint: disable=broad-except # a broken case is a failed case
        return traceback.format_exc(limit=-4), None
    finally:
        signal.alarm(0)


def show_log(shared):
    if shared.stand is not None:
        for line in shared.stand.proxy.log().splitlines()[-15:]:
            print(f"     | {line}")


def leak_check(shared):
    def nothing_has_leaked_when_all_is_over(stand):
        if shared.remade:
            raise Failed("the shared proxy had to be started anew on the way: nothing to compare with")
        return stand.proxy.returns_to_start()

    return nothing_has_leaked_when_all_is_over


def run_cases(names, shared):
    results = {}
    cases = [(name, *CASES[name]) for name in names]
    if any(not getattr(function, "own_stand", False) for _, function, _ in cases):
        leaks = leak_check(shared)
        cases.append((leaks.__name__, leaks, 120))
    for name, function, limit in cases:
        begin = time.monotonic()
        why, note = outcome(function, limit, shared)
        took = time.monotonic() - begin
        results[name] = why
        if why is None:
            print(f"PASS {name} ({took:.1f} s){': ' + note if note else ''}", flush=True)
        else:
            print(f"FAIL {name} ({took:.1f} s): {why}", flush=True)
            show_log(shared)
            if shared.died():
                shared.drop()
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
    parser.add_argument("--thorough", action="store_true", help="more rounds of what is measured")
    parser.add_argument("--report", metavar="FILE", help="write the results there as JSON")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    names = pick(options.names)
    if options.thorough:
        os.environ[THOROUGH] = "1"
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
        signal.signal(number, lambda *_: sys.exit(1))
    shared = SharedStand()
    try:
        results = run_cases(names, shared)
    finally:
        shared.drop()
    failed = sum(1 for why in results.values() if why is not None)
    if options.report:
        with open(options.report, "w", encoding="utf-8") as out:
            json.dump(results, out, indent=1)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
