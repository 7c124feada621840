# SPDX-License-Identifier: BSD-3-Clause
"""Lists of sources: who is denied, and what a reload of a long list does to the others."""
import os
import random
import tempfile
import threading
import time

from cases_reload import Files
from clients import must_get_page, page
from harness import CLIENT4, CLIENTS, SERVERS, THOROUGH, Lab, Proxy, case, check, equal, own_stand

THOROUGHLY = bool(os.environ.get(THOROUGH))
LONG = 500_000 if THOROUGHLY else 40_000  # prefixes; the next list has twice as many


def write(path, *lines):
    with open(path + ".new", "w", encoding="ascii") as out:
        out.write("\n".join(lines) + "\n")
    os.replace(path + ".new", path)


def scattered(count):
    """Prefixes of all lengths from /20 to /32, none of them the lab's."""
    draw = random.Random(5)
    for _ in range(count):
        length = draw.randint(20, 32)
        address = (draw.randint(11, 223) << 24 | draw.getrandbits(24)) >> (32 - length) << (32 - length)
        yield f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}/{length}"


def is_refused(lab, family, what):
    equal(page(lab, family, limit=2)["code"], "000", what)


class Pages:
    """Gets one page after another beside a reload."""

    def __init__(self, lab):
        self.lab, self.count, self.worst, self.why = lab, 0, 0, None
        self.ends = False
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ends and self.why is None:
            try:
                self.worst = max(self.worst, must_get_page(self.lab, 6)["total_ms"])
                self.count += 1
                time.sleep(0.03)
            except Exception as why:  # pylint: disable=broad-except # the case reports it
                self.why = why

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends = True
        self.thread.join()


@case(180 if THOROUGHLY else 60)
@own_stand
def a_deny_list_that_a_reload_brings_bites_at_once_and_nobody_else_waits(_):
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        deny = os.path.join(directory, "deny")
        files = Files(directory)
        write(deny, "# nobody yet")
        flood = ["hping3", "-i", "u500", "-q", "-S", "--rand-source", "-p", "80", SERVERS[4]]
        with Proxy(lab, "--deny-file", deny) as proxy, lab.start("client", *flood):
            must_get_page(lab, 4)
            write(deny, f"{CLIENT4}  # the client")
            equal(files.reload(proxy), "synproxy: reloaded the lists alone: deny-file of 1 prefixes, before 0", "line")
            is_refused(lab, 4, "a page for who is denied")
            must_get_page(lab, 6)
            check(proxy.counters()["denied"] > 0, "nothing was counted")

            write(deny, *scattered(LONG), CLIENT4)
            files.reload(proxy)
            with Pages(lab) as pages:
                write(deny, *scattered(2 * LONG), CLIENT4, "2001:db8::/32")
                begin = time.monotonic()
                line = files.reload(proxy)
                took = time.monotonic() - begin
                equal(line, f"synproxy: reloaded the lists alone: deny-file of {2 * LONG + 2} prefixes, before {LONG + 1}",
                      "line")
                while pages.count < 3 and pages.why is None:
                    time.sleep(0.05)
            check(pages.why is None, f"{pages.why}")
            check(not THOROUGHLY or pages.worst < 1000, f"the worst page took {pages.worst:.0f} ms")
            is_refused(lab, 4, "a page for who is denied by a long list")

            write(deny, CLIENT4, "10.0.0.1/8")
            line = files.reload(proxy)
            check(f"not reloaded: --deny-file {deny}:2: 10.0.0.1/8: has bits set" in line, line)
            is_refused(lab, 4, "a page while the list before is in force")

            write(deny, "192.0.2.1")
            files.reload(proxy)
            must_get_page(lab, 4)
            equal(proxy.stop(), 0, "exit code")
            return f"{2 * LONG} prefixes in {took:.2f} s under a flood; {pages.count} pages meanwhile, worst {pages.worst:.0f} ms"


@case()
@own_stand
def bogons_are_dropped_but_for_those_that_are_allowed(_):
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        files = Files(directory)
        allow = os.path.join(directory, "allow")
        write(allow, CLIENTS[6])
        files.write({"bogons": "on", "allow-file": allow})
        with Proxy(lab, "--config", files.path) as proxy:
            is_refused(lab, 4, "a page for a private address")
            must_get_page(lab, 6)
            check(proxy.counters()["bogon_source"] > 0, "nothing was counted")
            files.write({"bogons": "on", "allow-file": allow, "monitor": "bogons"})
            files.reload(proxy)
            must_get_page(lab, 4)
            counters = proxy.counters()
            check(counters["bogons_monitored"] > 0, "nothing was counted while it is monitored")
            files.write({"bogons": "on", "min-ttl": "65"})
            line = files.reload(proxy)
            check("min-ttl 0 -> 65" in line and "allow-file" in line, line)
            is_refused(lab, 6, "a page for a private address that is allowed no more")
            files.write({"min-ttl": "65"})
            files.reload(proxy)
            is_refused(lab, 4, "a page for a host whose TTL is 64")
            check(proxy.counters()["ttl_low"] > 0, "nothing was counted")
            files.write({"min-ttl": "64", "strict-window": "on"})
            files.reload(proxy)
            must_get_page(lab, 4)
            must_get_page(lab, 6)
            equal(proxy.counters()["out_of_window"], 0, "segments of a client out of its window")
