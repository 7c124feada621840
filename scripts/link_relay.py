#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Plays a long and bad wire between two interfaces, because a kernel may lack netem.

usage: link_relay.py A B READY-FILE [--delay MS] [--loss PERCENT] [--seed N] [--rate MBIT] [--queue MS] [--fragment MTU]

Every frame, in each direction, is late by --delay. With --rate it first waits its turn, and is dropped if it would wait
longer than --queue. Only TCP suffers --loss, so that neighbours are always found. Whether the n-th segment of a
connection is lost depends on the seed, the ports, the direction and n, and not on other connections. Order is kept. With
--fragment, TCP packets longer than that are cut into IP fragments, whatever their DF says; each second packet's come in
reverse. The counts go to standard output at the end.
"""
import argparse
import collections
import hashlib
import select
import signal
import struct
import time

from vlan_relay import BURST, open_port, receive


def tcp_ports(frame):
    """The four bytes of both ports of an untagged TCP segment, else None."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == 6:
        at = 14 + (frame[14] & 15) * 4
    elif kind == b"\x86\xdd" and frame[20] == 6:
        at = 54
    else:
        return None
    return frame[at:at + 4]


def ipv4_checksum(header):
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def fragments(frame, mtu, number):
    """The frame as it is, or in pieces if it is TCP and its packet is longer than the MTU."""
    if tcp_ports(frame) is None:
        return [frame]
    ipv6 = frame[12:14] == b"\x86\xdd"
    head = 54 if ipv6 else 14 + (frame[14] & 15) * 4
    end = 54 + struct.unpack_from("!H", frame, 18)[0] if ipv6 else 14 + struct.unpack_from("!H", frame, 16)[0]
    if end - 14 <= mtu or (not ipv6 and struct.unpack_from("!H", frame, 20)[0] & 0x3fff):
        return [frame]
    each = (mtu - (head - 14) - (8 if ipv6 else 0)) // 8 * 8
    pieces = []
    for at in range(0, end - head, each):
        data = frame[head + at:min(end, head + at + each)]
        more = head + at + each < end
        if ipv6:
            header = bytearray(frame[14:54])
            struct.pack_into("!HB", header, 4, 8 + len(data), 44)
            header += struct.pack("!BBHI", 6, 0, at | more, number)
        else:
            header = bytearray(frame[14:head])
            struct.pack_into("!HHH", header, 2, len(header) + len(data), number & 0xffff, at // 8 | more << 13)
            struct.pack_into("!H", header, 10, 0)
            struct.pack_into("!H", header, 10, ipv4_checksum(header))
        pieces.append(frame[:14] + bytes(header) + data)
    return pieces[::-1] if number & 1 else pieces


class Way:
    """One direction: frames come in at `source` and leave at `sink`."""

    def __init__(self, name, source, sink, options):
        self.name, self.source, self.sink = name, source, sink
        self.delay = options.delay / 1e3
        self.loss = options.loss / 100
        self.seed = options.seed
        self.bytes_per_second = options.rate * 1e6 / 8
        self.longest_queue = options.queue / 1e3
        self.mtu = options.fragment
        self.number = 0  # of the last packet, its identification if it is cut
        self.free_at = 0.0  # when the wire will have sent everything that waits
        self.waiting = collections.deque()
        self.seen = collections.Counter()
        self.counts = {"passed": 0, "lost": 0, "queue_full": 0, "not_sent": 0}

    def is_lost(self, frame):
        if not self.loss:
            return False
        ports = tcp_ports(frame)
        if ports is None:
            return False
        number = self.seen[ports]
        self.seen[ports] += 1
        text = b"%d %s %d " % (self.seed, self.name.encode(), number) + ports
        draw = struct.unpack("=I", hashlib.blake2b(text, digest_size=4).digest())[0]
        return draw < self.loss * 2**32

    def take(self):
        for _ in range(BURST):
            try:
                frame = receive(self.source)
            except BlockingIOError:
                return
            now = time.monotonic()
            if self.is_lost(frame):
                self.counts["lost"] += 1
                continue
            leaves = now
            if self.bytes_per_second:
                leaves = max(now, self.free_at) + len(frame) / self.bytes_per_second
                if leaves - now > self.longest_queue:
                    self.counts["queue_full"] += 1
                    continue
                self.free_at = leaves
            self.number += 1
            for piece in fragments(frame, self.mtu, self.number) if self.mtu else (frame,):
                self.waiting.append((leaves + self.delay, piece))

    def give(self):
        """Sends what is due. Returns the time of the next frame, or None if nothing waits."""
        now = time.monotonic()
        while self.waiting and self.waiting[0][0] <= now:
            try:
                self.sink.send(self.waiting.popleft()[1])
                self.counts["passed"] += 1
            except OSError:  # the interface is down or its queue full
                self.counts["not_sent"] += 1
        return self.waiting[0][0] if self.waiting else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("ready_file")
    parser.add_argument("--delay", type=float, default=0, help="ms, each way")
    parser.add_argument("--loss", type=float, default=0, help="percent of the TCP segments, each way")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0, help="Mbit/s, each way; 0: no limit")
    parser.add_argument("--queue", type=float, default=100, help="ms that a frame may wait for its turn")
    parser.add_argument("--fragment", type=int, default=0, metavar="MTU", help="cut longer TCP packets; 0: cut none")
    options = parser.parse_args()
    ports = open_port(options.a), open_port(options.b)
    ways = {source.fileno(): Way(name, source, sink, options)
            for name, source, sink in (("a-to-b", *ports), ("b-to-a", *ports[::-1]))}

    def stop(*_):
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with open(options.ready_file, "w", encoding="ascii"):
        pass
    try:
        while True:
            due = [at for at in (way.give() for way in ways.values()) if at is not None]
            wait = max(0.0, min(due) - time.monotonic()) if due else None
            for fd in select.select(list(ways), [], [], wait)[0]:
                ways[fd].take()
    finally:
        for way in ways.values():
            print(way.name, " ".join(f"{name}={count}" for name, count in way.counts.items()), flush=True)


if __name__ == "__main__":
    main()
