# SPDX-License-Identifier: BSD-3-Clause
"""Single frames: raw ports inside a lab, and a client whose TCP the case writes out."""
import contextlib
import os
import random
import select
import socket
import sys
import time

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from harness import ROOT, SERVERS, Failed, check, mac

sys.path.append(os.path.join(ROOT, "scripts"))
import vlan_relay  # noqa: E402  pylint: disable=wrong-import-position,import-error

# An address that no host owns: the client's kernel never answers for it and resets nothing.
SCRIPTED = {4: "10.0.0.77", 6: "fd00::77"}


class RawPort:
    def __init__(self, lab, role, device="eth0"):
        with lab.sockets_in(role):
            self.socket = vlan_relay.open_port(device)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, frame):
        self.socket.send(bytes(frame))

    def frames(self, seconds):
        """The frames that arrive within so many seconds, with tags as on the wire."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                with contextlib.suppress(BlockingIOError):
                    yield vlan_relay.receive(self.socket)

    def drain(self):
        for _ in self.frames(0.05):
            pass


class Trace:
    """The TCP segments of one port that pass an interface, in both directions, in the order of the wire."""

    def __init__(self, lab, role, port, device="eth0"):
        self.port = port
        with lab.sockets_in(role):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        with lab.sockets_in(role):
            self.socket.bind((device, vlan_relay.ETH_P_ALL))
        self.socket.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def take(self, client_port=None):
        """(outgoing, scapy packet) for everything that has passed since the last call, or for one connection of it."""
        segments = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, address = self.socket.recvfrom(vlan_relay.ROOM)
                packet = Ether(frame)
                ports = {packet[TCP].sport, packet[TCP].dport} if TCP in packet else ()
                if self.port in ports and (client_port is None or client_port in ports):
                    segments.append((address[2] == socket.PACKET_OUTGOING, packet))
        return segments


def payload_length(packet):
    """The payload of a TCP segment, without the padding of its frame to 60 bytes."""
    headers = packet[TCP].dataofs * 4
    if IP in packet:
        return packet[IP].len - packet[IP].ihl * 4 - headers
    return packet[IPv6].plen - headers


class ScriptedClient:
    """Sends TCP from an address of its own, segment by segment, and sees each that comes back."""

    def __init__(self, lab, family, port=80):
        self.lab, self.family, self.port = lab, family, port
        self.source_port = random.randrange(30000, 60000)
        self.client_mac, self.server_mac = mac(lab, "client"), mac(lab, "server")
        self.raw = RawPort(lab, "client")

    def __enter__(self):
        self.lab.must("server", "ip", "neigh", "replace", SCRIPTED[self.family], "lladdr", self.client_mac,
                      "dev", "eth0", "nud", "permanent")
        return self

    def __exit__(self, *_):
        self.lab.run("server", "ip", "neigh", "del", SCRIPTED[self.family], "dev", "eth0")
        self.raw.__exit__()

    def ip(self, **fields):
        if self.family == 6:
            return IPv6(**{"src": SCRIPTED[6], "dst": SERVERS[6], **fields})
        return IP(**{"src": SCRIPTED[4], "dst": SERVERS[4], "flags": "DF", **fields})

    def frame(self, flags, seq=0, ack=0, options=(), payload=b"", ip=None, **fields):
        tcp = TCP(**{"sport": self.source_port, "dport": self.port, "flags": flags, "seq": seq, "ack": ack,
                     "options": list(options), "window": 64240, **fields})
        return Ether(src=self.client_mac, dst=self.server_mac) / (ip or self.ip()) / tcp / payload

    def send(self, *arguments, **fields):
        self.raw.send(self.frame(*arguments, **fields))

    def answers(self, seconds):
        """TCP segments to this client's port, as scapy packets."""
        for frame in self.raw.frames(seconds):
            packet = Ether(frame)
            if TCP in packet and packet[TCP].dport == self.source_port and packet[TCP].sport == self.port:
                yield packet

    def answer(self, seconds=20, wanted=lambda tcp: True, what="a segment"):
        for packet in self.answers(seconds):
            # Of those to the sources of a flood, one may be for the same port.
            to_me = (packet[IPv6] if IPv6 in packet else packet[IP]).dst == SCRIPTED[self.family]
            if to_me and wanted(packet[TCP]):
                return packet
        check(False, f"{what} did not come within {seconds} s")
        return None

    def silence(self, seconds=0.3):
        for packet in self.answers(seconds):
            check(False, f"answered by {packet.summary()}")

    def syn(self, seq, options=(), again=0):
        """Sends a SYN and returns the SYN-ACK. `again`: sends it so often more, a second apart; a flood may push it out."""
        def answers_it(tcp):
            return tcp.flags & 0x12 == 0x12 and tcp.ack == (seq + 1) % 2**32

        for _ in range(again):
            self.send("S", seq=seq, options=options)
            with contextlib.suppress(Failed):
                return self.answer(1, answers_it, "the SYN-ACK")
        self.send("S", seq=seq, options=options)
        return self.answer(wanted=answers_it, what="the SYN-ACK")


FULL_OPTIONS = (("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1000, 0)), ("NOP", None), ("WScale", 9))


def option(packet, name):
    """The value of a TCP option; None if it is absent."""
    return dict(packet[TCP].options).get(name)


def checksums_hold(packet):
    """Whether scapy gets the same bytes if it computes the checksums anew."""
    copy = packet.copy()
    if IP in copy:
        del copy[IP].chksum
    del copy[TCP].chksum
    return bytes(copy) == bytes(packet)
