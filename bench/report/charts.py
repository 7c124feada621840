# SPDX-License-Identifier: BSD-3-Clause
"""Says which rows become which chart. A chart without rows is left out."""
import re

import chart

M = 1e-6
# Title, rows (the group is the label), unit, scale.
BARS = (
    ("The whole path in memory: SYNs and forged ACKs", r"datapath/((?:syn|forged_ack|mix)/.*)", "cycles/packet", 1),
    ("The whole path in memory: spliced packets", r"datapath/spliced/(.*)", "cycles/packet", 1),
    ("Whole short connections in memory", r"datapath/connection/(.*)", "cycles/connection", 1),
    ("The MAC of a cookie: SipHash-2-4 alone, in bursts of 8 and 32, and OpenSSL's",
     r"micro/siphash/((?:single|openssl)/ipv4|burst/[^/]*/ipv4/(?:8|32))", "cycles/hash", 1),
    ("The hot headers one by one", r"micro/((?:segment|tcp_options|translate|protect|shed|steering)/.*)", "cycles/packet", 1),
    ("The flow table and rte_hash: cycles per key", r"flow_table/((?:hit|miss|insert|erase)/(?:1m|10m)/(?:own|rte_hash))",
     "cycles/key", 1),
    ("Over memif: SYN-ACKs, and testpmd macswap on the same frames", r"wire/((?:syn|macswap)/ipv[46]/[^/]*)",
     "M packets/s", M),
    ("Over memif: connections, and testpmd io in the proxy's place", r"wire/(connections|io/connections)",
     "thousand connections/s", 1e-3),
    ("In network namespaces: SYNs answered per second", r"versus/flood/(.*/answered/.*)", "thousand SYNs/s", 1e-3),
    ("In network namespaces: CPU time per answered SYN", r"versus/flood/(.*/cpu_per_answer/.*)", "µs", 1),
    ("In network namespaces: connections per second", r"versus/(connections/(?!ratio).*)", "connections/s", 1),
    ("In network namespaces: throughput", r"versus/throughput/((?!.*ratio).*)", "Mbit/s", 1),
)
PERCENTILES = (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"))
SHARES = (10, 50, 90)


def bar_charts(rows):
    for number, (title, pattern, unit, scale) in enumerate(BARS):
        items = [(found[1], row["value"] * scale, None if row["budget"] is None else row["budget"] * scale,
                  row.get("reference", False))
                 for row in rows if (found := re.fullmatch(pattern, row["name"])) and "ratio" not in row["name"]]
        if items:
            yield title, chart.bars(f"bars{number}", unit, items)


def latency_chart(rows):
    values = {row["name"]: row["value"] for row in rows}
    series = [(label, [values.get(f"wire/latency/{share}_percent/{key}", 0) for share in SHARES])
              for label, key in PERCENTILES]
    if all(value > 0 for _, seen in series for value in seen):
        yield ("Over memif: latency of a SYN-ACK, by load",
               chart.lines("latency", "µs", "load, of the rate that can be answered",
                           [f"{share} %" for share in SHARES], series))


def charts(document):
    """Pairs of title and SVG."""
    yield from bar_charts(document["rows"])
    yield from latency_chart(document["rows"])
