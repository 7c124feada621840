# SPDX-License-Identifier: BSD-3-Clause
"""Restarts under odd connections, and processes that are killed while they start or take over."""
import contextlib
import hashlib
import os
import random
import re
import signal
import socket
import threading
import time

from cases_bypass import PORTS, ask, page_fails
from cases_restart import LIVES, die, state_directory
from cases_take_over import take_over
from clients import must_get_page
from harness import PROGRAM, SERVERS, Lab, Proxy, case, check, equal, own_stand, rounds, wait_for
from restart_loads import PATIENCE, Echo

LINES = 40  # that one side says after the other has said its FIN
PAUSE = 0.1
MUCH = 4 << 20


def read_all(peer):
    whole = bytearray()
    while part := peer.recv(65536):
        whole += part
    return bytes(whole)


def say_lines(peer):
    for number in range(LINES):
        peer.sendall(b"%06d\n" % number)
        time.sleep(PAUSE)


SAID = b"".join(b"%06d\n" % number for number in range(LINES))


class Odd:
    """Connections of kinds that seldom meet a restart. Each is a pair of functions, one for either end, which get a
    socket and return what the other end should have got or got itself."""

    def __init__(self, lab, family, port):
        self.threads, self.told, self.wrong = [], threading.Event(), []
        self.pairs = []
        with lab.sockets_in("server"):
            listener = socket.create_server((SERVERS[family].strip("[]"), port), backlog=16,
                                            family=socket.AF_INET6 if family == 6 else socket.AF_INET)
        for name, client_end, server_end in self.kinds():
            with lab.sockets_in("client"):
                client = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET)
            if "stalled" in name:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            client.settimeout(PATIENCE)
            client.connect((SERVERS[family].strip("[]"), port))
            server = listener.accept()[0]
            server.settimeout(PATIENCE)
            results = {}
            for role, end, peer in (("client", client_end, client), ("server", server_end, server)):
                thread = threading.Thread(target=self.run, args=(results, role, end, peer), daemon=True)
                thread.start()
                self.threads.append(thread)
            self.pairs.append((f"IPv{family}, {name}", results, client, server))
        listener.close()

    @staticmethod
    def run(results, role, end, peer):
        try:
            results[role] = end(peer)
        except OSError as error:
            results[role] = repr(error)

    def kinds(self):
        noise = os.urandom(MUCH)
        digest = hashlib.sha256(noise).hexdigest()

        def send_noise(peer):
            peer.sendall(noise)
            peer.shutdown(socket.SHUT_WR)
            return digest

        def read_late(peer):
            self.told.wait(PATIENCE)
            return hashlib.sha256(read_all(peer)).hexdigest()

        def fin_first(peer):
            peer.shutdown(socket.SHUT_WR)
            return read_all(peer)

        def fin_second(peer):
            check(peer.recv(1) == b"", "a FIN")
            say_lines(peer)
            peer.close()
            return SAID

        def both_ways(peer):
            got = bytearray()
            for number in range(LINES):
                peer.sendall(b"%06d\n" % number)
                while len(got) < 7 * (number + 1):
                    part = peer.recv(4096)
                    check(part, "the connection ended")
                    got += part
                time.sleep(PAUSE / 2)
            return bytes(got)

        yield "the client has said its FIN", fin_first, fin_second
        yield "the server has said its FIN", fin_second, fin_first
        yield "a download, stalled", read_late, send_noise
        yield "an upload, stalled", send_noise, read_late
        yield "words both ways", both_ways, both_ways

    def end(self):
        self.told.set()
        for thread in self.threads:
            thread.join(PATIENCE + 20)
        for name, results, client, server in self.pairs:
            check(results.get("client") is not None and results.get("client") == results.get("server"),
                  f"{name}: {str(results)[:300]}")
            client.close()
            server.close()


def in_the_gap(lab, proxy, echo, next_process):
    """A client that comes, one that goes and one that resets while nobody forwards."""
    going, resetting = echo.clients.pop(), echo.clients.pop()
    proxy.process.process.send_signal(signal.SIGKILL)
    proxy.process.process.wait(10)
    going.shutdown(socket.SHUT_WR)
    resetting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    resetting.close()
    came = []

    def come():
        with lab.sockets_in("client"):
            client = socket.create_connection((SERVERS[4], 8000), timeout=PATIENCE)
        client.sendall(b"hello")
        came.append(client.recv(100))
        client.close()

    comer = threading.Thread(target=come, daemon=True)
    comer.start()
    next_process()
    comer.join(PATIENCE)
    equal(came, [b"hello"], "what a client got that came in the gap")
    equal(going.recv(100), b"", "the other side's FIN, for a client that went in the gap")
    going.close()


@case(300)
@own_stand
def odd_connections_outlive_restarts(_):
    """Half-closed, stalled and talking ones, over IPv4 and IPv6, with and without options, across deaths and take-overs."""
    times = rounds(2, 8)
    with state_directory() as state, Lab("--offloads") as lab, \
            Proxy(lab, "--state-dir", state, "--max-flows", "16384", lives=LIVES) as proxy:
        echo = Echo(lab, 4)
        echo.all_answer(b"before")
        odd = [Odd(lab, 4, 8010), Odd(lab, 6, 8011)]
        with lab.sysctl("client", tcp_timestamps=0, tcp_sack=0, tcp_window_scaling=0):
            odd += [Odd(lab, 4, 8012), Odd(lab, 6, 8013)]
        for turn in range(times):
            time.sleep(random.uniform(0.3, 0.8))
            die(proxy) if turn % 2 == 0 else take_over(proxy)
            check(proxy.said(r"go on, 0 records"), f"turn {turn}: {proxy.log().strip()[-300:]}")
        in_the_gap(lab, proxy, echo, proxy.start)
        for one in odd:
            one.end()
        echo.all_answer(b"after")
        equal(proxy.counters()["conn_unknown"], 0, "connections that the proxy did not know")
        echo.close()


@case(300)
@own_stand
def processes_that_are_killed_at_their_start_lose_nothing(_):
    """kill -9 at random moments of a start: what the first one has kept is there for the last one."""
    kills = rounds(6, 40)
    with state_directory() as state, Lab() as lab, \
            Proxy(lab, "--state-dir", state, "--max-flows", "16384", lives=LIVES) as proxy:
        echo = Echo(lab, 50)
        echo.all_answer(b"before")
        start = die(proxy)
        proxy.stop(signal.SIGKILL)
        for _ in range(kills):
            with lab.start("proxy", PROGRAM, "--name", lab.name, *proxy.flags) as starting:
                time.sleep(random.uniform(0, 1.2 * start))
                starting.process.kill()
                starting.process.wait(10)
        proxy.start()
        check(proxy.said("50 connections go on, 0 records were dropped"), proxy.log())
        echo.all_answer(b"after")
        echo.close()


def kill_while_they_take_over(*ports):
    """kill -9 of either process at random moments of a take-over; connections go on with whoever is left, or the next."""
    kills = rounds(6, 40)
    ways = {"the old one": 0, "the new one": 0, "a start": 0}
    with state_directory() as state, Lab() as lab, \
            Proxy(lab, "--state-dir", state, "--max-flows", "16384", ports=ports, lives=LIVES) as proxy:
        echo = Echo(lab, 50)
        start = die(proxy)
        for turn in range(kills):
            echo.all_answer(b"before %d" % turn, some=10)
            former = proxy.process
            with open(proxy.log_path + ".next", "wb") as log:
                following = lab.start("proxy", PROGRAM, "--name", lab.name, *proxy.flags, "--take-over", log=log)
            time.sleep(random.uniform(0, 2 * start))
            (following if turn % 2 else former).process.kill()
            wait_for("one of both to end", lambda: not (former.running() and following.running()), 10)
            time.sleep(1)

            def goes_on():
                """The one that is left may notice it, end (also later than now), or have the connections already."""
                left = [one for one in (former, following) if one.running()]
                if left:
                    proxy.process = left[0]
                elif not proxy.running():
                    proxy.start()
                    check(proxy.said("go on, 0 records"), proxy.log())
                return lab.run("proxy", PROGRAM, "check", "--live", "--name", lab.name).code == 0

            wait_for("an answer to check --live", goes_on, 30)
            ways["the old one" if proxy.process is former else "the new one" if proxy.process is following else "a start"] += 1
            echo.all_answer(b"after %d" % turn)
            for one in (former, following):
                if one is not proxy.process:
                    one.process.wait(10)
        equal(proxy.counters()["conn_unknown"], 0, "connections that the proxy did not know")
        equal(proxy.stop(), 0, "exit code")
        echo.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(proxy.log_path + ".next")
        return ", ".join(f"{count} times {who}" for who, count in ways.items()) + " went on"


@case(300)
@own_stand
def processes_that_are_killed_while_they_take_over_lose_nothing(_):
    return kill_while_they_take_over("veth-a", "veth-b")


@case(300)
@own_stand
def processes_that_are_killed_while_they_take_over_af_xdp_lose_nothing(_):
    return kill_while_they_take_over("xdp:veth-a", "xdp:veth-b")


@case(120)
@own_stand
def a_start_that_fails_puts_the_bypass_back(_):
    with state_directory() as state, Lab() as lab:
        equal(ask(lab, "on", *PORTS).code, 0, "bypass on")
        for flags in (["--workers", "900"], ["--state-dir", state + "/no/such"]):
            result = lab.run("proxy", PROGRAM, "--name", lab.name, *PORTS, "--protect", f"{SERVERS[4]}:80", *flags)
            equal(result.code, 2, f"exit code: {result.err}")
            check("on, traffic passes" in ask(lab, "status", *PORTS).out, f"after {flags}: {result.err}")
            must_get_page(lab, 4)
        ask(lab, "off", *PORTS)
        check(page_fails(lab), "a page after bypass off")


@case(120)
@own_stand
def files_that_are_no_store_are_refused_or_replaced(_):
    """Whatever stands in the place of the file: one line, and no proxy that hangs, crashes or believes it."""
    with state_directory() as state, Lab() as lab:
        proxy = Proxy(lab, "--state-dir", state, "--max-flows", "4096", lives=LIVES)
        path = os.path.join(state, f"{lab.name}.flows")

        def refused(words):
            result = lab.run("proxy", PROGRAM, "--name", lab.name, *proxy.flags, limit=20)
            equal((result.code, result.err.count("\n")), (2, 1), f"{words}: {result.err}")
            check(words in result.err, result.err)

        os.mkfifo(path, 0o600)
        refused("is not a file of this user alone")
        os.unlink(path)
        os.mkdir(path)
        refused("cannot open")
        os.rmdir(path)
        os.symlink("/etc/passwd", path)
        refused("cannot open")
        os.unlink(path)
        for mode, owner in ((0o644, 0), (0o600, 65534)):
            with open(path, "wb"):
                os.chmod(path, mode)
                os.chown(path, owner, owner)
            refused("is not a file of this user alone")
            os.unlink(path)
        with proxy:
            must_get_page(lab, 4)
            proxy.stop(signal.SIGKILL)
            with open(path, "rb") as file:
                whole = file.read()
            other_version = whole[:8] + b"\xff" * 4 + whole[12:]
            noise = whole[:4096] + os.urandom(len(whole) - 4096)
            for damage, said in ((b"", 0), (whole[:100], 1), (whole[:len(whole) // 2], 1), (os.urandom(5000), 1),
                                 (other_version, 1), (noise, 0)):
                with open(path, "wb") as file:
                    file.write(damage)
                proxy.start()
                must_get_page(lab, 4)
                must_get_page(lab, 6)
                lines = [line for line in proxy.log().splitlines() if "started empty" in line]
                equal(len(lines), said, f"lines: {proxy.log()}")
                proxy.stop(signal.SIGKILL)
        small = os.path.join(state, "small")
        os.mkdir(small, 0o700)
        proxy.flags[proxy.flags.index(state)] = small
        inside = lab.run("proxy", "sh", "-c", "mount -t tmpfs -o size=1m,mode=700 tmpfs \"$0\" && exec \"$@\"", small,
                         PROGRAM, "--name", lab.name, *proxy.flags, limit=20)
        equal(inside.code, 2, f"exit code with a full tmpfs: {inside.err}")
        check(re.search(r"no room for \d+ MB", inside.err) and inside.err.count("\n") == 1, inside.err)


@case(120)
@own_stand
def connections_go_on_where_more_is_protected_than_before(_):
    with state_directory() as state, Lab() as lab, \
            Proxy(lab, "--state-dir", state, "--max-flows", "4096", lives=LIVES) as proxy:
        echo = Echo(lab, 5)
        echo.all_answer(b"before")
        for more in (["--protect", "198.51.100.0/24:1-7"], []):
            before = proxy.flags
            proxy.flags = [*before, *more]
            die(proxy)
            proxy.flags = before
            check(proxy.said("5 connections go on, 0 records were dropped"), proxy.log())
            echo.all_answer(b"after")
        echo.close()


@contextlib.contextmanager
def huge_pages(count):
    """So many more are reserved; yields how many there are that nobody uses."""
    path = "/proc/sys/vm/nr_hugepages"
    with open(path, encoding="ascii") as there:
        before = int(there.read())
    try:
        with open(path, "w", encoding="ascii") as there:
            there.write(str(before + count))
        with open("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", encoding="ascii") as free:
            yield int(free.read())
    finally:
        with open(path, "w", encoding="ascii") as there:
            there.write(str(before))


@case(120)
@own_stand
def a_store_of_huge_pages_outlives_the_process(_):
    """--state-dir in a hugetlbfs; and a mount without room for it."""
    with huge_pages(24) as free, state_directory() as state, Lab() as lab, contextlib.ExitStack() as stack:
        if free < 24:
            return "no huge pages to be had: not tried"
        mount = ["mount", "-t", "hugetlbfs", "-o", "pagesize=2M,mode=700", "none", state]
        check(os.system(" ".join(mount)) == 0, "hugetlbfs")
        stack.callback(os.system, f"umount {state}")
        proxy = Proxy(lab, "--state-dir", state, "--max-flows", "16", lives=LIVES)
        result = lab.run("proxy", PROGRAM, "--name", lab.name, *(f if f != "16" else "4000000" for f in proxy.flags), limit=30)
        equal(result.code, 2, f"exit code without room: {result.err}")
        check(re.search(r"no room for \d+ MB", result.err), result.err)
        with proxy:
            check(not proxy.said("is on a disk"), proxy.log())
            echo = Echo(lab, 5)
            echo.all_answer(b"before")
            die(proxy)
            check(proxy.said("5 connections go on, 0 records were dropped"), proxy.log())
            echo.all_answer(b"after")
            echo.close()
            equal(proxy.stop(), 0, "exit code")
        os.unlink(os.path.join(state, f"{lab.name}.flows"))
        return f"{free} huge pages were free"
