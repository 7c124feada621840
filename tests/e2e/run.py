#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""End-to-end tests: real clients and a real web server in network namespaces, the proxy between them.

usage: run.py [--list] [--jobs N] [--thorough] [--report FILE] [NAME...]     NAME may hold * and ?

Every case prints PASS or FAIL with its name; a failure shows the end of the proxy's log. Cases run side by side
in N lanes; those that measure run alone, after the others. In each lane most cases share one lab and one
running proxy, whose buffers and flows are compared with the start at the very end.
"""
import importlib
import os
import pathlib
import signal
import sys

import command_line
from harness import CASES, THOROUGH
from lanes import run_cases

# Whoever is imported adds its cases to CASES.
for module in sorted(pathlib.Path(__file__).parent.glob("cases_*.py")):
    importlib.import_module(module.stem)
# Most of a case is waiting.
JOBS = min(8, 2 * (os.cpu_count() or 1))


def main():
    parser = command_line.parser(__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, metavar="N", help=f"lanes, {JOBS} if not given")
    parser.add_argument("--thorough", action="store_true", help="more rounds of what is measured")
    options = parser.parse_args()
    if options.jobs < 1:
        parser.error("--jobs: at least 1")
    names = command_line.names_to_run(options, CASES)
    if options.thorough:
        os.environ[THOROUGH] = "1"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    return command_line.end(run_cases(names, options.jobs), options)


if __name__ == "__main__":
    sys.exit(main())
