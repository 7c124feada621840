# SPDX-License-Identifier: BSD-3-Clause
"""The findings of a bench of several processes: rows for the table and the JSON (as bench/common/results.cc writes
it), and the faults."""
import json
import statistics
import sys

from budgets import limit_of, verdict
from figures import shown


class Results:
    """The rows, which are printed at the end and written as JSON, and the faults that were found."""

    def __init__(self, bench):
        self.bench = bench
        self.rows = []
        self.faults = []
        self.tsc_hz = None

    def add(self, name, value, unit, better, note="", samples=()):
        """`samples`: the values of the rounds, if the value is their median."""
        name = f"{self.bench}/{name}"
        row = {"name": name, "value": value, "unit": unit, "better": better, "budget": limit_of(name), "note": note}
        self.rows.append(row | ({"least": min(samples), "most": max(samples)} if samples else {}))

    def add_rate(self, name, rates):
        rate = statistics.median(rates)
        self.add(name, rate, "packets/s", "higher", samples=rates)
        if min(rates) > 0:
            self.add(f"{name}/cycles", self.tsc_hz / rate, "cycles/packet", "lower",
                     "time-stamp counter, of the contender's core", [self.tsc_hz / each for each in rates])

    def judge(self, contender, results):
        for result in results:
            self.tsc_hz = result["tsc_hz"]
            for fault, count in result["faults"].items():
                self.faults.append(f"{contender}, {result['step']}: {count} x {fault}")
        return results

    def write(self, path, machine):
        with open(path, "w", encoding="utf-8") as out:
            json.dump({"bench": self.bench, "command": " ".join(sys.argv), "machine": machine,
                       "results": self.rows}, out, indent=1)

    def table(self):
        lines = []
        for row in self.rows:
            text = f"{row['name']:46} {shown(row['value']):>12} {row['unit']}"
            if row["budget"] is not None:
                text += f"   budget {'>=' if row['better'] == 'higher' else '<='} {row['budget']:g}: {verdict(row)}"
            lines.append(text + (f"   ({row['note']})" if row["note"] else ""))
        return "\n".join(lines)
