#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes one self-contained page: budgets, charts, command lines, the machine, every figure.

usage: page.py RESULTS.json OUT.html [OLD.json]     exit status: 0 done, 1 it cannot be drawn, 2 a file is bad
"""
import html
import os
import sys

from paths import ROOT
from budgets import reached, verdict
from charts import charts
from compare import Comparison
from document import BadFile, load
from figures import shown, unit_text

with open(os.path.join(ROOT, "bench", "report", "page.css"), encoding="utf-8") as sheet:
    STYLE = sheet.read()


def escaped(value):
    return html.escape(str(value), quote=True)


def cell(value, kind=""):
    return f'<td class="{kind}">{escaped(value)}</td>' if kind else f"<td>{escaped(value)}</td>"


def table(heads, rows):
    """`rows`: finished cells. A head that begins with a blank is the head of a column of figures."""
    head = "".join(f'<th class="n">{escaped(text.strip())}</th>' if text.startswith(" ") else f"<th>{escaped(text)}</th>"
                   for text in heads)
    body = "\n".join("<tr>" + "".join(cells) + "</tr>" for cells in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def verdict_cell(text):
    return cell(text.replace("MISSED", "missed"), {"met": "met", "MISSED": "missed"}.get(text, "unknown"))


def budget_table(document):
    rows = []
    for found in reached(document["rows"]):
        missing = f" ({len(found.missing)} of {len(found.missing) + len(found.values)} rows not measured)" \
            if found.values and found.missing else ""
        rows.append([cell(found.path + missing), cell(found.limit_text(), "n"), cell(found.text(), "n strong"),
                     verdict_cell(found.verdict())])
    return table(["path", " budget", " reached", ""], rows)


def pairs(items):
    return "<dl>" + "".join(f"<dt>{escaped(key)}</dt><dd>{escaped(value)}</dd>" for key, value in items) + "</dl>"


def step_table(document):
    def state(step):
        return step["status"] + (f": {step['note']}" if step.get("note") else "")

    def circumstances(step):
        kept = ("memory", "hugepages", "load_before", "generator_cpu", "contender_cpu")
        return ", ".join(f"{key} {step['machine'][key]}" for key in kept if key in step.get("machine", {}))

    return table(["step", "command", " seconds", "how it went", "circumstances"],
                 [[cell(step["name"], "strong"), f"<td><code>{escaped(step.get('command', ''))}</code></td>",
                   cell(step.get("seconds", ""), "n"), cell(state(step)), cell(circumstances(step))]
                  for step in document["steps"]])


def change_table(changes):
    return table(["row", " old", " new", "unit", " times"],
                 [[cell(change.new["name"]), cell(shown(change.old["value"]), "n"),
                   cell(shown(change.new["value"]), "n strong"), cell(unit_text(change.new["unit"])),
                   cell("-" if change.ratio is None else f"{change.ratio:.2f}", "n")] for change in changes])


def comparison_section(comparison):
    yield "<h2>Since the earlier run</h2>"
    text = list(comparison.lines())
    yield "<p>" + "<br>".join(escaped(line) for line in text if line.startswith(("old:", "new:", "the machine", "Two"))) \
        + "</p>"
    yield f"<p class=lead>{escaped(text[-1].strip())}</p>"
    for title, changes in (("Slower", comparison.slower), ("Faster", comparison.faster),
                           ("Changed in others: the machine rather than this program", comparison.others)):
        if changes:
            yield f"<h3>{title}</h3>" + change_table(changes)
    for label, names in (("old", comparison.gone), ("new", comparison.come)):
        if names:
            yield f"<p>Only in the {label} run: {escaped(', '.join(names))}.</p>"


def figure_tables(document):
    for step in document["steps"]:
        rows = [row for row in document["rows"] if row["step"] == step["name"]]
        if not rows:
            continue
        yield f"<h3>{escaped(step['name'])}</h3>"
        yield table(["row", " value", " ±", "unit", " budget", "", "note"], [
            [cell(row["name"], "quiet" if row.get("reference") else ""), cell(shown(row["value"]), "n strong"),
             cell(shown(row["spread"]) if row["spread"] else "", "n"), cell(unit_text(row["unit"])),
             cell("" if row["budget"] is None else f"{row['budget']:g}", "n"),
             cell("") if row["budget"] is None else verdict_cell(verdict(row)), cell(row["note"], "note")]
            for row in rows])


def page(document, old=None):
    machine = document["machine"]
    found = reached(document["rows"])
    missed = sum(each.verdict() == "MISSED" for each in found)
    met = sum(each.verdict() == "met" for each in found)
    parts = ['<!doctype html><html lang="en"><head><meta charset="utf-8">',
             '<meta name="viewport" content="width=device-width, initial-scale=1"><title>synproxy: benches</title>',
             f"<style>{STYLE}</style></head><body><main><h1>synproxy: what the benches found</h1>",
             f'<p class=lead>{escaped(document["date"])}, commit {escaped(document["commit"])}, a {document["mode"]} run. '
             f"{met} budgets met, {missed} missed, {len(found) - met - missed} not measured.</p>"]
    if document["mode"] == "quick":
        parts.append("<p>A quick run is less sure: do not quote its figures.</p>")
    parts += ["<h2>Budgets</h2>", budget_table(document),
              "<p>Cycles are those of the time-stamp counter. Where several rows share a budget, the least and the most "
              "are given, and the worst has to meet it. Figures are medians; compare ratios, the machine decides "
              "the rest.</p>"]
    if old:
        parts += comparison_section(Comparison(old, document))
    drawn = list(charts(document))
    if drawn:
        parts += ["<h2>Charts</h2>", '<p class=legend><span class="key ours"></span>this program <span class="key theirs">'
                  '</span>what it is compared with <span class="key budget"></span>budget</p>']
        parts += [f"<figure><figcaption>{escaped(title)}</figcaption>{svg}</figure>" for title, svg in drawn]
    parts += ["<h2>Machine</h2>", pairs(machine.items()), "<h2>Command lines</h2>", step_table(document),
              "<h2>Every figure</h2>", "<p>± is half of what lies between the least and the most of the repetitions.</p>",
              *figure_tables(document), "</main></body></html>"]
    return "\n".join(parts) + "\n"


def main():
    if len(sys.argv) not in (3, 4):
        print("usage: page.py RESULTS.json OUT.html [OLD.json]", file=sys.stderr)
        return 2
    try:
        text = page(load(sys.argv[1]), load(sys.argv[3]) if len(sys.argv) == 4 else None)
        with open(sys.argv[2], "w", encoding="utf-8") as out:
            out.write(text)
    except BadFile as why:
        print(f"page.py: {why}", file=sys.stderr)
        return 2
    except (OSError, RuntimeError) as why:
        print(f"page.py: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
