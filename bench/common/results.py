# SPDX-License-Identifier: BSD-3-Clause
"""What a bench of several processes has found: rows for the table and the JSON (as bench/common/results.cc writes
it), and the faults."""
import json
import sys


class Results:
    """What is printed at the end and written as JSON; also the faults that were found."""

    def __init__(self, bench):
        self.bench = bench
        self.rows = []
        self.faults = []
        self.tsc_hz = None

    def add(self, name, value, unit, better, budget=None, note=""):
        self.rows.append({"name": f"{self.bench}/{name}", "value": value, "unit": unit, "better": better,
                          "budget": budget, "note": note})

    def add_rate(self, name, rate, note=""):
        self.add(name, rate, "packets/s", "higher", note=note)
        if rate > 0:
            self.add(f"{name}/cycles", self.tsc_hz / rate, "cycles/packet", "lower",
                     note="time-stamp counter, of the contender's core")

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
                met = row["value"] >= row["budget"] if row["better"] == "higher" else row["value"] <= row["budget"]
                text += f"   budget {'>=' if row['better'] == 'higher' else '<='} {row['budget']:g}: " + \
                        ("met" if met else "MISSED")
            lines.append(text + (f"   ({row['note']})" if row["note"] else ""))
        return "\n".join(lines)


def shown(value):
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
