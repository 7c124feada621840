# SPDX-License-Identifier: BSD-3-Clause
"""How long a client waits for its connection while hping3 floods, and who makes it wait.

A contender in the kernel works on the sender's CPU as soon as a frame is sent. A program first has to get a CPU, and so
has the client when it is answered; with hping3 there are three of them for two CPUs. So the flood runs once on the
other CPU than the worker (`apart`) and once on the same (`together`). `apart`, the worker and the client get their CPU at
once, as real-time processes: what remains is the contender's own. Beside connect() stands the time from SYN to SYN-ACK
on the client's link, where the client's own waiting is not in.
"""
import contextlib
import ctypes
import ipaddress
import os
import socket
import statistics
import struct
import time

from contenders import standing
from floods import flood
from harness import CLIENT4, SERVER4, check

WAYS = ("apart", "together")
LIMIT = 3.0  # seconds after which a connect counts as that long
PAUSE = 0.003  # so that the connects meet different moments of the flood
PRIORITY = 10
SO_ATTACH_FILTER, SO_TIMESTAMPNS, ETH_P_ALL = 26, 35, 3
SYN, SYN_ACK = 0x02, 0x12
LINES = tuple((f"connect/{way}/{line}", "ms", "lower") for way in WAYS
              for line in ("link", "link_worst", "whole", "whole_worst"))


def filter_for_client():
    """Classic BPF: frames of IPv4 from or to the client. A filter, because the flood passes this link too."""
    client = int(ipaddress.ip_address(CLIENT4))
    program = ((0x28, 0, 0, 12), (0x15, 0, 5, 0x0800), (0x20, 0, 0, 26), (0x15, 2, 0, client), (0x20, 0, 0, 30),
               (0x15, 0, 1, client), (0x06, 0, 0, 128), (0x06, 0, 0, 0))
    return b"".join(struct.pack("HBBI", *step) for step in program)


class Link:
    """The client's SYNs and the SYN-ACKs to it on its own link, by the kernel's clock."""

    def __init__(self, lab):
        program = filter_for_client()
        steps = ctypes.create_string_buffer(program, len(program))
        with lab.sockets_in("client"):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                                   struct.pack("HP", len(program) // 8, ctypes.addressof(steps)))
            self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self.socket.bind(("eth0", ETH_P_ALL))
        self.socket.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def waits(self):
        """Milliseconds from each first SYN to its SYN-ACK."""
        sent, waits = {}, []
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, notes, *_ = self.socket.recvmsg(128, 128)
                seconds, ns = struct.unpack("qq", notes[0][2][:16])
                at = 1e3 * seconds + ns / 1e6
                source, to = struct.unpack(">HH", frame[34:38])
                if frame[47] == SYN:
                    sent.setdefault(source, at)
                elif frame[47] == SYN_ACK and to in sent:
                    waits.append(at - sent.pop(to))
        return waits


@contextlib.contextmanager
def at_once(threads):
    """These threads get a CPU as soon as they want one."""
    for thread in threads:
        os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(PRIORITY))
    try:
        yield
    finally:
        for thread in threads:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def workers_of(proxy):
    """Its threads that carry frames; none for a contender in the kernel."""
    if proxy is None:
        return []
    pid = proxy.process.process.pid
    threads = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii") as name:
            if name.read().startswith("synproxy-w"):
                threads.append(int(thread))
    return threads


def connects(lab, count):
    times = []
    with lab.sockets_in("client"):
        for _ in range(count):
            with socket.socket() as client:
                client.settimeout(LIMIT)
                begin = time.monotonic()
                with contextlib.suppress(OSError):
                    client.connect((SERVER4, 80))
                times.append(1e3 * (time.monotonic() - begin))
            time.sleep(PAUSE)
    return times


def measure(lab, way, proxy, sender, count):
    """Value of each line of a way."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(flood(lab, "hping3", 4, cpu=sender, met=True))
        time.sleep(0.2)
        if way == "apart":
            stack.enter_context(at_once([*workers_of(proxy), os.getpid()]))
        link = stack.enter_context(Link(lab))
        whole, waits = connects(lab, count), link.waits()
    check(waits, "no SYN-ACK was seen")
    return {f"connect/{way}/{line}": value for line, value in (
        ("link", statistics.median(waits)), ("link_worst", max(waits)),
        ("whole", statistics.median(whole)), ("whole_worst", max(whole)))}


def turn(lab, name, cpus, count):
    worker, other = cpus
    found = {}
    with standing(lab, name, worker) as proxy:
        for way in WAYS:
            found |= measure(lab, way, proxy, other if way == "apart" else worker, count)
    return found
