# SPDX-License-Identifier: BSD-3-Clause
"""The process dies, and the next one goes on with its connections (--state-dir)."""
import contextlib
import signal
import tempfile
import time

from clients import must_get_page
from harness import PROGRAM, Lab, Proxy, case, check, equal, own_stand, rounds, wait_for
from restart_loads import EveryLoad

LIVES = ["--epoch", "64"]


@contextlib.contextmanager
def state_directory():
    with tempfile.TemporaryDirectory(prefix="synproxy-e2e-", dir="/dev/shm") as directory:
        yield directory


def die(proxy):
    """kill -9, and the next start. Returns how long nobody forwarded."""
    proxy.process.process.send_signal(signal.SIGKILL)
    proxy.process.process.wait(60)
    began = time.monotonic()
    proxy.start()
    return time.monotonic() - began


@case(600)
@own_stand
def connections_outlive_the_process(_):
    """Transfers, silent and busy connections, requests and greetings across kill -9 at random moments."""
    kills = rounds(2, 20)
    with state_directory() as state, Lab() as lab, \
            Proxy(lab, "--state-dir", state, "--max-flows", "65536", lives=LIVES) as proxy:
        loads = EveryLoad(lab)
        longest = max(loads.meet(proxy, kill + 1, lambda: die(proxy)) for kill in range(kills))
        check(proxy.counters()["flow_resumed"] >= loads.idle, "flow_resumed")
        return f"{kills} deaths, nobody forwarded for {longest * 1e3:.0f} ms at most; {loads.end(proxy)}"


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
            wait_for("its connections go on", lambda: proxy.said("connections? goe?s? on"), 20)
        with Proxy(lab, *flags, "8192", lives=LIVES) as proxy:
            equal([line for line in proxy.log().splitlines() if "--state-dir" in line],
                  [f"synproxy: --state-dir {state}: what it holds has another shape: --max-flows of each worker was "
                   "4096 and is 8192; started empty"], "lines about the state")
            equal(proxy.gauges()["flows"], 0, "flows")
            must_get_page(lab, 4)
        with Proxy(lab, *flags, "8192", "--fresh", lives=LIVES) as proxy:
            check(not proxy.said("--state-dir|go on"), f"--fresh says nothing: {proxy.log()}")
            must_get_page(lab, 4)
