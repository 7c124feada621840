# SPDX-License-Identifier: BSD-3-Clause
"""The words that a run.py takes, and how it ends: that of tests/e2e and that of tests/vm."""
import argparse
import fnmatch
import json
import os
import sys

from harness import PROGRAM


def parser(usage):
    words = argparse.ArgumentParser(description=usage, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--list", action="store_true", help="print the names and end")
    words.add_argument("--report", metavar="FILE", help="write the results there as JSON")
    words.add_argument("names", nargs="*", metavar="NAME")
    return words


def pick(patterns, cases):
    if not patterns:
        return list(cases)
    unknown = [p for p in patterns if not fnmatch.filter(cases, p)]
    if unknown:
        sys.exit(f"run.py: no such case: {' '.join(unknown)}")
    return [name for name in cases if any(fnmatch.fnmatch(name, p) for p in patterns)]


def names_to_run(options, cases):
    """Ends the program where none is to run, or none can."""
    names = pick(options.names, cases)
    if options.list:
        print("\n".join(names))
        sys.exit(0)
    if os.geteuid() != 0:
        print("run.py: must run as root (it makes network namespaces)", file=sys.stderr)
        sys.exit(2)
    if not os.access(PROGRAM, os.X_OK):
        print(f"run.py: no {PROGRAM}; build it first: ninja -C build synproxy", file=sys.stderr)
        sys.exit(2)
    return names


def end(results, options):
    """Tells how many failed, and returns the exit code. Results: by name, why it failed or None."""
    failed = sum(1 for why in results.values() if why is not None)
    if options.report:
        with open(options.report, "w", encoding="utf-8") as out:
            json.dump(results, out, indent=1)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0
