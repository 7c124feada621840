# SPDX-License-Identifier: BSD-3-Clause
"""Makes rows of results.json from the output of a bench: the project's own JSON (bench/common/results.h), or Google
Benchmark's."""
import re

import paths  # pylint: disable=unused-import
from budgets import limit_of
from document import BadFile, row_fault

# The programs that ours is compared with, and figures about the machine.
REFERENCE = re.compile(r"/(macswap|io|rte_hash|rte_keyed|openssl|kernel|direct|nothing|kept_waiting|others|offered)(/|$)")


def row(step, name, value, unit, better="lower", note="", budget=None, least=None, most=None):
    limit = limit_of(name)
    return {"step": step, "name": name, "value": value, "unit": unit, "better": better,
            "budget": budget if limit is None else limit, "note": note,
            "spread": (most - least) / 2 if least is not None and most is not None else 0,
            "reference": bool(REFERENCE.search(name))}


def checked(rows, path):
    for each in rows:
        if why := row_fault(each):
            raise BadFile(f"{path}: {why}")
    return rows


def own_rows(document, step, path):
    """`document`: {"bench", "command", "machine", "results": [...]}."""
    try:
        rows = [row(step, each["name"], each["value"], each["unit"], each["better"], each.get("note", ""),
                    each.get("budget"), each.get("least"), each.get("most")) for each in document["results"]]
    except (KeyError, TypeError, AttributeError) as why:
        raise BadFile(f"{path}: not the JSON of a bench: {why!r}") from why
    return checked(rows, path)


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def google_rows(document, step, prefix, path):
    """The counter of cycles of every case, as the median of its repetitions. A case that ended with an error has
    none."""
    seen = {}
    try:
        for run in document["benchmarks"]:
            if run["run_type"] != "iteration" or run.get("error_occurred"):
                continue
            for unit, value in run.items():
                if unit == "cycles" or unit.startswith("cycles/"):
                    seen.setdefault((run["run_name"], unit), []).append(value)
    except (KeyError, TypeError, AttributeError) as why:
        raise BadFile(f"{path}: not the JSON of Google Benchmark: {why!r}") from why
    return checked([row(step, f"{prefix}/{name}", median(values), unit, least=min(values), most=max(values))
                    for (name, unit), values in seen.items()], path)
