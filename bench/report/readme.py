#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the table of README.md, between its two marks, from a run of scripts/bench.sh.

usage: readme.py RESULTS.json README.md     exit status: 0 done, 2 a file is bad
"""
import sys

import paths  # pylint: disable=unused-import
from budgets import reached
from document import BadFile, load
from figures import shown, unit_text

BEGIN = "<!-- performance: written by scripts/bench.sh --readme -->"
END = "<!-- /performance -->"
# Rows beside the budgets, with their labels. Rows that a run does not have are left out. Behind each figure stands its
# ratio to the floor of its row, or to the row that AGAINST names.
FURTHER = (
    ("datapath/syn/ipv4/timestamps", "SYN of Linux → SYN-ACK, IPv4"),
    ("datapath/syn/ipv4/mixed", "SYNs of usual clients mixed in one burst"),
    ("datapath/syn/ipv6/timestamps", "SYN of Linux → SYN-ACK, IPv6"),
    ("datapath/forged_ack/ipv4/timestamps/1m_flows", "forged ACK, IPv4, 1 M flows"),
    ("datapath/forged_ack/ipv6/timestamps/1m_flows", "forged ACK, IPv6, 1 M flows"),
    ("datapath/spliced/ipv4/1m/small/to_server", "spliced packet, IPv4, 1 M flows at random"),
    ("datapath/spliced/ipv6/1m/small/to_server", "spliced packet, IPv6, 1 M flows at random"),
    ("datapath/spliced/ipv4/10m/small/to_server", "spliced packet, IPv4, 10 M flows at random"),
    ("wire/syn/ipv4/timestamps", "SYN-ACKs over memif, IPv4, Linux's options"),
    ("wire/macswap/ipv4/timestamps", "testpmd macswap on the same link"),
    ("wire/connections", "whole connections over memif"),
    ("wire/io/connections", "testpmd io in the proxy's place"),
    ("wire/latency/10_percent/p50", "latency of a SYN-ACK at 10 % load, p50"),
    ("wire/latency/50_percent/p50", "at 50 %, p50"),
    ("wire/latency/50_percent/p99", "at 50 %, p99"),
    ("wire/latency/50_percent/p999", "at 50 %, p99.9"),
    ("wire/latency/90_percent/p50", "at 90 %, p50"),
    ("flow_table/hit/10m/own", "flow table, 10 M flows, hit"),
    ("flow_table/hit/10m/rte_hash", "rte_hash on the same work"),
)

AGAINST = {
    "wire/syn/ipv4/timestamps": ("wire/macswap/ipv4/timestamps", "macswap"),
    "wire/connections": ("wire/io/connections", "io"),
    "wire/latency/50_percent/p50": ("wire/latency/10_percent/p50", "that at 10 %"),
    "wire/latency/50_percent/p99": ("wire/latency/10_percent/p50", "p50 at 10 %"),
    "wire/latency/50_percent/p999": ("wire/latency/10_percent/p50", "p50 at 10 %"),
    "wire/latency/90_percent/p50": ("wire/latency/10_percent/p50", "that at 10 %"),
    "flow_table/hit/10m/own": ("flow_table/hit/10m/rte_hash", "rte_hash"),
}


def escaped(text):
    return text.replace("|", "\\|")


def of_floor(name, by_name):
    row = by_name.get(name + "/of_floor")
    return None if row is None else row["value"]


def ratio_text(name, by_name):
    floor = of_floor(name, by_name)
    if floor is not None:
        return f"{shown(floor)} of the floor"
    other, label = AGAINST.get(name, ("", ""))
    if other not in by_name or by_name[other]["value"] == 0:
        return ""
    return f"{shown(by_name[name]['value'] / by_name[other]['value'])} of {label}"


# Of bench/versus.
CONTENDERS = {"kernel": "the kernel's SYNPROXY", "direct": "a bridge of the kernel"}


def budget_rows(rows):
    by_name = {row["name"]: row for row in rows}
    for found in reached(rows):
        verdict = {"MISSED": "**missed**"}.get(found.verdict(), found.verdict())
        floors = sorted(f for f in (of_floor(name, by_name) for name in found.names) if f is not None)
        ends = list(dict.fromkeys(shown(value) for value in floors[:1] + floors[-1:]))
        ratio = f" ({' to '.join(ends)} of the floor)" if ends else ""
        yield f"| {escaped(found.path)} | {found.limit_text()} | {found.text()}{ratio} | {verdict} |"


def further_rows(rows):
    by_name = {row["name"]: row for row in rows}
    named = [(by_name[name], label, ratio_text(name, by_name)) for name, label in FURTHER if name in by_name]
    for row in rows:
        line, _, other = row["name"].rpartition("/ratio_to_")
        if line.startswith("versus/") and other in CONTENDERS:
            less = " (less is better)" if row["better"] == "lower" else ""
            named.append((row, f"{line.removeprefix('versus/').replace('_', ' ')}, by that of {CONTENDERS[other]}{less}", ""))
    for row, label, ratio in named:
        yield f"| {escaped(label)} | {shown(row['value'])} {unit_text(row['unit'])}".rstrip() + f" | {ratio} |"


def machine_line(document):
    machine = document["machine"]
    parts = [machine["cpu"], f"{machine['cores']} cores"]
    parts += [f"time-stamp counter {machine['tsc_mhz']} MHz"] if "tsc_mhz" in machine else []
    parts += [f"Linux {machine['kernel']}", f"DPDK {machine['dpdk']}"]
    parts += [f"g++ {machine['compiler']}"] if "compiler" in machine else []
    quick = ", a quick run" if document["mode"] == "quick" else ""
    return f"{', '.join(parts)}; {document['date'].split()[0]}, commit {document['commit']}{quick}."


def section(document):
    rows = document["rows"]
    lines = [machine_line(document), "", "| path, one core | budget | reached | |", "|---|---|---|---|",
             *budget_rows(rows)]
    further = list(further_rows(rows))
    if further:
        lines += ["", "| beside it | | |", "|---|---|---|", *further]
    return "\n".join(lines)


def replaced(text, document, path):
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise BadFile(f"{path}: has no marks {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{section(document)}\n{END}{tail}"


def main():
    if len(sys.argv) != 3:
        print("usage: readme.py RESULTS.json README.md", file=sys.stderr)
        return 2
    try:
        with open(sys.argv[2], encoding="utf-8") as page:
            text = page.read()
        text = replaced(text, load(sys.argv[1]), sys.argv[2])
        with open(sys.argv[2], "w", encoding="utf-8") as page:
            page.write(text)
    except BadFile as why:
        print(f"readme.py: {why}", file=sys.stderr)
        return 2
    except OSError as why:
        print(f"readme.py: {why.filename}: {why.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
