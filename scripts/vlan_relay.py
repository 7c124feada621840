#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tags frames from one interface to another and untags those that come back, because a kernel may lack VLAN
devices.

usage: vlan_relay.py PLAIN TAGGED OUTER[.INNER] READY-FILE

One tag is 802.1Q (0x8100); of two, the outer one is 802.1ad (0x88a8). A frame from the tagged side must
carry exactly these tags with exactly these TPIDs; otherwise it is dropped and counted. So an end behind the
relay gets an answer only if the tags survived the way there and back. The counts go to standard output at
the end.
"""
import select
import signal
import socket
import struct
import sys

ETH_P_ALL = 0x0003
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_PROMISC = 1
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
TP_STATUS_VLAN_VALID = 1 << 4
TP_STATUS_VLAN_TPID_VALID = 1 << 6
AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata
MACS = 12  # both addresses: a tag stands behind them
ROOM = 65536
BURST = 64


def open_port(name):
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    port.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    port.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
    port.bind((name, ETH_P_ALL))
    port.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP,
                    struct.pack("=iHH8x", socket.if_nametoindex(name), PACKET_MR_PROMISC, 0))
    port.setblocking(False)
    return port


def receive(port):
    """The frame as it was on the wire: the kernel takes the outer tag out and reports it separately."""
    frame, control, _, _ = port.recvmsg(ROOM, socket.CMSG_SPACE(AUXDATA.size))
    for level, kind, data in control:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, tpid = AUXDATA.unpack(data[:AUXDATA.size])
            if status & TP_STATUS_VLAN_VALID:
                tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
                return frame[:MACS] + struct.pack("!HH", tpid, tci) + frame[MACS:]
    return frame


def tag_bytes(text):
    tags = [int(t) for t in text.split(".")]
    tpids = [0x8100] if len(tags) == 1 else [0x88A8, 0x8100]
    return b"".join(struct.pack("!HH", tpid, vid) for tpid, vid in zip(tpids, tags))


def main():
    plain_name, tagged_name, tags_text, ready_file = sys.argv[1:5]
    tags = tag_bytes(tags_text)
    plain, tagged = open_port(plain_name), open_port(tagged_name)
    counts = {"tagged": 0, "untagged": 0, "wrong_tags": 0, "not_sent": 0}

    def add(frame):
        counts["tagged"] += 1
        return frame[:MACS] + tags + frame[MACS:]

    def strip(frame):
        after = MACS + len(tags)
        next_type = frame[after:after + 2]
        if frame[MACS:after] != tags or next_type in (b"\x81\x00", b"\x88\xa8"):
            counts["wrong_tags"] += 1
            return None
        counts["untagged"] += 1
        return frame[:MACS] + frame[after:]

    def stop(*_):
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    poll = select.poll()
    ways = {}
    for source, sink, change in ((plain, tagged, add), (tagged, plain, strip)):
        poll.register(source, select.POLLIN)
        ways[source.fileno()] = (source, sink, change)
    with open(ready_file, "w", encoding="ascii"):
        pass
    try:
        while True:
            for fd, _ in poll.poll():
                source, sink, change = ways[fd]
                for _ in range(BURST):
                    try:
                        frame = change(receive(source))
                    except BlockingIOError:
                        break
                    if frame is None:
                        continue
                    try:
                        sink.send(frame)
                    except OSError:  # a full queue loses the frame, as a switch would
                        counts["not_sent"] += 1
    finally:
        print(" ".join(f"{name}={count}" for name, count in counts.items()), flush=True)


if __name__ == "__main__":
    main()
