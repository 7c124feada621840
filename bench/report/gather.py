#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Puts the JSON of every step into one document, with the budgets beside what was reached.

usage: gather.py DIRECTORY MODE OUT.json    exit status: 0 done, 1 a step left no figures, 2 bad usage

DIRECTORY/steps has a line per step: name, status, seconds, command, note, separated by tabs. The findings of a step are
in DIRECTORY/NAME.json, or for Google Benchmark's programs in DIRECTORY/NAME/PROGRAM.json.
"""
import datetime
import os
import platform
import subprocess
import sys

from paths import ROOT
import budgets
from convert import google_rows, own_rows
from document import SCHEMA, BadFile, read_json, save
from machine import cpu_model, dpdk_version

# These belong to a step, not to the machine.
OF_THE_STEP = ("generator_cpu", "contender_cpu", "memory", "load_before", "hugepages")


def git(*words):
    try:
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def commit():
    name = git("rev-parse", "--short=12", "HEAD")
    if not name:
        return "unknown"
    return name + (" with changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def memory_gib():
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def step_of(line, directory):
    """The step with its machine, and its rows."""
    name, status, seconds, command, note = line.rstrip("\n").split("\t")
    step = {"name": name, "status": status, "seconds": int(seconds), "command": command, "note": note, "machine": {}}
    rows = []
    try:
        if status == "done" and os.path.isdir(os.path.join(directory, name)):
            for file in sorted(os.listdir(os.path.join(directory, name))):
                path = os.path.join(directory, name, file)
                prefix = f"{name}/{file.removesuffix('.json').removesuffix('_bench')}"
                rows += google_rows(read_json(path), name, prefix, path)
        elif status == "done":
            path = os.path.join(directory, f"{name}.json")
            document = read_json(path)
            rows = own_rows(document, name, path)
            step["machine"] = document["machine"]
        if status == "done" and not rows:
            raise BadFile(f"{name}: no figures")
    except BadFile as why:
        step |= {"status": "failed", "note": str(why)}
        rows = []
    return step, rows


def document_of(directory, mode):
    with open(os.path.join(directory, "steps"), encoding="utf-8") as lines:
        pairs = [step_of(line, directory) for line in lines]
    machine = {"cpu": cpu_model(), "cores": os.cpu_count(), "memory_gib": memory_gib(), "kernel": platform.release(),
               "dpdk": dpdk_version()}
    for step, _ in pairs:
        machine |= {key: value for key, value in step["machine"].items()
                    if key not in machine and key not in OF_THE_STEP}
    return {"schema": SCHEMA, "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "commit": commit(), "mode": mode, "machine": machine, "steps": [step for step, _ in pairs],
            "rows": [row for _, rows in pairs for row in rows]}


def budget_lines(document):
    found = [each for each in budgets.reached(document["rows"]) if each.values]
    for each in found:
        yield f"{each.path:74} {each.limit_text():>25}   {each.text():>14}   {each.verdict()}"
    if len(found) < len(budgets.BUDGETS):
        yield f"{len(budgets.BUDGETS) - len(found)} budgets were not measured"


def main():
    if len(sys.argv) != 4:
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    document = document_of(sys.argv[1], sys.argv[2])
    save(document, sys.argv[3])
    print("\n" + "\n".join(budget_lines(document)) + "\n")
    print(", ".join(f"{key} {value}" for key, value in document["machine"].items()))
    failed = [step for step in document["steps"] if step["status"] == "failed"]
    for step in failed:
        print(f"{step['name']} failed: {step['note']}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
