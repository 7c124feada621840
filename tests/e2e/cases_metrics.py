# SPDX-License-Identifier: BSD-3-Clause
"""What --metrics answers."""
import collections
import re

from clients import must_get_page
from harness import PROGRAM, Stand, case, check, equal, own_stand

SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")


def scrape(lab, url):
    """All series of a page of metrics, as {name: {labels: value}}."""
    series = collections.defaultdict(dict)
    for line in lab.must("proxy", "curl", "-gsSf", "--max-time", "10", url).splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            series[name][labels or ""] = float(value)
    return series


def summed(series, name):
    """Over the workers, for each of the other labels."""
    total = collections.Counter()
    for labels, value in series[name].items():
        total[",".join(label for label in labels.split(",") if not label.startswith("worker="))] += value
    return total


@own_stand
@case()
def metrics_are_what_stat_says_and_promtool_finds_no_fault(_):
    with Stand("--metrics", "[::1]:9100") as stand:
        must_get_page(stand.lab, 4)
        must_get_page(stand.lab, 6)
        url = "http://[::1]:9100/metrics"
        page = stand.lab.must("proxy", "curl", "-gsSf", url)
        lint = stand.lab.run("proxy", "promtool", "check", "metrics", stdin=page.encode())
        check(lint.code == 0 and not lint.out and not lint.err, f"promtool: {lint.out}{lint.err}")

        before, series, after = stand.proxy.stat()["total"], scrape(stand.lab, url), stand.proxy.stat()["total"]
        for name in before["counters"]:
            got = summed(series, f"synproxy_{name}_total")[""]
            check(before["counters"][name] <= got <= after["counters"][name], f"{name}: {got}")
        for side in ("client", "server"):
            got = summed(series, "synproxy_rx_packets_total")[f'side="{side}"']
            name = f"rx_packets_{side}"
            check(0 < before["io"][name] <= got <= after["io"][name], f"{name}: {got}")
        equal(series["synproxy_build_info"].popitem()[1], 1, "build info")
        check(2 <= summed(series, "synproxy_cookie_valid_total")[""], "the pages count")

        # Another proxy with the same address says so before it touches the ports.
        for where, wrong in (("[::1]:9100", "another program listens there"),
                             ("203.0.113.99:9100", "is no address of this machine"), ("nowhere", "has no port")):
            other = stand.lab.run("proxy", PROGRAM, "--name", "other", *stand.proxy.flags[:-2], "--metrics", where)
            equal((other.code, len(other.err.splitlines())), (2, 1), f"--metrics {where}: {other.err}")
            check(f"--metrics {where}: " in other.err and wrong in other.err, other.err)
        must_get_page(stand.lab, 4)
