# SPDX-License-Identifier: BSD-3-Clause
"""SIGHUP makes the proxy read its files again while connections come and go."""
import os
import signal
import tempfile
import threading
import time

from clients import RESET, must_get_page, must_run_wrk, page
from harness import PROGRAM, SERVERS, Lab, Proxy, case, check, equal, own_stand, wait_for
from wire import FULL_OPTIONS, ScriptedClient, option

RELOADS = 1000
PAUSE = 20  # milliseconds before each request of wrk: several connections begin and end between two reloads
FORGED = 5_000  # at least, even on a slow machine
# The two differ in the settings that a reload may change and that this traffic depends on.
SETTINGS = (
    {"wscale": "5", "mss": "1300", "early-window": "14600", "synack-repeats": "3", "hide-rtt": "off", "syn-shed": "auto",
     "idle-sleep": "50", "idle-timeout": "20", "close-timeout": "2", "server-timeout": "3", "fragments": "drop"},
    {"wscale": "9", "mss": "1460", "early-window": "2920", "synack-repeats": "0", "hide-rtt": "on", "syn-shed": "off",
     "idle-sleep": "0", "idle-timeout": "30", "close-timeout": "3", "server-timeout": "5", "fragments": "forward"},
)


class Files:
    """A configuration file, written as a whole or not at all, and the lines that a reload prints."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "synproxy.conf")

    def write(self, settings, *more):
        new = self.path + ".new"
        with open(new, "w", encoding="ascii") as out:
            out.write("".join(f"{key} = {value}\n" for key, value in settings.items()))
            out.write("".join(f"{line}\n" for line in more))
        os.replace(new, self.path)

    def reload(self, proxy, limit=60):
        """Sends SIGHUP and returns the line that the proxy prints. Polls often: a case does it 1,000 times."""
        with open(proxy.log_path, encoding="utf-8", errors="replace") as log:
            log.seek(0, os.SEEK_END)
            proxy.process.process.send_signal(signal.SIGHUP)
            said, end = "", time.monotonic() + limit
            while time.monotonic() < end:
                said += log.read()
                for line in said.splitlines(keepends=True):
                    if "reloaded" in line and line.endswith("\n"):
                        return line.strip()
                time.sleep(0.001)
        check(False, f"no line about the reload in {limit} s; the proxy runs: {proxy.running()}")
        return None


def offered_scale(lab, seq):
    with ScriptedClient(lab, 4) as client:
        return option(client.syn(seq, FULL_OPTIONS, again=5), "WScale")


@case(120)
@own_stand
def thousand_reloads_under_load_lose_nothing(_):
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        files = Files(directory)
        files.write(SETTINGS[0])
        with Proxy(lab, "--config", files.path, "--epoch", "8", offer=[], lives=[]) as proxy:
            must_get_page(lab, 4)
            requests, went_wrong, over = [], [], threading.Event()

            def load():
                try:
                    while not over.is_set():
                        requests.append(must_run_wrk(lab, 4, 1, pause=PAUSE)["requests"])
                except Exception as why:  # pylint: disable=broad-except # the case reports it
                    went_wrong.append(why)

            flood = ["hping3", "-i", "u100", "-q", "-S", "--rand-source", "-p", "80", SERVERS[4]]
            with lab.start("client", *flood) as sender, proxy.counting() as grown:
                runner = threading.Thread(target=load)
                runner.start()
                begin = time.monotonic()
                for n in range(1, RELOADS + 1):
                    files.write(SETTINGS[n % 2])
                    line = files.reload(proxy)
                    check("reloaded: fragments" in line, f"reload {n}: {line}")
                    if n % 100 == 50:
                        equal(offered_scale(lab, n), int(SETTINGS[n % 2]["wscale"]), f"window scale after reload {n}")
                took = time.monotonic() - begin
                over.set()
                runner.join()
                check(sender.running(), "the flood ended early")
            check(not went_wrong, f"{went_wrong}")
            for name in ("cookie_invalid", "conn_timed_out", "rst_to_client", "conn_idle"):
                equal(grown[name], 0, name)
            forged = grown["syn_received"] - grown["conn_established"]
            check(forged > FORGED, f"{forged} SYNs are no flood")
            proxy.returns_to_start()
            return f"{RELOADS} reloads in {took:.1f} s; {sum(requests)} requests, none failed; {forged} forged SYNs"


@case()
@own_stand
def reload_is_whole_or_nothing(_):
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        files = Files(directory)
        files.write({"wscale": "5"})
        with Proxy(lab, "--config", files.path, offer=[]) as proxy:
            for more, words in (("mss = 1", ("synproxy.conf:2: mss 1: is too small",)),
                                ("max-flows = 2048", ("--max-flows 2048", "restart")),
                                ("what = ever", ("synproxy.conf:2: unknown key",))):
                files.write({"wscale": "9"}, more)
                line = files.reload(proxy)
                check("not reloaded: " in line and all(word in line for word in words), line)
                equal(offered_scale(lab, 1), 5, f"window scale after: {line}")
            files.write({"wscale": "9"})
            equal(files.reload(proxy), "synproxy: reloaded: wscale 5 -> 9", "line")
            equal(offered_scale(lab, 2), 9, "window scale")
            equal(files.reload(proxy), "synproxy: reloaded: nothing changed", "line")
            equal(proxy.stop(), 0, "exit code")


@case()
@own_stand
def a_limit_that_a_reload_brings_is_watched_and_then_refuses_the_source(_):
    limit = {"limit-action": "reset", "limit-rate": "1/hour,burst=2"}
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        files = Files(directory)
        files.write({})
        with Proxy(lab, "--config", files.path) as proxy:
            must_get_page(lab, 4)
            files.write({**limit, "monitor": "limit-rate"})
            line = files.reload(proxy)
            check("limit-rate none -> 1/hour,burst=2" in line, line)
            for _ in range(3):
                must_get_page(lab, 4)
            counters = proxy.counters()
            equal((counters["limit_rate_monitored"], counters["limit_rate"]), (1, 0),
                  "connections that would have been refused, and that were")
            files.write(limit)
            files.reload(proxy)
            with proxy.counting() as grown:
                got = page(lab, 4)
            check(got["code"] == "000" and got["exit"] in RESET, f"over the limit: {got}")
            # Its request may follow its handshake ACK before the RST is back, and is refused too.
            check(grown["limit_rate"] >= 1 and grown["conn_established"] == 0, f"the connection was not refused: {grown}")
            must_get_page(lab, 6)
            wait_for("the source is listed", lambda: any(one["refused"] and not one["monitored"]
                                                         for one in proxy.stat()["limited"]), 20)
            files.write({})
            files.reload(proxy)
            must_get_page(lab, 4)


@case()
@own_stand
def who_is_claimed_by_a_flood_gets_few_syn_acks_and_still_its_page(_):
    # The flood claims the address of a client that also asks for pages.
    rate = 100
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        files = Files(directory)
        files.write({"reply-rate": rate, "monitor": "reply-rate"})
        with Proxy(lab, "--config", files.path) as proxy:
            must_get_page(lab, 4)
            flood = ["hping3", "-i", "u200", "-q", "-S", "-p", "80", SERVERS[4]]
            with lab.start("client", *flood) as sender:
                wait_for("more comes than the rate", lambda: proxy.counters()["reply_capped_monitored"] > 0, 20)
                files.write({"reply-rate": rate})
                files.reload(proxy)
                begin = time.monotonic()
                with proxy.counting() as grown:
                    must_get_page(lab, 6)
                    must_get_page(lab, 4, limit=8)
                    time.sleep(1)
                took = time.monotonic() - begin
                check(sender.running(), "the flood ended early")
            sent = grown["synack_sent"] + grown.get("synack_repeated", 0)
            check(sent <= rate * (took + 1) + rate, f"{sent} SYN-ACKs in {took:.1f} s")
            check(grown["reply_capped"] > sent, f"only {grown['reply_capped']} of the flood were capped")


@case()
@own_stand
def nohup_leaves_sighup_to_reloads(_):
    with Lab() as lab, Proxy(lab) as proxy:
        flags = [*proxy.flags]
        proxy.stop()
        with open(proxy.log_path, "wb") as log:
            again = lab.start("proxy", "nohup", PROGRAM, "--name", lab.name, *flags, log=log)
        with again:
            proxy.process = again
            wait_for("the proxy says ready", lambda: proxy.said("ready"), 60)
            check("neither --config nor --secret-file" in Files("/nowhere").reload(proxy), proxy.log())
            must_get_page(lab, 4)
