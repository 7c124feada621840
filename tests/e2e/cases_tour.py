# SPDX-License-Identifier: BSD-3-Clause
"""An operator's session in the middle of an attack (scripts/tour.sh): every step is a check. The commands with their
answers, the screenshots (docs/live-page.png is one) and the capture are left in build/tour/."""
import json
import os
import re
import shutil
import sys
import tempfile

from cases_metrics import ALERTS, in_browser, query
from clients import must_get_page, page
from floods import flood
from harness import CLIENTS, PROGRAM, ROOT, SERVERS, Stand, case, check, equal, own_stand, wait_for

# The flood comes by IPv4, and so does the genuine client. The greedy one has IPv6: all its connections are of one address.
GREEDY = CLIENTS[6]
MOST = 20
LOOK = 0.2  # seconds from one look to the next: each is a program that starts
# Opens connections for ever, up to a number at a time; each asks for something and never ends.
GREED = """
import socket, sys, time
open_ = []
while True:
    if len(open_) == 60:
        for one in open_:
            one.close()
        open_.clear()
    one = socket.socket(socket.AF_INET6)
    one.settimeout(2)
    try:
        one.connect((sys.argv[1], 80))
        one.sendall(b"G")
        open_.append(one)
    except OSError:
        one.close()
    time.sleep(0.04)
"""


class Session:
    """Runs what an operator types, and keeps what he sees."""

    def __init__(self, stand):
        self.stand = stand
        self.place = os.path.join(ROOT, "build", "tour")
        shutil.rmtree(self.place, ignore_errors=True)
        os.makedirs(self.place)
        with open(os.path.join(self.place, "tour.txt"), "w", encoding="utf-8"):
            pass

    def file(self, name):
        return os.path.join(self.place, name)

    def write(self, text):
        with open(self.file("tour.txt"), "a", encoding="utf-8") as log:
            log.write(text)

    def says(self, text):
        self.write(f"\n# {text}\n\n")

    def run(self, *words):
        """The answer of `synproxy WORDS`."""
        return self.stand.lab.must("proxy", PROGRAM, *words, "--name", self.stand.lab.name)

    def types(self, *words, until=None):
        """The same, kept; again and again until the answer has the pattern."""
        answers = []
        wait_for(f"{words} shows {until!r}",
                 lambda: answers.append(self.run(*words)) or re.search(until or "", answers[-1], re.M), 60, LOOK)
        self.write(f"$ synproxy {' '.join(words)}\n{answers[-1]}\n")
        return answers[-1]

    def asks(self, expression, most):
        """The value that Prometheus has, once it is more than `most`."""
        values = []
        wait_for(f"Prometheus: {expression} > {most}",
                 lambda: values.append(query(self.stand.lab, expression).get("", 0)) or values[-1] > most, 60, LOOK)
        self.write(f"Prometheus> {expression}\n{values[-1]:.0f}\n\n")

    def looks(self, directory, name):
        """A screenshot of the live page; returns its document and the data that it shows."""
        picture = self.file(name)
        shown = in_browser(self.stand.lab, directory, "--window-size=1280,1000", f"--screenshot={picture}", "--dump-dom")
        check(os.path.getsize(picture) > 10_000, "the screenshot")
        data = json.loads(self.stand.lab.must("proxy", "curl", "-sSf", "http://127.0.0.1:9100/data.json"))
        self.write(f"[the page at :9100 says: {data['headline']}; {name}]\n\n")
        return shown, data


def a_flood_is_seen_everywhere(session, directory):
    session.says("A flood begins. The terminal, Prometheus and the page say so.")
    session.types("top", "--once", until="^.*SYN flood, ")
    session.asks("sum(rate(synproxy_syn_received_total[4s]))", 500)
    shown, _ = session.looks(directory, "flood.png")
    header = re.search(r'<header class="(\w+)"><h1>(.*?)</h1><p>(.*?)</p>', shown).groups()
    check(header[0] == "alarm" and header[1].startswith("SYN flood, "), f"headline: {header}")
    check("clients at veth-a, servers at veth-b" in header[2], header[2])
    handshakes = re.search(r"<section><h2>Handshakes, per second</h2>(.*?)</section>", shown, re.S).group(1)
    for line in ("SYN", "SYN-ACK"):
        last = re.search(rf">{line} <b>(.*?)</b>", handshakes).group(1)
        check(re.fullmatch(r"\d{3}|[\d.]+ k", last), f"{line}: {last}")
    check(re.search(r'<path class="c0" d="M[\d.]+ [\d.]+L', handshakes), "a curve of the SYNs")


def the_limit_bites_everywhere(session, directory):
    session.says("Connections are made meanwhile. Who has most of them?")
    top = session.types("flows", "--top-sources=3", until=rf"^(2[1-9]|[3-9]\d) .* {GREEDY}$").splitlines()
    check(top[1].endswith(f" {GREEDY}"), f"the greedy source is not the first: {top}")
    session.says(f"One address holds them all. No source shall have more than {MOST}.")
    check("until the restart" in session.types("set", "limit-conns", str(MOST)), "set does not say how long it lasts")
    session.says("What is dropped, and why? Three packets of it, read by tshark.")
    session.types("capture", "--drop-reason", "limit_conns", "--limit", "3", "--write", session.file("limit.pcapng"))
    read = ["tshark", "-n", "-r", session.file("limit.pcapng"), "-T", "fields", "-e", "ipv6.src", "-e", "frame.comment"]
    rows = session.stand.lab.must("proxy", *read)
    session.write(f"$ {' '.join(read)}\n{rows}\n")
    equal(set(rows.splitlines()), {f"{GREEDY}\tverdict=drop reason=limit_conns worker=0"}, "what tshark reads")
    session.says("The limit bites: in the terminal, in Prometheus and on the page.")
    session.types("top", "--once", until=r"fd00::.* refused ")
    session.asks("sum(synproxy_limit_conns_total)", 0)
    limited = session.looks(directory, "limit.png")[1]["limited"]
    check(limited and limited[0]["source"].startswith("fd00::") and limited[0]["refused"] > 0, limited)


@own_stand
@case(90)
def a_tour_through_an_attack_as_its_operator_sees_it(_):
    with Stand("--metrics", "9100") as stand, tempfile.TemporaryDirectory() as there:
        lab, session = stand.lab, Session(stand)
        config = os.path.join(there, "prometheus.yml")
        with open(config, "w", encoding="ascii") as out:
            json.dump({"global": {"scrape_interval": "1s"}, "rule_files": [ALERTS], "scrape_configs": [
                {"job_name": "synproxy", "static_configs": [{"targets": ["127.0.0.1:9100"]}]}]}, out)  # JSON is YAML
        must_get_page(lab, 4)
        with lab.start("proxy", "prometheus", f"--config.file={config}", f"--storage.tsdb.path={there}/data",
                       "--web.listen-address=127.0.0.1:9190"):
            session.says("A calm minute.")
            session.types("top", "--once", until="^(calm, |nothing comes in$)")
            # It takes its first look seconds after its start; no flood has to run so long.
            wait_for("Prometheus looks", lambda: query(lab, 'up{job="synproxy"}') == {"": 1}, 60, LOOK)
            greed = [sys.executable, "-c", GREED, SERVERS[6]]
            with flood(lab, "syn", 4, rate=15_000), lab.start("client", *greed):
                a_flood_is_seen_everywhere(session, there)
                the_limit_bites_everywhere(session, there)
                equal(page(lab, 4)["code"], "200", "a genuine client's page")
            wait_for("Prometheus still looks", lambda: query(lab, 'up{job="synproxy"}') == {"": 1}, 60, LOOK)
            wait_for("packets of both sides", lambda: sorted(
                side for side, packets in query(lab, "sum by (side) (synproxy_rx_packets_total)").items() if packets) ==
                ["client", "server"], 60, LOOK)
        session.says("It is over. What was it?")
        report = session.types("report", "--since", "5m", until=r"^[1-9]\d* attacks?, ")
        check("SYN flood, " in report and "| limit_conns |" in report, report)
        check(re.search(rf"^\| [\d:]+ \| set: limit-conns .* {MOST}\b.* \(uid 0, pid \d+\)", report, re.M), report)
        with open(session.file("report.html"), "w", encoding="utf-8") as html:
            html.write(session.run("report", "--since", "5m", "--html"))
