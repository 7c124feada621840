#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints one line per test case from Meson's log of a test run: PASS name, FAIL name or SKIP name.

usage: count_results.py testlog.json [LABEL]

Each case of a GoogleTest program counts. A case that began and never ended (a crash, a time limit) has
failed. So has a program that ended badly although its cases passed (a leak found at exit). Any other
program counts as one case.
"""
import json
import re
import sys

LINE = re.compile(r"^\[ +(RUN|OK|FAILED|SKIPPED) +\] (\S+?)(?:, where .*)?(?: \(\d+ ms\))?$")
WORD = {"OK": "PASS", "FAILED": "FAIL", "SKIPPED": "SKIP"}


def cases_of(output):
    """Case name to its outcome, in the order of the run; a case that never ended has failed."""
    cases = {}
    for line in output.splitlines():
        if match := LINE.match(line):
            kind, name = match.groups()
            if kind == "RUN":
                cases[name] = "FAIL"
            elif name in cases:  # the summary at the end repeats the names of failures
                cases[name] = WORD[kind]
    return cases


def lines_of(test):
    program = re.split(r"[:/]", test["name"])[-1].strip()  # behind project and suite
    cases = cases_of(test.get("stdout", ""))
    for name, outcome in cases.items():
        yield f"{outcome} {program}: {name}"
    ended_well = test["result"] in ("OK", "SKIP", "EXPECTEDFAIL")
    if not cases:
        yield f"{'SKIP' if test['result'] == 'SKIP' else 'PASS' if ended_well else 'FAIL'} {program}"
    elif not ended_well and "FAIL" not in cases.values():
        yield f"FAIL {program}: {test['result'].lower()} with every case passed"


def main():
    label = f"{sys.argv[2]}: " if len(sys.argv) > 2 else ""
    with open(sys.argv[1], encoding="utf-8") as log:
        for line in log:
            for result in lines_of(json.loads(line)):
                outcome, name = result.split(" ", 1)
                print(f"{outcome} {label}{name}")


main()
