# SPDX-License-Identifier: BSD-3-Clause
"""What --metrics answers."""
import collections
import contextlib
import glob
import json
import os
import re
import tempfile

from clients import must_get_page
from floods import flood
from harness import PROGRAM, Stand, case, check, equal, own_stand, wait_for

# Of the page during the flood; docs/live-page.png is one.
SCREENSHOT = os.path.join(tempfile.gettempdir(), "synproxy-live-page.png")
ALERTS = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../docs/alerts.yml"))

SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")


def scrape(lab, url):
    """All series of a page of metrics, as {name: {labels: value}}."""
    series = collections.defaultdict(dict)
    for line in lab.must("proxy", "curl", "-gsSf", "--max-time", "10", url).splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            series[name][labels or ""] = float(value)
    return series


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
def the_packaged_prometheus_reads_the_metrics_and_our_alerts(_):
    with Stand("--metrics", "9100") as stand, tempfile.TemporaryDirectory() as there:
        must_get_page(stand.lab, 4)
        config = os.path.join(there, "prometheus.yml")
        with open(config, "w", encoding="ascii") as out:
            json.dump({"global": {"scrape_interval": "1s"}, "rule_files": [ALERTS], "scrape_configs": [
                {"job_name": "synproxy", "static_configs": [{"targets": ["127.0.0.1:9100"]}]}]}, out)  # JSON is YAML
        with stand.lab.start("proxy", "prometheus", f"--config.file={config}", f"--storage.tsdb.path={there}/data",
                             "--web.listen-address=127.0.0.1:9190"):
            wait_for("Prometheus has read the proxy", lambda: query(stand.lab, "up"), 30)
            equal(query(stand.lab, 'up{job="synproxy"}'), {"": 1}, "up")
            check(query(stand.lab, "sum(synproxy_cookie_valid_total)")[""] >= 1, "the page counts")
            sides = query(stand.lab, "sum by (side) (synproxy_rx_packets_total)")
            check(set(sides) == {"client", "server"} and all(sides.values()), f"packets by side: {sides}")


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
        equal((niceness(stand.lab, "synproxy-w0"), niceness(stand.lab, "synproxy-http")), (os.nice(0), 10), "worker, reader")

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
    console = [line for line in got.err.splitlines() if "CONSOLE" in line]
    equal(console, [], "the browser's complaints")
    return got.out


@own_stand
@case()
def the_live_page_shows_a_flood_in_a_browser(_):
    with Stand("--metrics", "9100") as stand, tempfile.TemporaryDirectory() as there:
        must_get_page(stand.lab, 4)
        with flood(stand.lab, "syn", 4, rate=20_000):
            wait_for("a flood in words", lambda: "SYN flood" in stand.lab.must(
                "proxy", "curl", "-sSf", "http://127.0.0.1:9100/data.json"), 20)
            page = in_browser(stand.lab, there, "--dump-dom")
            in_browser(stand.lab, there, "--window-size=1280,860", f"--screenshot={SCREENSHOT}")
        header = re.search(r'<header class="(\w+)"><h1>(.*?)</h1><p>(.*?)</p>', page).groups()
        check(header[0] == "alarm" and header[1].startswith("SYN flood, "), f"headline: {header}")
        check("clients at veth-a, servers at veth-b" in header[2], header[2])
        handshakes = re.search(r"<section><h2>Handshakes, per second</h2>(.*?)</section>", page, re.S).group(1)
        for line in ("SYN", "SYN-ACK"):
            last = re.search(rf">{line} <b>(.*?)</b>", handshakes).group(1)
            check(last.endswith(" k"), f"{line}: {last}")
        check(re.search(r'<path class="c0" d="M[\d.]+ [\d.]+L', handshakes), "a curve of the SYNs")
        check(os.path.getsize(SCREENSHOT) > 10_000, "the screenshot")
