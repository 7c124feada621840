# SPDX-License-Identifier: BSD-3-Clause
"""The running program: its commands, its log, its end, and interfaces that go away."""
import contextlib
import fcntl
import os
import re
import shutil
import signal
import tempfile
import time

from cases_usage import NOBODY
from clients import must_get_page
from harness import PROGRAM, Lab, Proxy, SHORT_LIVES, Stand, case, check, equal, own_stand, run, wait_for

# The kernel's output, for machines whose kernel has no SYNPROXY to compare with.
KERNEL_HEADER = "entries\t\tsyn_received\tcookie_invalid\tcookie_valid\tcookie_retrans\tconn_reopened"
KERNEL_TABLE = "/proc/net/stat/synproxy"


def stat_table(stand):
    return stand.lab.must("proxy", PROGRAM, "stat", "--name", stand.lab.name).splitlines()


@case()
def stat_prints_the_kernels_table(stand):
    must_get_page(stand.lab, 4)
    before, table, after = stand.proxy.counters(), stat_table(stand), stand.proxy.counters()
    header = KERNEL_HEADER
    if os.path.exists(KERNEL_TABLE):
        with open(KERNEL_TABLE, encoding="ascii") as kernel:
            header = kernel.readline().rstrip("\n")
    equal(table[0], header, "header")
    equal(len(table), 2, "lines for one worker")
    check(re.fullmatch(r"[0-9a-f]{8}(\t[0-9a-f]{8}){5}", table[1]), f"row: {table[1]!r}")
    # Mostly the same before and after; but a late segment of a connection may still come.
    for name, field in list(zip(header.split(), table[1].split("\t")))[1:]:
        check(before[name] & 0xFFFFFFFF <= int(field, 16) <= after[name] & 0xFFFFFFFF,
              f"{name}: {field} in the table, in JSON {before[name]} before and {after[name]} after it")


@case()
def stat_json_has_every_counter_summed_and_per_worker(stand):
    stat = stand.proxy.stat()
    with open(os.path.join(os.path.dirname(__file__), "../../include/synproxy/base/reasons.h"),
              encoding="utf-8") as header:
        names = re.findall(r"^  X\((\w+), (?:FATE|DROP|MADE|EVENT),", header.read(), re.MULTILINE)
    check(len(names) > 40, "the counters' list was not found")
    for place in (stat["total"], *stat["workers"]):
        equal(set(place["counters"]), set(names), "names of the counters")
    for name in names:
        equal(stat["total"]["counters"][name], sum(worker["counters"][name] for worker in stat["workers"]),
              f"{name} of all workers together")
    equal((stat["ports"]["client"]["name"], stat["ports"]["server"]["name"]), ("veth-a", "veth-b"), "ports")
    check(0 < stat["mbufs"]["total"], f"mbufs: {stat['mbufs']}")


@case()
def stat_of_nobody_says_not_running(stand):
    for more in ([], ["--json"]):
        result = stand.lab.run("proxy", PROGRAM, "stat", "--name", "nobody-runs-this", *more)
        check(result.code == 1 and len(result.err.splitlines()) == 1, f"exit {result.code}: {result.err}")
        check("not running" in result.err and "nobody-runs-this" in result.err, result.err)


@case()
def stat_without_permission_says_so(stand):
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        program = shutil.copy(PROGRAM, directory)
        os.chmod(program, 0o755)
        result = stand.lab.run("proxy", *NOBODY, program, "stat", "--name", stand.lab.name)
    check(result.code in (1, 2) and len(result.err.splitlines()) == 1, f"exit {result.code}: {result.err}")
    check("permission" in result.err and "not running" not in result.err, result.err)


@case()
def help_and_version_go_to_standard_output(stand):
    for flag, words in (("--help", ("--client-port", "--protect", "iptables")), ("--version", ("synproxy",))):
        result = run([PROGRAM, flag])
        check(result.code == 0 and not result.err, f"{flag}: exit {result.code}: {result.err}")
        check(all(word in result.out for word in words), f"{flag} does not mention {words}")
    check(stand.proxy.running(), "the running proxy ended")


@case()
def second_proxy_of_the_same_name_is_refused(stand):
    result = stand.lab.run("proxy", PROGRAM, "--name", stand.lab.name, *stand.proxy.flags)
    check(result.code in (1, 2) and len(result.err.splitlines()) == 1, f"exit {result.code}: {result.err}")
    must_get_page(stand.lab, 4)


@case()
@own_stand
def signals_stop_it_cleanly_with_a_summary(_):
    with Lab() as lab:
        for number in (signal.SIGTERM, signal.SIGINT):
            with Proxy(lab) as proxy:
                must_get_page(lab, 4)
                before = proxy.log()
                equal(proxy.stop(number), 0, f"exit code after {number.name}")
                summary = proxy.log()[len(before):]
                check(summary.strip(), f"no summary after {number.name}")
                check(re.search(r"\b1\b", summary), f"the summary does not tell of the one connection: {summary}")


@case()
@own_stand
def prints_nothing_per_packet_and_one_line_per_interval(_):
    with Lab() as lab:
        with Proxy(lab) as quiet:
            lines = quiet.log().count("\n")
            for _ in range(5):
                must_get_page(lab, 4)
            equal(quiet.log().count("\n"), lines, "lines printed while pages were fetched")
        with Proxy(lab, "--stats-interval", "1") as talking:
            begin, lines = time.monotonic(), talking.log().count("\n")
            must_get_page(lab, 4)
            wait_for("three lines of statistics", lambda: talking.log().count("\n") >= lines + 3, 60)
            check(time.monotonic() - begin > 0.9, "lines come faster than one a second")
            check("SYN/s" in talking.log() and "flows" in talking.log(), talking.log()[-300:])


@contextlib.contextmanager
def stalled_pipe():
    """The end to write to; once `ready` was read from it, it is full and nobody reads."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)

    def stall():
        said = b""
        while b"ready" not in said:
            said += os.read(reader, 4096)
        with open(f"/proc/self/fd/{writer}", "wb", buffering=0, opener=lambda p, f: os.open(p, f | os.O_NONBLOCK)) as own:
            while own.write(b"-" * 4096) or own.write(b"-"):
                pass

    try:
        yield writer, stall
    finally:
        os.close(reader)
        os.close(writer)


@case()
@own_stand
def reader_of_the_log_that_stalls_ends_no_connection(_):
    with Lab() as lab, stalled_pipe() as (log, stall):
        flags = Proxy(lab, "--stats-interval", "1", lives=["--epoch", "1"]).flags
        with lab.start("proxy", PROGRAM, "--name", lab.name, *flags, log=log) as proxy:
            stall()
            time.sleep(5)  # a line each second, keys for three
            must_get_page(lab, 4)
            equal(proxy.end(), 0, "exit after SIGTERM")


@case()
@own_stand
def config_file_is_read_and_flags_win(_):
    with Lab() as lab, tempfile.NamedTemporaryFile(mode="w", suffix=".conf") as config:
        config.write("# a comment\nprotect = 10.0.0.2:80\nprotect = [fd00::2]:80\nwscale = 3\nserver-timeout = 1\n")
        config.flush()
        # Without --protect on the command line the file's must hold, and --wscale must not.
        proxy = Proxy(lab, "--config", config.name, "--wscale", "9", offer=[], lives=SHORT_LIVES[2:])
        proxy.flags = [word for i, word in enumerate(proxy.flags)
                       if word != "--protect" and (i == 0 or proxy.flags[i - 1] != "--protect")]
        with proxy:
            must_get_page(lab, 4)
            must_get_page(lab, 6)
            from wire import FULL_OPTIONS, ScriptedClient, option  # pylint: disable=import-outside-toplevel
            with ScriptedClient(lab, 4) as client:
                equal(option(client.syn(1, FULL_OPTIONS), "WScale"), 9, "window scale")


@case(90)
@own_stand
def interface_that_goes_down_and_up_again(_):
    with Stand() as stand:
        must_get_page(stand.lab, 4)
        stand.lab.must("proxy", "ip", "link", "set", "veth-b", "down")
        wait_for("a line about veth-b", lambda: stand.proxy.said("veth-b"), 60)
        stand.lab.must("proxy", "ip", "link", "set", "veth-b", "up")
        page_in_the_end(stand)
        check(stand.proxy.running(), "the proxy ended")


@case(90)
@own_stand
def interface_that_is_removed_and_made_again(_):
    with Stand() as stand:
        lab = stand.lab
        must_get_page(lab, 4)
        lab.must("proxy", "ip", "link", "delete", "veth-b")
        wait_for("a line about veth-b", lambda: stand.proxy.said("veth-b"), 60)
        check(stand.proxy.running(), "the proxy ended with its interface")
        lab.must("proxy", "ip", "link", "add", "veth-b", "type", "veth", "peer", "name", "eth0",
                 "netns", f"{lab.name}-server")
        lab.must("proxy", "ip", "link", "set", "veth-b", "up")
        for feature in ("tx", "rx", "tso", "gso", "gro"):
            lab.run("server", "ethtool", "-K", "eth0", feature, "off")
        lab.must("server", "ip", "link", "set", "eth0", "up")
        lab.must("server", "ip", "address", "add", "10.0.0.2/24", "dev", "eth0")
        lab.must("client", "ip", "neigh", "flush", "dev", "eth0")
        page_in_the_end(stand)


def page_in_the_end(stand):
    end = time.monotonic() + 60
    while True:
        try:
            return must_get_page(stand.lab, 4, limit=3)
        except Exception:  # pylint: disable=broad-except # the last one is told
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
