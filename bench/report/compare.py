#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Finds what got slower between two runs of scripts/bench.sh.

usage: compare.py OLD.json NEW.json     exit status: 0 nothing got slower, 1 something did, 2 a file is bad

A figure has changed if it moved by more than 10 %, and by more than both spreads together, so that the two ranges of
repetitions do not meet. Small changes of figures near zero never count (FLOOR).
"""
import sys

import paths  # pylint: disable=unused-import
from document import BadFile, load
from figures import shown

NOISE = 0.10
FLOOR = {"share": 0.01, "us": 0.5}
# Units that mean the same on every machine.
WITHOUT_DIMENSION = ("ratio", "times", "share", "bytes/flow")
# If these differ, it is another machine, and only figures with the units above can be compared.
IDENTITY = ("cpu", "cores")


class Change:
    """One row of both files."""

    def __init__(self, old, new):
        self.old, self.new = old, new
        higher = new["better"] == "higher"
        before, after = old["value"], new["value"]
        self.worse_by = before - after if higher else after - before
        self.limit = max(NOISE * abs(before), old["spread"] + new["spread"], FLOOR.get(new["unit"], 0))
        # Above 1: slower.
        self.ratio = None if before <= 0 or after <= 0 else before / after if higher else after / before

    def slower(self):
        return self.worse_by > self.limit

    def faster(self):
        return -self.worse_by > self.limit

    def weight(self):
        """For sorting: changes of sign or from zero first, then the largest change."""
        if self.ratio is None:
            return float("inf")
        return max(self.ratio, 1 / self.ratio)

    def line(self):
        times = "   -   " if self.ratio is None else f"{self.ratio:5.2f} x"
        return f"{times}  {self.new['name']:54} {shown(self.old['value']):>11} -> " \
               f"{shown(self.new['value'])} {self.new['unit']}"


class Comparison:
    def __init__(self, old, new):
        self.old, self.new = old, new
        self.machines = [(key, old["machine"].get(key, "unknown"), new["machine"].get(key, "unknown"))
                         for key in sorted(old["machine"].keys() | new["machine"].keys())
                         if old["machine"].get(key) != new["machine"].get(key)]
        self.other_machine = any(key in IDENTITY for key, _, _ in self.machines)
        before = {row["name"]: row for row in old["rows"]}
        after = {row["name"]: row for row in new["rows"]}
        both = [Change(before[name], row) for name, row in after.items() if name in before]
        self.unfit = [change for change in both
                      if (change.old["unit"], change.old["better"]) != (change.new["unit"], change.new["better"])
                      or (self.other_machine and change.new["unit"] not in WITHOUT_DIMENSION)]
        unfit = {change.new["name"] for change in self.unfit}
        fit = sorted((change for change in both if change.new["name"] not in unfit), key=Change.weight, reverse=True)
        own = [change for change in fit if not change.new.get("reference")]
        self.slower = [change for change in own if change.slower()]
        self.faster = [change for change in own if change.faster()]
        self.same = len(own) - len(self.slower) - len(self.faster)
        self.others = [change for change in fit if change.new.get("reference") and (change.slower() or change.faster())]
        self.gone = missing(before, after, new)
        self.come = missing(after, before, old)

    def lines(self):
        yield f"old: {headline(self.old)}"
        yield f"new: {headline(self.new)}"
        for key, before, after in self.machines:
            yield f"the machine differs: {key}: {before} -> {after}"
        if self.other_machine:
            yield "Two machines: only what has no dimension is compared."
        if self.old["mode"] != self.new["mode"]:
            yield f"One run was {self.old['mode']}, the other {self.new['mode']}: short runs are less sure."
        for title, changes in (("slower", self.slower), ("faster", self.faster),
                               ("changed in others, so it is the machine rather than this program", self.others)):
            if changes:
                yield f"\n{title}:"
                yield from (change.line() for change in changes)
        for label, names in (("old", self.gone), ("new", self.come)):
            for name in names:
                yield f"only in the {label} file: {name}"
        yield f"\n{len(self.slower)} slower, {len(self.faster)} faster, {self.same} within {100 * NOISE:.0f} % or their " \
              f"spread, {len(self.unfit)} not comparable"


def headline(document):
    return f"{document['date']}, commit {document['commit']}, {document['mode']}, {len(document['rows'])} figures"


def missing(rows, others, other_document):
    """Names of rows without a counterpart; rows of a step that did not run there count as one."""
    ran = {step["name"] for step in other_document["steps"] if step["status"] == "done"}
    absent = [row for name, row in rows.items() if name not in others]
    steps = dict.fromkeys(row["step"] for row in absent if row["step"] not in ran)
    return [f"{step} (all of it)" for step in steps] + [row["name"] for row in absent if row["step"] in ran]


def main():
    if len(sys.argv) != 3:
        print("usage: compare.py OLD.json NEW.json", file=sys.stderr)
        return 2
    try:
        comparison = Comparison(load(sys.argv[1]), load(sys.argv[2]))
    except BadFile as why:
        print(f"compare.py: {why}", file=sys.stderr)
        return 2
    print("\n".join(comparison.lines()))
    return 1 if comparison.slower else 0


if __name__ == "__main__":
    sys.exit(main())
