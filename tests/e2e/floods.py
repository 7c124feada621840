# SPDX-License-Identifier: BSD-3-Clause
"""Floods, and what an overload test needs: CPUs divided between ends and middle, a download that shows stalls,
clients."""
import contextlib
import os
import re
import socket
import threading
import time

from clients import page
from harness import SERVER4, SERVERS, check, equal, mac, wait_for

FLOODER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "flood.py")
TICK = 0.01
SLICE = 20_000  # bytes per tick: 2 MB/s, far less than the link carries


def sent_frames(lab):
    """Frames sent by the client's link, with those for which its other end had no room."""
    with lab.sockets_in("client"), open("/proc/thread-self/net/dev", encoding="ascii") as devices:
        fields = next(line for line in devices if line.strip().startswith("eth0:")).split(":")[1].split()
    return int(fields[9]) + int(fields[11])  # packets, dropped


class Count:
    """A count and the moment at which it was read; the difference of two is a rate."""

    def __init__(self, look):
        begin = time.monotonic()
        self.value = look()
        self.at = (begin + time.monotonic()) / 2  # reading may take long during a flood

    def __sub__(self, earlier):
        return (self.value - earlier.value) / (self.at - earlier.at)


def received_frames(lab, end):
    """Frames that have reached the link of an end."""
    with lab.sockets_in(end), open("/proc/thread-self/net/dev", encoding="ascii") as devices:
        fields = next(line for line in devices if line.strip().startswith("eth0:")).split(":")[1].split()
    return int(fields[1])


def answered_syns(lab):
    """SYN-ACKs that have reached the client's link, from any sender."""
    counter = lab.must("client", "nft", "list", "counter", "netdev", "lab", "synack")
    return int(re.search(r"packets (\d+)", counter).group(1))


class Rates:
    """Frames sent and SYNs answered per second, from its construction to end()."""

    def __init__(self, lab):
        self.lab = lab
        self.begin = self.counts()

    def counts(self):
        return [Count(lambda look=look: look(self.lab)) for look in (answered_syns, sent_frames)]

    def end(self):
        answered, sent = (now - then for now, then in zip(self.counts(), self.begin))
        return {"sent": sent, "answered": answered}


def command_of(lab, kind, family, rate):
    if kind.startswith("hping3"):
        flags = kind.split()[1:] or ["-S"]
        return ["hping3", "--flood", "-q", *flags, "--rand-source", "-p", "80", SERVERS[4]]
    return ["/usr/bin/python3", FLOODER, "eth0", mac(lab, "client"), mac(lab, "server"), f"{kind}{family}",
            SERVERS[family], *([f"{rate:.0f}"] if rate else [])]


@contextlib.contextmanager
def flood(lab, kind, family, rate=None, cpu=None, met=False):
    """kind: hping3 (perhaps with flags), syn or ack. `rate`: frames per second, not for hping3; none: as fast as it can. `met`: both ends
    know their neighbours. Yields a dict that holds the rate after the block."""
    pinned = [] if cpu is None else ["taskset", "-c", str(cpu)]
    if not met:  # before the flood begins
        equal(page(lab, family)["code"], "200", "page before the flood")
    before, begin = sent_frames(lab), time.monotonic()
    with lab.start("client", *pinned, *command_of(lab, kind, family, rate)) as sender:
        wait_for("the flood runs", lambda: sent_frames(lab) > before + 20000 or not sender.running(), 60)
        check(sender.running(), f"the flood ({kind}) ended at once")
        report = {}
        yield report
        check(sender.running(), f"the flood ({kind}) ended early")
    report["rate"] = (sent_frames(lab) - before) / (time.monotonic() - begin)


@contextlib.contextmanager
def divided(lab, ends, middle):
    """Over veth the receiver works on the sender's CPU, so no sender is ever faster than its receiver. In this block
    the kernel's receive packet steering (RPS) hands frames from the client to CPU `middle`, where the contender
    runs, and the server stays on CPU `ends`."""
    steering = "/sys/class/net/veth-a/queues/rx-0/rps_cpus"
    lab.must("proxy", "sh", "-c", f"echo {1 << middle:x} > {steering}")
    free = os.sched_getaffinity(0)
    server = [int(pid) for pid in lab.must("server", "ip", "netns", "pids", f"{lab.name}-server").split()]
    # A contender in the kernel runs there, and must get the CPU like a program of the lab.
    softirqs = [int(pid) for pid in lab.run("proxy", "pgrep", "-x", f"ksoftirqd/{middle}").out.split()]
    nice = {pid: os.getpriority(os.PRIO_PROCESS, pid) for pid in softirqs}
    try:
        for pid in softirqs:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, pid, -20)
        for pid in server:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(pid, {ends})
        yield
    finally:
        for pid in server:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(pid, free)
        for pid, value in nice.items():
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, pid, value)
        lab.run("proxy", "sh", "-c", f"echo 0 > {steering}")


class Reader(threading.Thread):
    """A connection from before the flood: an endless download, read at a steady pace."""

    def __init__(self, lab, path, cpu):
        super().__init__(daemon=True)
        with lab.sockets_in("client"):
            self.socket = socket.create_connection((SERVER4, 80), timeout=30)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
        self.cpu = cpu
        self.bytes = 0
        self.over = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        self.socket.close()

    def run(self):
        os.sched_setaffinity(0, {self.cpu})  # of this thread
        with contextlib.suppress(OSError):
            while not self.over.is_set():
                begin = time.monotonic()
                self.read(SLICE)
                # Bytes that a tick has missed do not count later, so a stall shows even if the download catches up.
                time.sleep(max(0.0, begin + TICK - time.monotonic()))

    def read(self, left):
        self.socket.settimeout(0.1)
        while left > 0 and not self.over.is_set():
            with contextlib.suppress(TimeoutError):
                part = self.socket.recv(left)
                if not part:
                    raise ConnectionError
                self.bytes += len(part)
                left -= len(part)


class Client(threading.Thread):
    """Fetches the page on a connection of its own, within `limit` seconds."""

    def __init__(self, lab, cpu, limit):
        super().__init__(daemon=True)
        self.lab, self.cpu, self.limit = lab, cpu, limit
        self.whole = False
        self.seconds = 0.0
        self.start()

    def run(self):
        os.sched_setaffinity(0, {self.cpu})
        begin = time.monotonic()
        with self.lab.sockets_in("client"), socket.socket() as client, contextlib.suppress(OSError):
            def within():
                client.settimeout(max(0.001, begin + self.limit - time.monotonic()))
                return client

            within().connect((SERVER4, 80))
            within().sendall(b"GET / HTTP/1.0\r\nHost: lab\r\n\r\n")
            got = b""
            while part := within().recv(65536):
                got += part
            self.whole = got.startswith(b"HTTP/1.1 200") and b"It works." in got
        self.seconds = time.monotonic() - begin


def ask_pages(lab, number, cpu, limit, gap=0.1):
    """Starts clients one after another, without waiting for the one before; returns the Clients when all have ended."""
    clients = []
    for _ in range(number):
        clients.append(Client(lab, cpu, limit))
        time.sleep(gap)
    for client in clients:
        client.join()
    return clients
