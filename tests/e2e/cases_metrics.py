# SPDX-License-Identifier: BSD-3-Clause
"""What --metrics answers. A Prometheus and a browser that read it are in cases_tour."""
import collections
import contextlib
import glob
import importlib.util
import json
import os
import re

from clients import must_get_page
from harness import PROGRAM, ROOT, Stand, case, check, equal, own_stand
from telemetry import TelemetrySocket

ALERTS = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../docs/alerts.yml"))

SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")


def scrape(lab, url):
    """All series of a page of metrics, as {name: {labels: value}}."""
    series = collections.defaultdict(dict)
    for line in lab.must("proxy", "curl", "-gsSf", "--max-time", "60", url).splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            series[name][labels or ""] = float(value)
    return series


def exported(lab):
    """What DPDK's exporter gets by our endpoint file, which has to describe each name: {(name, labels): (value, type)}."""
    file = os.path.join(ROOT, "scripts/package/telemetry-endpoints/synproxy.py")
    spec = importlib.util.spec_from_file_location("synproxy", file)
    endpoint = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(endpoint)
    with TelemetrySocket(lab.name) as sock:
        described = endpoint.info()
        return {(name, *sorted(map(str, labels.values()))): (value, described[name][1])
                for name, value, labels in endpoint.metrics(sock)}


def niceness(lab, thread):
    """The nice value of the proxy's thread of that name; None: there is none."""
    for pid in lab.must("proxy", "ip", "netns", "pids", f"{lab.name}-proxy").split():
        for stat in glob.glob(f"/proc/{pid}/task/*/stat"):
            with contextlib.suppress(FileNotFoundError), open(stat, encoding="utf-8") as line:
                name, fields = line.read().split("(", 1)[1].rsplit(")", 1)
                if name == thread:
                    return int(fields.split()[16])
    return None


def summed(series, name):
    """Over the workers, for each of the other labels."""
    total = collections.Counter()
    for labels, value in series[name].items():
        total[",".join(label for label in labels.split(",") if not label.startswith("worker="))] += value
    return total


def query(lab, expression):
    """What a Prometheus says at port 9190; {} while it is starting."""
    got = lab.run("proxy", "curl", "-sSf", "--max-time", "5", "-G", "http://127.0.0.1:9190/api/v1/query",
                  "--data-urlencode", f"query={expression}")
    return {sample["metric"].get("side", ""): float(sample["value"][1])
            for sample in json.loads(got.out)["data"]["result"]} if got.code == 0 else {}


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

        # As a Prometheus asks.
        wants = ["-H", "Accept: application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.2"]
        better = stand.lab.must("proxy", "curl", "-gsSf", "-w", "%{content_type}", *wants, url)
        check(better.endswith("# EOF\napplication/openmetrics-text; version=1.0.0; charset=utf-8"), better[-200:])
        equal(sorted(line.split()[2] + "_total" for line in better.splitlines() if line.endswith(" counter")),
              sorted(line.split()[2] for line in page.splitlines() if line.endswith(" counter")), "counters of both formats")

        before, series, after = stand.proxy.stat()["total"], scrape(stand.lab, url), stand.proxy.stat()["total"]
        for name in before["counters"]:
            got = summed(series, f"synproxy_{name}_total")[""]
            check(before["counters"][name] <= got <= after["counters"][name], f"{name}: {got}")
        for side in ("client", "server"):
            got = summed(series, "synproxy_rx_packets_total")[f'side="{side}"']
            name = f"rx_packets_{side}"
            check(0 < before["io"][name] <= got <= after["io"][name], f"{name}: {got}")
        for name in ("client_handshake", "client_first_byte"):
            equal(sum(series[f"synproxy_{name}_seconds_count"].values()), 2, f"{name}, both pages")
            check('service="all",share="0.5"' in series[f"synproxy_{name}_within_seconds"], f"{name}, lately")
        equal([(one["service"], one["handshake_ms"]["count"]) for one in stand.proxy.stat()["felt"]][0], ("all", 2), "felt of stat")
        equal(series["synproxy_build_info"].popitem()[1], 1, "build info")
        check(2 <= summed(series, "synproxy_cookie_valid_total")[""], "the pages count")
        equal((niceness(stand.lab, "synproxy-w0"), niceness(stand.lab, "synproxy-http")), (os.nice(0), 10), "worker, reader")

        got, after = exported(stand.lab), stand.proxy.stat()["total"]
        check(2 <= got["cookie_valid", "0"][0] <= after["counters"]["cookie_valid"], "connections of the exporter")
        check(0 < got["rx_packets", "0", "client"][0] <= after["io"]["rx_packets_client"], "packets of the exporter")
        equal((got["port_link_up", "server"], got["gauge_flows", "0"][1], got["cookie_valid", "0"][1], got["clock_ms", "0"][1]),
              ((1, "gauge"), "gauge", "counter", "gauge"), "what DPDK's exporter would say")

        # Another proxy with the same address says so before it touches the ports.
        for where, wrong in (("[::1]:9100", "another program listens there"),
                             ("203.0.113.99:9100", "is no address of this machine"), ("nowhere", "has no port")):
            other = stand.lab.run("proxy", PROGRAM, "--name", "other", *stand.proxy.flags[:-2], "--metrics", where)
            equal((other.code, len(other.err.splitlines())), (2, 1), f"--metrics {where}: {other.err}")
            check(f"--metrics {where}: " in other.err and wrong in other.err, other.err)
        must_get_page(stand.lab, 4)


def in_browser(lab, there, *more):
    """What chromium says about the page at port 9100, and its console. The answers come in real time."""
    got = lab.run("proxy", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                  "--enable-logging=stderr", f"--user-data-dir={there}", "--virtual-time-budget=3000", *more,
                  "http://127.0.0.1:9100/")
    check(got.code == 0, f"chromium: {got.err[-300:]}")
    # Pages of its own tell there of a slow machine.
    console = [line for line in got.err.splitlines() if "CONSOLE" in line and "source: chrome://" not in line]
    equal(console, [], "the browser's complaints")
    return got.out
