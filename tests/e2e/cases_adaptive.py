# SPDX-License-Identifier: BSD-3-Clause
"""--mode adaptive: connections that are only watched, a flood that begins cookies, and what goes on through it."""
import contextlib
import http.client
import re

from clients import must_get_page
from harness import PROGRAM, SERVER4, Lab, Proxy, case, check, equal, own_stand, wait_for

PORT = 8003
FAST_OPEN = 1 | 2 | 0x400  # client, server, and without a word of the listener


def passive_fast_opens(lab):
    names, values = (line.split() for line in lab.must("server", "cat", "/proc/net/netstat").splitlines()
                     if line.startswith("TcpExt:"))
    return int(values[names.index("TCPFastOpenPassive")])


def half_open(lab):
    return len(lab.run("server", "ss", "-Htn", "state", "syn-recv").out.splitlines())


class Kept:
    """A connection that stays open from one page to the next."""

    def __init__(self, lab):
        with lab.sockets_in("client"):
            self.http = http.client.HTTPConnection(SERVER4, 80, timeout=20)
            self.http.connect()
            self.port = self.http.sock.getsockname()[1]

    def get(self):
        self.http.request("GET", "/")
        equal(self.http.getresponse().read() != b"", True, "a page on a connection that is kept")
        equal(self.http.sock.getsockname()[1], self.port, "port of the connection")


@case()
@own_stand
def cookies_begin_with_a_flood_and_connections_of_both_kinds_outlive_every_switch(_):
    with Lab() as lab, contextlib.ExitStack() as stack:
        for role in ("client", "server"):
            stack.enter_context(lab.sysctl(role, tcp_fastopen=FAST_OPEN))
        proxy = stack.enter_context(Proxy(lab, "--mode", "adaptive", "--adaptive-backlog", "100"))
        # A listener of its own: nginx listens since before the setting.
        stack.enter_context(lab.start("server", "/usr/bin/python3", "-m", "http.server", str(PORT)))
        wait_for("a second server listens", lambda: f":{PORT}" in lab.run("server", "ss", "-Hlnt").out, 10)
        for _ in range(2):  # the first one brings the cookie of Fast Open
            lab.must("client", "curl", "-sf", "--tcp-fastopen", "-o", "/dev/null", f"http://{SERVER4}:{PORT}/")
        check(passive_fast_opens(lab) > 0, "no connection was opened by Fast Open")
        must_get_page(lab, 6)
        watched = Kept(lab)
        watched.get()
        counters = proxy.counters()
        equal((counters["synack_sent"], counters["translated"]), (0, 0), "SYN-ACKs and translations in peace")
        check(counters["conn_watched"] >= 4, "connections were not counted")

        flood = stack.enter_context(
            lab.start("client", "hping3", "-i", "u500", "-q", "-S", "--rand-source", "-p", "80", SERVER4))
        # One more than the mark, and no other SYN passes.
        wait_for("cookies begin", lambda: proxy.said(r"cookies began for \S+:80: 26 half-open"), 20)
        spliced = Kept(lab)
        for _ in range(3):
            must_get_page(lab, 4)
            watched.get()
            spliced.get()
        open_at_server = half_open(lab)
        with proxy.growing("synack_sent", 200):
            pass
        # Those that were under way between proxy and server when it was noticed, and no others.
        check(half_open(lab) <= open_at_server, f"{half_open(lab)} half-open connections at the server, {open_at_server} before")
        equal(proxy.gauges()["cookies_by_half_open"], 1, "services that have cookies")
        flood.end()
        must_get_page(lab, 4)  # nothing of the flood is before the proxy any more

        for mode in ("off", "always", "adaptive"):
            lab.must("proxy", PROGRAM, "set", "--name", lab.name, "mode", mode)
            must_get_page(lab, 4)
            watched.get()
            spliced.get()
        equal(len(re.findall("cookies began", proxy.log())), 1, "lines that cookies began")
        equal(proxy.stop(), 0, "exit code")
        return f"{open_at_server} half-open at the server under the flood"
