# SPDX-License-Identifier: BSD-3-Clause
"""Odd packets, and traffic that the proxy leaves alone."""
import contextlib
import os
import random
import socket
import struct
import threading

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.inet6 import (ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NS, IPv6, IPv6ExtHdrFragment,
                                IPv6ExtHdrHopByHop, PadN)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

from harness import CLIENT4, CLIENT6, SERVER4, SERVER6, SERVERS, Failed, Stand, case, check, equal, own_stand, wait_for
from wire import FULL_OPTIONS, SCRIPTED, RawPort, ScriptedClient, mac, option


def forged_ack(client):
    return client.frame("A", seq=10, ack=random.getrandbits(32), options=[("Timestamp", (5, 6))])


def bad_tcp_checksum(client):
    return client.frame("S", seq=10, options=FULL_OPTIONS, chksum=0x1234)


def short_tcp_header(client):
    return client.frame("S", seq=10, dataofs=4)


def long_tcp_header(client):
    return client.frame("S", seq=10, dataofs=15)


def own_address_as_source(client):
    frame = client.frame("S", seq=10, ip=client.ip(src=SERVERS[client.family]), sport=client.port)
    return frame


def from_source(address):
    def build(client):
        return client.frame("S", seq=10, ip=client.ip(src=address))

    return build


def to_broadcast_mac(client):
    frame = client.frame("S", seq=10)
    frame[Ether].dst = "ff:ff:ff:ff:ff:ff"
    return frame


def fragment4(offset, more, size):
    def build(client):
        return (Ether(src=client.client_mac, dst=client.server_mac) /
                IP(src=SCRIPTED[4], dst=SERVER4, proto=6, flags="MF" if more else 0, frag=offset) /
                Raw((bytes(TCP(sport=client.source_port, dport=80, flags="S")) + bytes(12))[:size]))

    return build


def fragment6(offset, more, size):
    def build(client):
        return (Ether(src=client.client_mac, dst=client.server_mac) / IPv6(src=SCRIPTED[6], dst=SERVER6) /
                IPv6ExtHdrFragment(nh=6, offset=offset, m=more, id=7) /
                Raw((bytes(TCP(sport=client.source_port, dport=80, flags="S")) + bytes(12))[:size]))

    return build


def icmp_about_no_connection(client):
    quote = IP(src=SERVER4, dst=SCRIPTED[4], proto=6) / TCP(sport=80, dport=client.source_port, seq=1)
    return (Ether(src=client.client_mac, dst=client.server_mac) / IP(src=CLIENT4, dst=SERVER4) /
            ICMP(type=3, code=4, nexthopmtu=600) / Raw(bytes(quote)[:28]))


def flags(text, **fields):
    def build(client):
        return client.frame(text, seq=10, **fields)

    return build


# sentence, IP versions, frame, counter that must count each of these frames
DROP_ROWS = (
    ("SYN and FIN", (4, 6), flags("SF"), "syn_fin"),
    ("SYN and RST", (4, 6), flags("SR"), "syn_rst"),
    ("SYN, FIN, PSH and URG", (4, 6), flags("SFPU"), "syn_fin"),
    ("no flags", (4, 6), flags(0), "null_flags"),
    ("all flags", (4, 6), flags("FSRPAUEC"), "xmas_flags"),
    ("FIN alone", (4, 6), flags("F"), "no_ack_flag"),
    ("SYN-ACK from a client", (4, 6), flags("SA", ack=77), "syn_ack_client"),
    ("RST without a connection", (4, 6), flags("R"), "no_flow_client"),
    ("forged ACK", (4, 6), forged_ack, "cookie_invalid"),
    ("forged ACK without timestamps", (4, 6), flags("A", ack=123456), "cookie_invalid"),
    ("forged FIN and ACK", (4, 6), flags("FA", ack=123456), "cookie_invalid"),
    ("SYN with a wrong TCP checksum", (4, 6), bad_tcp_checksum, "bad_checksum"),
    ("TCP header length 16", (4, 6), short_tcp_header, "bad_tcp_header"),
    ("TCP header longer than the packet", (4, 6), long_tcp_header, "bad_tcp_header"),
    ("source is the server itself, same port", (4, 6), own_address_as_source, "land"),
    ("source 255.255.255.255", (4,), from_source("255.255.255.255"), "bad_source"),
    ("source 224.0.0.5", (4,), from_source("224.0.0.5"), "bad_source"),
    ("source 127.0.0.1", (4,), from_source("127.0.0.1"), "bad_source"),
    ("source 0.0.0.0", (4,), from_source("0.0.0.0"), "bad_source"),
    ("source ff02::1", (6,), from_source("ff02::1"), "bad_source"),
    ("source ::1", (6,), from_source("::1"), "bad_source"),
    ("source ::", (6,), from_source("::"), "bad_source"),
    ("broadcast MAC address", (4, 6), to_broadcast_mac, "bad_destination_mac"),
    ("first fragment without the flags", (4,), fragment4(0, True, 8), "fragment_tiny"),
    ("fragment that begins in the TCP header", (4,), fragment4(1, False, 32), "fragment_tiny"),
    ("fragment of a packet above 16 KB", (4,), fragment4(2048, False, 32), "fragment_bad"),
    ("first fragment without the flags", (6,), fragment6(0, 1, 8), "fragment_tiny"),
    ("fragment that begins in the TCP header", (6,), fragment6(1, 0, 32), "fragment_tiny"),
    ("fragment of a packet above 16 KB", (6,), fragment6(2048, 0, 32), "fragment_bad"),
    ("ICMP error about no connection", (4,), icmp_about_no_connection, "icmp_invalid"),
)


@case(120)
@own_stand
def odd_packets_are_dropped_each_with_its_counter(_):
    # On a stand of its own no late segment of a connection is counted with them.
    wrong, rows = [], 0
    with Stand() as stand, RawPort(stand.lab, "server") as server:
        for sentence, families, build, counter in DROP_ROWS:
            for family in families:
                rows += 1
                why = drop_row(stand, server, family, build, counter)
                if why:
                    wrong.append(f"{sentence} (IPv{family}): {why}")
    check(not wrong, f"{len(wrong)} of {rows} rows:\n     " + "\n     ".join(wrong))
    return f"{rows} rows"


def drop_row(stand, server, family, build, counter):
    sent = 3
    with ScriptedClient(stand.lab, family) as client:
        server.drain()
        frame = build(client)
        before = stand.proxy.counters()
        for _ in range(sent):
            client.raw.send(frame)
        with contextlib.suppress(Failed):  # told below
            wait_for("they are counted", lambda: stand.proxy.counters()[counter] >= before[counter] + sent, 5, 0.01)
        reached = [Ether(f).summary() for f in server.frames(0.1) if bytes(frame)[14:] in f]
        answered = [packet.summary() for packet in client.answers(0.05)]
        after = stand.proxy.counters()
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    if reached:
        return f"reached the server: {reached[0]}"
    if answered:
        return f"answered: {answered[0]}"
    if grown.get(counter, 0) != sent:
        return f"{counter} grew by {grown.get(counter, 0)} instead of {sent}; what grew: {grown}"
    return None


@case()
def malformed_options_in_a_syn_do_no_harm(stand):
    lists = (b"\x02\x00\x00\x00", b"\x02\x04\x05", b"\x08\x0a\x00\x00", b"\xfd\xff\x01\x01", b"\x03\x03\x63\x00",
             b"\x05\x01\x01\x01", b"\x02\x05\x01\x01\x01\x01\x01\x01", b"\x00\xff\xff\xff", b"\x01" * 40,
             b"\x08\x0a" + bytes(8) + b"\x08\x0a" + bytes(8), b"\x22\x02\x01\x01")
    for family in (4, 6):
        with ScriptedClient(stand.lab, family) as client:
            for options in lists:
                padded = options + bytes(-len(options) % 4)
                header = struct.pack("!HHIIBBHHH", client.source_port, 80, 5, 0, (20 + len(padded)) << 2, 2, 1000, 0, 0)
                segment = TCP(header + padded)
                del segment.chksum
                client.raw.send(Ether(src=client.client_mac, dst=client.server_mac) / client.ip() / segment)
                client.raw.drain()
            reply = client.syn(6, FULL_OPTIONS)
            equal(option(reply, "MSS"), 1460, "MSS offered after all of them")


def truncations(client):
    whole = bytes(client.frame("S", seq=10, options=FULL_OPTIONS))
    return [whole[:length] for length in range(14, len(whole))]


@case()
def syn_cut_at_every_length_does_no_harm(stand):
    for family in (4, 6):
        with ScriptedClient(stand.lab, family) as client:
            for frame in truncations(client):
                client.raw.send(frame)
            # The checksum of a cut segment cannot be right: none of them may look like a SYN worth an answer.
            client.silence()
            client.syn(11, FULL_OPTIONS)


def filler(size):
    return bytes(i * 7 & 0xFF for i in range(size))


def untouched_frames(a, b, mtu):
    """Frames from MAC a to MAC b that have nothing to do with protected TCP."""
    head, head6 = IP(src=CLIENT4, dst=SERVER4), IPv6(src=CLIENT6, dst=SERVER6)
    udp = UDP(sport=5000, dport=5001)
    full = mtu - 28
    yield "EtherType of nobody, small", Ether(src=a, dst=b, type=0x88B5) / filler(46)
    yield "EtherType of nobody, full size", Ether(src=a, dst=b, type=0x88B5) / filler(mtu)
    yield "ARP", Ether(src=a, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=a, psrc="10.0.0.200", pdst="10.0.0.201")
    yield "LLDP multicast", Ether(src=a, dst="01:80:c2:00:00:0e", type=0x88CC) / filler(60)
    yield "STP, an 802.3 length", Ether(src=a, dst="01:80:c2:00:00:00", type=38) / filler(46)
    yield "neighbour solicitation", (Ether(src=a, dst="33:33:ff:00:00:99") / IPv6(src=CLIENT6, dst="ff02::1:ff00:99") /
                                     ICMPv6ND_NS(tgt="fd00::99"))
    yield "UDP, full size", Ether(src=a, dst=b) / head / udp / filler(full)
    yield "UDP over IPv6, full size", Ether(src=a, dst=b) / head6 / udp / filler(mtu - 48)
    yield "UDP to the protected port", Ether(src=a, dst=b) / head / UDP(sport=5000, dport=80) / filler(30)
    yield "UDP with a wrong checksum", Ether(src=a, dst=b) / head / UDP(sport=5000, dport=5001, chksum=0x4321) / filler(33)
    yield "UDP with IP options and TTL 1", (Ether(src=a, dst=b) / IP(src=CLIENT4, dst=SERVER4, ttl=1, tos=0xB9,
                                            options=[IPOption(b"\x94\x04\x00\x00")]) / udp / filler(20))
    yield "first fragment of UDP", Ether(src=a, dst=b) / IP(src=CLIENT4, dst=SERVER4, flags="MF", id=9, proto=17) / filler(64)
    yield "last fragment of UDP", Ether(src=a, dst=b) / IP(src=CLIENT4, dst=SERVER4, frag=8, id=9, proto=17) / filler(40)
    yield "fragment of UDP over IPv6", (Ether(src=a, dst=b) / head6 / IPv6ExtHdrFragment(nh=17, m=1, id=3) / filler(64))
    yield "hop-by-hop options before UDP", (Ether(src=a, dst=b) / head6 /
                                            IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]) / udp / filler(20))
    yield "802.1Q", Ether(src=a, dst=b) / Dot1Q(vlan=5, prio=3) / head / udp / filler(full - 8)
    yield "QinQ", Ether(src=a, dst=b) / Dot1AD(vlan=7, id=1) / Dot1Q(vlan=5) / head / udp / filler(300)
    yield "ICMP echo", Ether(src=a, dst=b) / head / ICMP(id=3) / filler(56)
    yield "TCP to a port that is not protected", Ether(src=a, dst=b) / head / TCP(sport=5000, dport=7000, flags="S")
    yield "TCP junk to a port that is not protected", (Ether(src=a, dst=b) / head6 /
                                                       TCP(sport=5000, dport=7000, flags="FSRPAU", chksum=1))
    yield "TCP to an address that is not protected", (Ether(src=a, dst=b) / IP(src=CLIENT4, dst="10.0.0.9") /
                                                      TCP(sport=5000, dport=80, flags="S"))
    yield "GRE", Ether(src=a, dst=b) / IP(src=CLIENT4, dst=SERVER4, proto=47) / filler(77)


def missing_frames(lab, source, sink, mtu, least):
    macs = mac(lab, source), mac(lab, sink)
    rows = [(name, bytes(frame).ljust(least, b"\0")) for name, frame in untouched_frames(*macs, mtu)]
    with RawPort(lab, source) as out, RawPort(lab, sink) as arrived:
        arrived.drain()
        for _, frame in rows:
            out.send(frame)
        left = dict((frame, name) for name, frame in rows)
        for frame in arrived.frames(20):
            left.pop(frame, None)
            if not left:
                break
    return len(rows), [f"{name} from the {source}" for name in left.values()]


def both_directions(lab, mtu, least=0):
    """`least`: bytes of the shortest frame on such a link; a NIC pads shorter ones."""
    sent, missing = 0, []
    for source, sink in (("client", "server"), ("server", "client")):
        rows, lost = missing_frames(lab, source, sink, mtu, least)
        sent += rows
        missing += lost
    check(not missing, f"{len(missing)} of {sent} frames did not arrive as they were sent: {', '.join(missing)}")
    return f"{sent} kinds of frame, byte for byte"


@case()
def what_is_not_protected_passes_untouched(stand):
    return both_directions(stand.lab, 1500)


@case()
@own_stand
def what_is_not_protected_passes_untouched_at_9000_bytes(_):
    with Stand(up=["--mtu", "9000"]) as stand:
        return both_directions(stand.lab, 9000)


@case()
def ping_is_answered(stand):
    lab = stand.lab
    for family, request in ((4, IP(src=CLIENT4, dst=SERVER4) / ICMP(id=77)),
                            (6, IPv6(src=CLIENT6, dst=SERVER6) / ICMPv6EchoRequest(id=77))):
        with RawPort(lab, "client") as port:
            port.send(Ether(src=mac(lab, "client"), dst=mac(lab, "server")) / request / filler(800))
            kind = ICMPv6EchoReply if family == 6 else ICMP
            check(any(kind in (packet := Ether(frame)) and getattr(packet[kind], "id", 0) == 77 and
                      (family == 6 or packet[ICMP].type == 0) for frame in port.frames(20)),
                  f"no echo reply over IPv{family}")


@case()
def neighbours_are_found_through_the_proxy(stand):
    for family in ("-4", "-6"):
        for role in ("client", "server"):
            stand.lab.run(role, "ip", family, "neigh", "flush", "dev", "eth0")
    large_udp_comes_back(stand.lab)
    for family, server in ((4, SERVER4), (6, SERVER6)):
        shown = stand.lab.must("client", "ip", "neigh", "show", server)
        check("lladdr" in shown, f"IPv{family} neighbour of the client: {shown or 'none'}")


@case()
def large_udp_datagrams_pass_in_fragments(stand):
    large_udp_comes_back(stand.lab)


def large_udp_comes_back(lab):
    """8,000 bytes there and back: six fragments each way, which only the ends put together."""
    for family in (socket.AF_INET, socket.AF_INET6):
        address = SERVER6 if family == socket.AF_INET6 else SERVER4
        with lab.sockets_in("server"):
            server = socket.socket(family, socket.SOCK_DGRAM)
        with lab.sockets_in("client"):
            client = socket.socket(family, socket.SOCK_DGRAM)
        with server, client:
            server.bind((address, 5300))
            server.settimeout(30)
            client.settimeout(30)
            echo = threading.Thread(target=echo_once, args=(server,), daemon=True)
            echo.start()
            data = os.urandom(8000)
            client.sendto(data, (address, 5300))
            equal(client.recv(9000), data, f"UDP datagram that came back from {address}")
            echo.join()


def echo_once(server):
    data, sender = server.recvfrom(9000)
    server.sendto(data, sender)


@case()
def port_that_is_not_protected_is_a_direct_connection(stand):
    with stand.proxy.counting() as grown, stand.lab.sockets_in("server"):
        with socket.create_server((SERVER4, 7001)) as server, stand.lab.sockets_in("client"):
            with socket.create_connection((SERVER4, 7001), timeout=30) as client:
                accepted, peer = server.accept()
                with accepted:
                    accepted.sendall(b"hello")
                    equal((client.recv(10), peer[0]), (b"hello", CLIENT4), "what came, and from where")
    equal((grown["syn_received"], grown["conn_established"]), (0, 0), "SYNs answered, connections spliced")


@case()
@own_stand
def connection_that_a_protected_server_opens_itself_passes(_):
    # If every port of the server is protected, so are the connections that it opens.
    with Stand(protect=[SERVER4, SERVER6]) as stand:
        for family, address in ((4, CLIENT4), (6, CLIENT6)):
            with stand.proxy.counting() as grown, stand.lab.sockets_in("client"):
                kind = socket.AF_INET6 if family == 6 else socket.AF_INET
                with socket.create_server((address, 7002), family=kind) as client, stand.lab.sockets_in("server"):
                    with socket.create_connection((address, 7002), timeout=30) as server:
                        accepted, peer = client.accept()
                        with accepted:
                            server.sendall(b"hello")
                            accepted.sendall(b"world")
                            equal((accepted.recv(10), server.recv(10), peer[0]),
                                  (b"hello", b"world", SERVERS[family]), "what came, and from where")
            equal((grown["conn_passed"], grown["conn_established"]), (1, 0), "passed and spliced connections")
