#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks docs/alerts.yml and docs/grafana.json against the metrics that the program has.

usage: check_dashboards.py [ROOT]

Every metric that one of them names has to stand in docs/metrics.md, which is made from the program's list. The dashboard
has to be what Grafana loads: panels with a place of their own, queries that Prometheus can parse. The alerts have to
fire and be silent as tests/alerts/alerts_test.yml says. Prints what is wrong, and exits with 1; with 77 if all it could look at
is right and promtool is missing.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

METRIC = re.compile(r"\b(?:synproxy|process)_[a-z_]+\b")
# Prometheus makes it for every target.
OWN = {"up"}
WIDTH = 24


def names_in(text):
    return set(METRIC.findall(text))


def unknown(where, text, known):
    return [f"{where}: {name} is no metric of docs/metrics.md" for name in sorted(names_in(text) - known - OWN)]


def cells(place):
    return {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}


def queries(dashboard):
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def wrong_panels(dashboard):
    taken, ids = set(), set()
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    for panel in dashboard["panels"]:
        title = panel["title"]
        if panel["id"] in ids:
            yield f"grafana.json: {title}: its id is another panel's"
        if cells(panel["gridPos"]) & taken:
            yield f"grafana.json: {title}: lies over another panel"
        if panel["gridPos"]["x"] + panel["gridPos"]["w"] > WIDTH:
            yield f"grafana.json: {title}: is wider than the page"
        refs = [target["refId"] for target in panel["targets"]]
        if not refs or len(set(refs)) != len(refs):
            yield f"grafana.json: {title}: has no queries, or two of one name"
        ids.add(panel["id"])
        taken |= cells(panel["gridPos"])
    for title, expr in queries(dashboard):
        for name in re.findall(r"\$\{?(\w+)", expr):
            if name not in variables and not name.startswith("__"):
                yield f"grafana.json: {title}: no variable is called {name}"


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [f"promtool {' '.join(arguments)}: {(done.stdout + done.stderr).strip()}"]


def unparsable(dashboard):
    """Queries that Prometheus cannot parse, each looked at as the expression of a rule."""
    rules = [{"record": f"query:{number}", "expr": expr.replace("$__rate_interval", "1m")}
             for number, (_, expr) in enumerate(queries(dashboard))]
    with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as out:
        json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, out)  # JSON is YAML
        out.flush()
        return promtool("check", "rules", out.name)


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    page = (root / "docs/metrics.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^\| `(\w+)` \|", page, re.M))
    for name in re.findall(r"^\| `(\w+)` \| histogram \|", page, re.M):
        known |= {f"{name}_{series}" for series in ("bucket", "sum", "count")}
    alerts = (root / "docs/alerts.yml").read_text(encoding="utf-8")
    text = (root / "docs/grafana.json").read_text(encoding="utf-8")
    dashboard = json.loads(text)
    wrong = unknown("alerts.yml", alerts, known) + unknown("grafana.json", text, known) + list(wrong_panels(dashboard))
    for where, names in (("alerts.yml", names_in(alerts)), ("grafana.json", names_in(text))):
        if len(names & known) < 8:
            wrong.append(f"{where}: names next to no metrics; is this the file?")
    has_promtool = shutil.which("promtool") is not None
    if has_promtool:
        wrong += unparsable(dashboard)
        wrong += promtool("check", "rules", str(root / "docs/alerts.yml"))
        wrong += promtool("test", "rules", str(root / "tests/alerts/alerts_test.yml"))
    print("\n".join(wrong) if wrong else f"{len(known)} metrics, {len(dashboard['panels'])} panels")
    return 1 if wrong else 0 if has_promtool else 77


if __name__ == "__main__":
    sys.exit(main())
