# SPDX-License-Identifier: BSD-3-Clause
"""Forged segments of a connection that the kernel carries: each fares as it would without --flow-offload."""
import random
import socket
import struct
import threading
import time

from scapy.layers.inet import IP, TCP, IPOption
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, PadN
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Padding, Raw

from harness import SERVERS, Stand, case, check, equal, own_stand
from wire import RawPort, ScriptedClient, checksums_hold, option, payload_length

PORT, PIECE, BURST, OWN = 8000, 1400, 16, 10
BULK = 256 * PIECE
SOL_PACKET, PACKET_VNET_HDR = 263, 15
STAMPS = (("NOP", None), ("NOP", None))


class Sink:
    """A server that takes what comes, and says how much it was."""

    def __init__(self, lab, family):
        with lab.sockets_in("server"):
            self.listener = socket.create_server((SERVERS[family], PORT),
                                                 family=socket.AF_INET6 if family == 6 else socket.AF_INET)
        self.data, self.error = bytearray(), None
        self.thread = threading.Thread(target=self.take, daemon=True)
        self.thread.start()

    def take(self):
        try:
            with self.listener.accept()[0] as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                while block := connection.recv(1 << 16):
                    self.data += block
        except OSError as error:
            self.error = error

    def has(self, count):
        """Waits until it has taken so many bytes."""
        end = time.monotonic() + 10
        while len(self.data) < count:
            check(time.monotonic() < end, f"the server has {len(self.data)} bytes of {count}; {self.error}")
            time.sleep(0.0005)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def carries(proxy):
    """Whether the kernel has the connection, or must not have it."""
    return "off" in proxy.flags or proxy.gauges()["flows_offloaded"] != 0


class Bulk(ScriptedClient):
    """A client that has sent enough to be carried, and knows all numbers of its connection."""

    def __init__(self, lab, family, stamps):
        super().__init__(lab, family, PORT)
        self.stamps = stamps
        self.at, self.tsval, self.sent = random.getrandbits(32), 1000, bytearray()
        self.ack = self.tsecr = 0

    def options(self):
        return [*STAMPS, ("Timestamp", (self.tsval, self.tsecr))] if self.stamps else []

    def segment(self, flags="A", ahead=0, acks=0, payload=b"", **fields):
        return self.frame(flags, (self.at + ahead) & 0xffffffff, (self.ack + acks) & 0xffffffff,
                          fields.pop("options", self.options()), payload, **fields)

    def connect(self):
        offer = [("MSS", 1460), ("NOP", None), ("WScale", 7)] + ([("NOP", None), ("NOP", None), ("Timestamp", (self.tsval, 0))]
                                                                if self.stamps else [])
        reply = self.syn(self.at, offer)
        self.at, self.ack = (self.at + 1) & 0xffffffff, (reply[TCP].seq + 1) & 0xffffffff
        if self.stamps:
            self.tsecr = option(reply, "Timestamp")[0]
        self.raw.send(self.segment())

    def next_piece(self, size=PIECE):
        payload = random.randbytes(size)
        frame = self.segment("PA", payload=payload)
        self.at = (self.at + size) & 0xffffffff
        self.sent += payload
        return bytes(frame)

    def say(self, sink, size=10):
        self.raw.send(self.next_piece(size))
        sink.has(len(self.sent))

    def bring(self, sink, proxy):
        """Sends so much in so short a time that the connection is given to the kernel."""
        self.say(sink)
        for _ in range(20):
            begun = len(self.sent)
            for frame in [self.next_piece() for _ in range(BULK // PIECE)]:
                self.raw.send(frame)
                begun += PIECE
                sink.has(begun - BURST * PIECE)  # what is under way fits into the server's first window
            sink.has(begun)
            if carries(proxy):
                return self.raw.drain()
        check(False, "the connection was not given to the kernel")
        return None


def with_ip(client, frame, **fields):
    layer = frame[IPv6] if client.family == 6 else frame[IP]
    for name, value in fields.items():
        setattr(layer, name, value)
    return frame


def fragment(client):
    whole = client.segment(ahead=-PIECE, payload=b"f" * 64)
    if client.family == 6:
        return Ether(bytes(whole)[:14]) / IPv6(src=whole[IPv6].src, dst=whole[IPv6].dst) / \
            IPv6ExtHdrFragment(nh=6, m=1, id=9) / Raw(bytes(whole[TCP])[:64])
    return with_ip(client, whole, flags="MF")


def ip_options(client):
    whole = client.segment(ahead=-PIECE, payload=b"o" * 8)
    if client.family == 6:
        return Ether(bytes(whole)[:14]) / IPv6(src=whole[IPv6].src, dst=whole[IPv6].dst) / \
            IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]) / whole[TCP]
    return with_ip(client, whole, options=[IPOption(b"\x94\x04\x00\x00")])


def other_mac(client):
    frame = client.segment(ahead=-PIECE, payload=b"m" * 9)
    frame[Ether].src = "02:00:00:00:00:99"
    return frame


def tagged(client):
    frame = client.segment(ahead=-PIECE, payload=b"t" * 9)
    return Ether(src=frame.src, dst=frame.dst) / Dot1Q(vlan=5) / frame.payload


def too_long(client):
    frame = client.segment(ahead=-PIECE, payload=b"l" * 9)
    length = {"plen": 2000} if client.family == 6 else {"len": 2000}
    return with_ip(client, frame, **length)


def too_short(client):
    frame = client.segment(ahead=-PIECE, payload=b"s" * 9)
    length = {"plen": 19} if client.family == 6 else {"len": 39}
    return with_ip(client, frame, **length)


def padded(client):
    return client.segment(ahead=-PIECE, payload=b"p" * 9) / Padding(bytes(500))


def plain(flags="A", ahead=0, acks=0, size=0, **fields):
    return lambda client: client.segment(flags, ahead, acks, b"x" * size, **fields)


# What is forged, and how. What lies behind -PIECE has arrived before, so that it changes nothing at the server.
ROWS = (
    ("data that came before", plain(ahead=-PIECE, size=100)),
    ("data in the window with a wrong checksum", plain(size=100, chksum=0x1234)),
    ("data ahead with a wrong checksum", plain(ahead=3000, size=100, chksum=0x4321)),
    ("data far out of the window", plain(ahead=1 << 30, size=100)),
    ("data far behind", plain(ahead=-(1 << 30), size=100)),
    ("an acknowledgment of what nobody has sent", plain(acks=20_000)),
    ("one with a wrong checksum", plain(acks=20_000, chksum=0x1111)),
    ("one that is far out", plain(acks=1 << 30)),
    ("an old acknowledgment", plain(acks=-(1 << 30))),
    ("a RST out of the window", plain("R", ahead=1 << 30)),
    ("a SYN on the tuple", plain("S", ahead=5000)),
    ("a SYN-ACK on the tuple", plain("SA")),
    ("SYN and FIN", plain("SF")),
    ("no flags", plain(0)),
    ("all flags", plain("FSRPAUEC")),
    ("a FIN with a wrong checksum", plain("FA", chksum=0x2222)),
    ("a FIN ahead with a wrong checksum", plain("FA", ahead=7000, chksum=0x2222)),
    ("data with URG that came before", plain("AU", ahead=-PIECE, size=10, urgptr=5)),
    ("a reserved bit", plain("A", ahead=-PIECE, size=10, reserved=1)),
    ("ECE and CWR", plain("AEC", ahead=-PIECE, size=10)),
    ("a keepalive", plain(ahead=-1)),
    ("a keepalive with a byte", plain(ahead=-1, size=1)),
    ("TCP header of 16 bytes", plain(ahead=-PIECE, size=40, dataofs=4)),
    ("TCP header of 24 bytes", plain(ahead=-PIECE, size=40, dataofs=6, options=[])),
    ("TCP header of 60 bytes", plain(ahead=-PIECE, size=40, dataofs=15, options=[])),
    ("TCP header longer than the packet", plain(dataofs=15, options=[])),
    ("SACK blocks of nothing", plain(options=[("NOP", None), ("NOP", None), ("SAck", (5, 10))])),
    ("timestamps in another place", plain(options=[("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)])),
    ("timestamps of zero", plain(ahead=-PIECE, size=5, options=[*STAMPS, ("Timestamp", (0, 0))])),
    ("a window larger than any before", plain(window=65535)),
    ("a closed window", plain(window=0)),
    ("a fragment", fragment), ("IP options", ip_options), ("another MAC address", other_mac), ("a tag", tagged),
    ("an IP length behind the end", too_long), ("an IP length within the TCP header", too_short),
    ("much padding", padded),
    # The last one: the proxy then asks both ends, and has the connection back.
    ("a RST in the window", plain("R", ahead=500)),
)


def options_seen(client, first, tcp):
    """Echoed numbers as the client has sent them: `first` shows what has been added to them."""
    added = {"SAck": first[TCP].ack - client.ack, "Timestamp": (option(first, "Timestamp") or (0, 0))[1] - client.tsecr}
    for name, value in tcp.options:
        if name == "SAck":
            value = tuple((edge - added[name]) & 0xffffffff for edge in value)
        if name == "Timestamp" and value[1] != 0:
            echo = (value[1] - added[name]) & 0xffffffff
            value = value[0], "of the SYN-ACK" if echo == client.tsecr else echo
        yield name, value


def as_seen(client, first, frame):
    """What of a frame at the server does not depend on random numbers of the connection; None: not of this client."""
    packet = Ether(frame)
    if TCP not in packet or packet[TCP].sport != client.source_port:
        return None
    tcp = packet[TCP]
    if Dot1Q in packet:
        return len(frame), str(tcp.flags)  # another connection, whose numbers are not known
    seq = ((tcp.seq - client.at + (1 << 31)) & 0xffffffff) - (1 << 31)
    ack = (tcp.ack - first[TCP].ack) & 0xffffffff if tcp.flags & 0x10 else None
    if tcp.window == 0 and seq in (-1, -1 - OWN):
        return None  # a keepalive of the proxy
    return (len(frame), str(tcp.flags), seq, ack, tcp.window, payload_length(packet), tcp.dataofs, tcp.urgptr,
            list(options_seen(client, first, tcp)), checksums_hold(packet))


def until_marker(client, server):
    """What reaches the server before a frame of nobody's protocol, which goes through the proxy behind all others."""
    before = []
    # What the proxy makes leaves behind what it passes on of the same burst, perhaps behind the first marker.
    for _ in range(2):
        marker = bytes.fromhex((client.server_mac + client.client_mac).replace(":", "")) + b"\x88\xb5" + random.randbytes(46)
        client.raw.send(marker)
        for frame in server.frames(10):
            if frame == marker:
                break
            before.append(frame)
        else:
            check(False, "the marker has not arrived")
    return before


def fates(stand, family, stamps, rows):
    """Of each row: what has reached the server. A row is a sentence, and how to send it (client)."""
    lab, result = stand.lab, {}
    with Sink(lab, family) as sink, RawPort(lab, "server") as server, Bulk(lab, family, stamps) as client:
        client.connect()
        client.bring(sink, stand.proxy)
        server.drain()
        client.say(sink)
        first = next(p for p in map(Ether, server.frames(5)) if TCP in p and p[TCP].sport == client.source_port)
        server.drain()
        with stand.proxy.counting() as grown:
            for what, send in rows:
                if not carries(stand.proxy):  # the test stood still, and the proxy took the silence for the end of the bulk
                    client.bring(sink, stand.proxy)
                    server.drain()
                send(client)
                # It shows that the connection stands, and keeps it in the kernel.
                client.say(sink, OWN)
                # In no order: what the kernel carries overtakes what the proxy passes on.
                arrived = until_marker(client, server)
                result[what] = sorted(str(one) for one in (as_seen(client, first, frame) for frame in arrived) if one)
        equal((bytes(sink.data) == bytes(client.sent), sink.error), (True, None), "what the server has got")
        client.raw.send(client.segment("RA"))
    return result, grown["segment_offloaded"]


def same_fates(rows, kinds, least, up=()):
    """`kinds`: families, and whether they have timestamps; `least`: segments that the kernel must have carried."""
    results, carried = {}, {}
    for mode in ("auto", "off"):
        with Stand("--flow-offload", mode, offer=["--sack-perm", "--timestamp", "--wscale", "7", "--mss", "1440"],
                   up=up) as stand:
            for family, stamps in kinds:
                result, carried[mode, family] = fates(stand, family, stamps, rows)
                results |= {(mode, family, what): fate for what, fate in result.items()}
            if mode == "auto":
                stand.proxy.returns_to_start()
    wrong = [f"{what} (IPv{family}): {fate}, without {results['off', family, what]}"
             for (mode, family, what), fate in results.items() if fate != results["off", family, what]]
    check(not wrong, "\n     ".join([f"{len(wrong)} rows:", *wrong[:5]]))
    check(all(count == 0 if mode == "off" else count >= least for (mode, _), count in carried.items()), f"{carried}")
    return f"{len(rows)} rows; of all that the kernel carried {' and '.join(str(n) for n in carried.values() if n)} segments"


@case(90)
@own_stand
def forged_segments_fare_as_without_the_kernel(_):
    def twice(build):
        def send(client):
            frame = bytes(build(client))
            client.raw.send(frame)
            client.raw.send(frame)
        return send

    # What follows each row and its acknowledgment, but for some that the proxy answers.
    return same_fates([(what, twice(build)) for what, build in ROWS], ((4, True), (6, False)), 1.5 * len(ROWS))


# What is wrong with a super-frame; bytes of its payload, length field (None: the right one), bytes of a segment.
SUPER_ROWS = (
    ("nothing", 5000, None, 1000),
    ("the length is that of the headers", 5000, 52, 1000),
    ("the length is that of less payload", 5000, 2052, 1000),
    ("the length is that of more payload", 5000, 9000, 1000),
    ("segments of one byte", 3000, None, 1),
    ("segments that are longer than the link carries", 5000, None, 3000),
)


def super_frame(size, length, segment):
    """Sends a super-frame of what the server has got already, as a kernel leaves it to a card."""
    def sum_of(words):
        total = sum(struct.unpack(f"!{len(words) // 2}H", words))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        return total

    def send(client):
        frame = bytearray(bytes(client.segment(ahead=-9000, payload=bytes(client.sent[-9000:][:size]))))
        struct.pack_into("!H", frame, 50, sum_of(bytes(frame[26:34]) + struct.pack("!HH", 6, len(frame) - 34)))
        struct.pack_into("!H", frame, 16, length or len(frame) - 14)
        struct.pack_into("!H", frame, 24, 0)
        struct.pack_into("!H", frame, 24, ~sum_of(bytes(frame[14:34])) & 0xffff)
        # struct virtio_net_hdr: a checksum is due, TCP over IPv4.
        header = struct.pack("<BBHHHH", 1, 1, 66, segment, 34, 16)
        with client.lab.sockets_in("client"), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as link:
            link.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            link.bind(("eth0", 0))
            link.send(header + frame)
    return send


@case(60)
@own_stand
def forged_super_frames_fare_as_without_the_kernel(_):
    return same_fates([(f"wrong: {what}", super_frame(*how)) for what, *how in SUPER_ROWS], ((4, True),), 10, ("--offloads",))
