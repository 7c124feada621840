# SPDX-License-Identifier: BSD-3-Clause
"""results.json: the findings of one run of scripts/bench.sh.

{"schema": 1, "date", "commit", "mode": "normal" or "quick", "machine": {...},
 "steps": [{"name", "status": "done", "failed" or "skipped", "seconds", "command", "note", "machine"}],
 "rows": [{"step", "name", "value", "unit", "better": "lower" or "higher", "budget", "note", "spread", "reference"}]}

"spread" is half of the distance between the least and the most of the repetitions, in the row's own unit; 0 if they are
not known. "reference" rows are figures of other programs (testpmd, rte_hash, the kernel), or of the machine.
"""
import json
import math

SCHEMA = 1
MODES = ("normal", "quick")
STATUSES = ("done", "failed", "skipped")


class BadFile(Exception):
    """A file that is not as it should be; the text names it and says why."""


def read_json(path):
    try:
        with open(path, encoding="utf-8") as text:
            return json.load(text)
    except OSError as why:
        raise BadFile(f"{path}: {why.strerror}") from why
    except ValueError as why:  # not UTF-8, or no JSON
        raise BadFile(f"{path}: not JSON: {why}") from why


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def row_fault(row):
    """Why this is no row; None if it is one."""
    if not isinstance(row, dict):
        return "a row is no object"
    for key in ("step", "name", "unit", "note"):
        if not isinstance(row.get(key), str):
            return f'a row without "{key}": {str(row)[:80]}'
    if row.get("better") not in ("lower", "higher"):
        return f'{row["name"]}: "better" is neither lower nor higher'
    if not is_number(row.get("value")) or not is_number(row.get("spread")) or row["spread"] < 0:
        return f'{row["name"]}: "value" and "spread" must be numbers'
    if row.get("budget") is not None and not is_number(row["budget"]):
        return f'{row["name"]}: "budget" is no number'
    return None


def fault(document):
    if not isinstance(document, dict) or "schema" not in document:
        return "not written by scripts/bench.sh"
    if document["schema"] != SCHEMA:
        return f"schema {document['schema']}, this program knows {SCHEMA}"
    for key, kind in (("date", str), ("commit", str), ("machine", dict), ("steps", list), ("rows", list)):
        if not isinstance(document.get(key), kind):
            return f'"{key}" is missing, or of another kind'
    if document.get("mode") not in MODES:
        return f'"mode" is none of {", ".join(MODES)}'
    for step in document["steps"]:
        if not isinstance(step, dict) or not isinstance(step.get("name"), str) or step.get("status") not in STATUSES:
            return "a step without name or status"
    for row in document["rows"]:
        if why := row_fault(row):
            return why
    names = [row["name"] for row in document["rows"]]
    if len(names) != len(set(names)):
        return "two rows have the same name"
    return None


def load(path):
    document = read_json(path)
    if why := fault(document):
        raise BadFile(f"{path}: {why}")
    return document


def save(document, path):
    if why := fault(document):
        raise BadFile(f"{path}: {why}")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(document, out, indent=1, ensure_ascii=False)
        out.write("\n")
