# SPDX-License-Identifier: BSD-3-Clause
"""The process dies, and the next one goes on with its connections (--state-dir)."""
import contextlib
import os
import re
import signal
import socket
import tempfile
import threading
import time

from clients import must_get_page, sha_of, url
from harness import PROGRAM, SERVER4, Lab, Proxy, case, check, equal, own_stand, wait_for

KILLS = 3
IDLE = 20
SIZE = 16 << 20
RATE = "3M"  # so that the download spans the deaths
LIVES = ["--epoch", "64"]


@contextlib.contextmanager
def state_directory():
    with tempfile.TemporaryDirectory(prefix="synproxy-e2e-", dir="/dev/shm") as directory:
        yield directory


def die(proxy):
    """kill -9, and the next start. Returns how long nobody forwarded."""
    proxy.process.process.send_signal(signal.SIGKILL)
    proxy.process.process.wait(10)
    began = time.monotonic()
    proxy.start()
    return time.monotonic() - began


class Echo:
    """A server that sends back what it gets, and connections to it that are used between long silences."""

    def __init__(self, lab, count):
        with lab.sockets_in("server"):
            self.listener = socket.create_server((SERVER4, 8000), backlog=count)
        threading.Thread(target=self.serve, daemon=True).start()
        self.clients = []
        with lab.sockets_in("client"):
            for _ in range(count):
                self.clients.append(socket.create_connection((SERVER4, 8000), timeout=10))

    def serve(self):
        def echo(connection):
            with contextlib.suppress(OSError):
                while data := connection.recv(4096):
                    connection.sendall(data)

        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=echo, args=(self.listener.accept()[0],), daemon=True).start()

    def all_answer(self, word):
        for n, client in enumerate(self.clients):
            client.sendall(b"%s %d" % (word, n))
            equal(client.recv(4096), b"%s %d" % (word, n), f"echo of connection {n}")

    def close(self):
        for one in (*self.clients, self.listener):
            one.close()


@case(120)
@own_stand
def connections_outlive_the_process(_):
    """A download and silent connections across several kill -9."""
    with state_directory() as state, Lab() as lab, \
            Proxy(lab, "--state-dir", state, "--max-flows", "4096", lives=LIVES) as proxy:
        path = lab.page_file("file.bin", SIZE)
        copy = os.path.join(lab.nginx, "copy.bin")
        echo = Echo(lab, IDLE)
        echo.all_answer(b"before")
        with lab.start("client", "curl", "-sS", "-f", "-m", "100", "--limit-rate", RATE, "-o", copy,
                       url(4, "/file.bin")) as curl:
            longest = 0
            for kill in range(KILLS):
                time.sleep(0.5)
                check(kill > 0 or curl.running(), "the download ended before the proxy had died once")
                longest = max(longest, die(proxy))
                found = re.search(r"(\d+) connections go on, 0 records were dropped", proxy.log())
                check(found and int(found[1]) >= IDLE, f"death {kill + 1}: {proxy.log().strip()[-300:]}")
                echo.all_answer(b"after %d" % kill)
            wait_for("the download ends", lambda: not curl.running(), 80)
            equal(curl.end(), 0, "exit code of curl")
        equal(sha_of(copy), sha_of(path), "SHA-256 of the download")
        equal(proxy.counters()["flow_resumed"] >= IDLE, True, "flow_resumed")
        equal(proxy.counters()["conn_unknown"], 0, "connections that the proxy did not know")
        must_get_page(lab, 6)
        echo.close()
        return f"longest start {longest * 1e3:.0f} ms"


@case(120)
@own_stand
def state_that_does_not_fit_is_said_and_starts_empty(_):
    with state_directory() as state, Lab() as lab:
        flags = ["--state-dir", state, "--max-flows"]
        with Proxy(lab, *flags, "4096", lives=LIVES) as proxy:
            must_get_page(lab, 4)
            second = lab.run("proxy", PROGRAM, "--name", proxy.lab.name, *proxy.flags)
            equal(second.code, 2, "exit code of a second process")
            equal(second.err, f"synproxy: --state-dir {state}: another proxy of the name {lab.name} uses it; stop that "
                              "one, or give this one another --name or directory\n", "its line")
            proxy.stop()
            proxy.start()
            check(proxy.said("connections? goe?s? on"), f"after a stop: {proxy.log()}")
        with Proxy(lab, *flags, "8192", lives=LIVES) as proxy:
            equal([line for line in proxy.log().splitlines() if "--state-dir" in line],
                  [f"synproxy: --state-dir {state}: what it holds has another shape: --max-flows of each worker was "
                   "4096 and is 8192; started empty"], "lines about the state")
            equal(proxy.gauges()["flows"], 0, "flows")
            must_get_page(lab, 4)
        with Proxy(lab, *flags, "8192", "--fresh", lives=LIVES) as proxy:
            check(not proxy.said("--state-dir|go on"), f"--fresh says nothing: {proxy.log()}")
            must_get_page(lab, 4)
