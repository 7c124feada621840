# SPDX-License-Identifier: BSD-3-Clause
"""The process dies, and the next one goes on with its connections (--state-dir)."""
import contextlib
import random
import re
import signal
import tempfile
import time

from clients import must_get_page
from harness import PROGRAM, Lab, Proxy, case, check, equal, own_stand, rounds
from restart_loads import Busy, Closers, Echo, Speaker, Transfers

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


@case(600)
@own_stand
def connections_outlive_the_process(_):
    """Transfers, silent and busy connections, requests and greetings across kill -9 at random moments."""
    kills, idle, busy = rounds(2, 20), rounds(20, 1000), rounds(5, 50)
    size, rate = (8 << 20, "3M") if kills == 2 else (1 << 30, "20M")
    with state_directory() as state, Lab() as lab, \
            Proxy(lab, "--state-dir", state, "--max-flows", "65536", lives=LIVES) as proxy:
        echo, busy, speaker = Echo(lab, idle), Busy(lab, busy), Speaker(lab)
        echo.all_answer(b"before")
        transfers, closers = Transfers(lab, size, rate), Closers(lab, rounds(2, 8))
        longest, dropped = 0, 0
        for kill in range(kills):
            time.sleep(random.uniform(0.2, 0.6))
            transfers.go_on()
            longest = max(longest, die(proxy))
            found = re.search(r"(\d+) connections go on, (\d+) records? w", proxy.log())
            check(found and int(found[1]) >= idle, f"death {kill + 1}: {proxy.log().strip()[-300:]}")
            dropped += int(found[2])
            echo.all_answer(b"after %d" % kill, some=20)
        requests = closers.stop()
        busy.ends.stop()
        speaker.ends.stop()
        transfers.must_be_whole()
        echo.all_answer(b"at the end")
        check(proxy.counters()["flow_resumed"] >= idle, "flow_resumed")
        equal(proxy.counters()["conn_unknown"], 0, "connections that the proxy did not know")
        for one in (echo, busy, speaker):
            one.close()
        return (f"{kills} deaths, {transfers.whole} transfers each way, {requests} requests, {speaker.ends.turns} "
                f"greetings and words, {dropped} records dropped; nobody forwarded for "
                f"{longest * 1e3:.0f} ms, and a busy end waited for {busy.ends.longest * 1e3:.0f} ms, at the longest")


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
