# SPDX-License-Identifier: BSD-3-Clause
"""Every rule at once: four floods of forged packets, a botnet of real addresses, a reload, and a visitor."""
import contextlib
import os
import tempfile
import time

from cases_backlog import CROWD
from cases_reload import Files
from clients import must_get_page
from harness import SERVER4, THOROUGH, Lab, Proxy, case, check, equal, own_stand, wait_for

BOTS = 500
HELD = 10_000  # nginx has room for 8,192
FLOODS = {"SYNs": ["-S"], "ACKs": ["-A"], "RSTs": ["-R"], "fragments": ["-A", "-f", "-d", "64"]}
RULES = {"limit-conns": "10", "limit-rate": "20/second,burst=20", "reply-rate": "1000", "strict-window": "on",
         "unknown": "drop", "fragments": "reassemble", "deny-file": "denied"}
# Half of the bots are known, the others only behave badly.
DENIED = "10.77.0.0/24\n"


@contextlib.contextmanager
def all_of_it(lab, gap):
    """The floods, each with a packet every `gap` microseconds (none: as fast as it can), and the bots."""
    pace = ["-i", f"u{gap}"] if gap else ["--flood"]
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(lab.start("client", "hping3", *pace, "-q", *flags, "--rand-source", "-p", "80",
                                                       SERVER4)) for name, flags in FLOODS.items()}
        running["bots"] = stack.enter_context(lab.start("client", "/usr/bin/python3", CROWD, "hold", SERVER4, "80",
                                                        str(BOTS), "240", str(HELD)))
        yield
        for name, process in running.items():
            check(process.running(), f"the load of {name} ended early")


@case(120)
@own_stand
def a_visitor_gets_every_page_under_all_floods_at_once(_):
    long = bool(os.environ.get(THOROUGH))
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        equal(lab.command("crowd").code, 0, "lab.sh crowd")
        with open(os.path.join(directory, "denied"), "w", encoding="ascii") as denied:
            denied.write(DENIED)
        files = Files(directory)
        files.write({**RULES, "deny-file": denied.name})
        with Proxy(lab, "--config", files.path, lives=[]) as proxy:
            must_get_page(lab, 4)
            before = proxy.counters()
            with proxy.counting() as grown, all_of_it(lab, None if long else 400):
                worst, pages = 0, 0
                for turn in range(60 if long else 12):
                    if turn % 6 == 3:
                        # The same rules, one with another value: whoever was refused is not forgiven by a reload.
                        files.write({**RULES, "deny-file": denied.name, "limit-conns": str(9 + turn % 2)})
                        check("error" not in files.reload(proxy), "the reload")
                    worst = max(worst, must_get_page(lab, 4)["total_ms"])
                    pages += 1
                    time.sleep(0.08)
                # Each kind has its counter.
                for name in ("denied", "limit_conns", "cookie_invalid", "fragment_tiny", "synack_sent"):
                    wait_for(f"{name} counts", lambda name=name: proxy.counters()[name] > before[name] + 100, 30)
                held = int(lab.must("server", "sh", "-c", "ss -Htn state established 'sport = :80' | wc -l"))
            equal(proxy.running(), True, "the proxy runs")
            check(held <= BOTS // 2 * 10 + 2, f"{held} connections at the server")
            check(not long or worst < 1000, f"the worst page took {worst:.0f} ms")
            return (f"{pages} pages, worst {worst:.0f} ms; {held} connections at the server; " +
                    ", ".join(f"{name} {grown[name]}" for name in ("denied", "limit_conns", "limit_rate", "cookie_invalid",
                                                                   "fragment_tiny", "syn_shed", "synack_sent")))
