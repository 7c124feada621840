# SPDX-License-Identifier: BSD-3-Clause
"""The limits of bench/budgets.json, and what was reached."""
import json
import os

from figures import shown, unit_text

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "budgets.json")

with open(PATH, encoding="utf-8") as text:
    BUDGETS = json.load(text)
LIMITS = {row: budget["limit"] for budget in BUDGETS for row in budget["rows"]}


def limit_of(name):
    """The budget of the row of this name; None without a budget."""
    return LIMITS.get(name)


def is_met(row):
    return row["value"] >= row["budget"] if row["better"] == "higher" else row["value"] <= row["budget"]


def verdict(row):
    return "met" if is_met(row) else "MISSED"


class Reached:
    """A budget beside its rows. It is met if the worst of them meets it."""

    def __init__(self, budget, rows):
        self.path, self.unit, self.limit = budget["path"], budget["unit"], budget["limit"]
        self.higher = budget["better"] == "higher"
        self.names = [name for name in budget["rows"] if name in rows]
        self.values = sorted(rows[name]["value"] for name in budget["rows"] if name in rows)
        self.missing = [name for name in budget["rows"] if name not in rows]

    def worst(self):
        return self.values[0] if self.higher else self.values[-1]

    def limit_text(self):
        return f"{'≥' if self.higher else '≤'} {self.limit:,g} {unit_text(self.unit)}".rstrip()

    def text(self):
        """What was reached; the least and the most if several rows share the budget."""
        ends = list(dict.fromkeys(shown(value) for value in (self.values[:1] + self.values[-1:])))
        return " to ".join(ends) or "-"

    def verdict(self):
        if not self.values:
            return "not measured"
        return "met" if (self.worst() >= self.limit if self.higher else self.worst() <= self.limit) else "MISSED"


def reached(rows):
    """`rows`: of a document, a list."""
    by_name = {row["name"]: row for row in rows}
    return [Reached(budget, by_name) for budget in BUDGETS]
