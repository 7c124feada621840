#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""End-to-end tests: real clients and a real web server in network namespaces, the proxy between them.

usage: run.py [--list] [--jobs N] [--thorough] [--report FILE] [NAME...]     NAME may hold * and ?

Every case prints PASS or FAIL with its name; a failure shows the end of the proxy's log. Cases run side by side
in N lanes; those that measure run alone, after the others. In each lane most cases share one lab and one
running proxy, whose buffers and flows are compared with the start at the very end.
"""
import argparse
import fnmatch
import importlib
import json
import os
import pathlib
import signal
import sys

from harness import CASES, PROGRAM, THOROUGH
from lanes import run_cases

# Whoever is imported adds its cases to CASES.
for module in sorted(pathlib.Path(__file__).parent.glob("cases_*.py")):
    importlib.import_module(module.stem)
# Most of a case is waiting.
JOBS = min(8, 2 * (os.cpu_count() or 1))


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
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help=f"lanes, {JOBS} if not given")
    parser.add_argument("--thorough", action="store_true", help="more rounds of what is measured")
    parser.add_argument("--report", metavar="FILE", help="write the results there as JSON")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error("--jobs: at least 1")
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
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    results = run_cases(names, options.jobs)
    failed = sum(1 for why in results.values() if why is not None)
    if options.report:
        with open(options.report, "w", encoding="utf-8") as out:
            json.dump(results, out, indent=1)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
