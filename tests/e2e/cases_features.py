# SPDX-License-Identifier: BSD-3-Clause
"""What real stacks do beyond plain TCP: ECN, Fast Open, Multipath TCP, signatures, keepalives, long half-closes."""
import contextlib
import os
import socket
import struct
import threading
import time

from scapy.layers.inet import TCP

from clients import MB, download, must_get_page, upload
from harness import CLIENTS, SERVERS, Stand, case, check, equal, own_stand, wait_for
from wire import Trace, payload_length

IPPROTO_MPTCP = 262
OPTION_MPTCP, OPTION_FAST_OPEN = 30, 34
TCP_FASTOPEN = 23
TCP_MD5SIG = 14
MSG_FASTOPEN = 0x20000000


def kind(family):
    return socket.AF_INET6 if family == 6 else socket.AF_INET


@contextlib.contextmanager
def answering(lab, family, port, answer, protocol=0, signed=False, **options):
    """A server for one connection at a time: answer(connection) in a thread."""
    with lab.sockets_in("server"):
        server = socket.socket(kind(family), socket.SOCK_STREAM, protocol)
    with server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for option, value in options.items():
            server.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        if signed:
            sign(server, family, CLIENTS[family])
        server.bind((SERVERS[family], port))
        server.listen(16)
        server.settimeout(60)

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as connection:
                        connection.settimeout(60)
                        answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def client_socket(lab, family, protocol=0):
    with lab.sockets_in("client"):
        client = socket.socket(kind(family), socket.SOCK_STREAM, protocol)
    client.settimeout(30)
    return client


def read_all(connection):
    data = bytearray()
    while block := connection.recv(1 << 18):
        data += block
    return bytes(data)


def echo_until_closed(connection):
    connection.sendall(read_all(connection))


def option_kinds(packet):
    """Kinds of the TCP options, read from the bytes: scapy has no names for the newer ones."""
    raw = bytes(packet[TCP])[20:packet[TCP].dataofs * 4]
    kinds, at = [], 0
    while at < len(raw) and raw[at] != 0:
        kinds.append(raw[at])
        at += 1 if raw[at] == 1 else max(2, raw[at + 1])
    return kinds


def first(segments, outgoing, flags, what):
    for way, packet in segments:
        if way == outgoing and packet[TCP].flags & 0x3f == flags:
            return packet
    check(False, f"{what} was not seen")
    return None


SYN, SYN_ACK = 0x02, 0x12
ECE, CWR = 0x40, 0x80


@case(90)
@own_stand
def ecn_is_negotiated_and_marks_are_echoed(_):
    with Stand() as stand:
        ecn_both_ways(stand.lab)


def ecn_both_ways(lab):
    mark = "ip ecn ect0 tcp dport 80 numgen inc mod 20 == 5 ip ecn set ce; " \
           "ip ecn ect0 tcp sport 80 numgen inc mod 20 == 5 ip ecn set ce; " \
           "ip6 ecn ect0 tcp dport 80 numgen inc mod 20 == 5 ip6 ecn set ce; " \
           "ip6 ecn ect0 tcp sport 80 numgen inc mod 20 == 5 ip6 ecn set ce"
    rules = mark.replace("; ", "\n")
    with lab.sysctl("client", tcp_ecn=1), lab.sysctl("server", tcp_ecn=1):
        for family in (4, 6):
            for _ in range(8):  # show the proxy that all behind this address do ECN
                download(lab, family, 1000)
            with Trace(lab, "client", 80) as client, Trace(lab, "server", 80) as server, \
                    lab.filter("client", rules), lab.filter("server", rules):
                download(lab, family, MB // 4)
                upload(lab, family, MB // 4)
                at_client, at_server = client.take(), server.take()
            equal(first(at_client, False, SYN_ACK, "the proxy's SYN-ACK")[TCP].flags & (ECE | CWR), ECE,
                  f"ECE and CWR of the proxy's SYN-ACK over IPv{family}")
            equal(first(at_server, False, SYN, "the SYN to the server")[TCP].flags & (ECE | CWR), ECE | CWR,
                  f"ECE and CWR of the SYN to the server over IPv{family}")
            for name, segments in (("client", at_client), ("server", at_server)):
                for outgoing, direction in ((True, "from"), (False, "to")):
                    seen = [packet[TCP] for way, packet in segments if way == outgoing and not packet[TCP].flags & 2]
                    check(any(tcp.flags & ECE for tcp in seen), f"no ECE {direction} the {name} over IPv{family}")
                    check(any(tcp.flags & CWR for tcp in seen), f"no CWR {direction} the {name} over IPv{family}")


@case(60)
def fast_open_client_falls_back(stand):
    lab, question = stand.lab, os.urandom(600)
    notes = []
    # 1 asks for a cookie with its first SYN; 5 sends data on the SYN without a cookie.
    for level, family in ((1, 4), (1, 6), (5, 4), (5, 6)):
        with lab.sysctl("client", tcp_fastopen=level), lab.sysctl("server", tcp_fastopen=3), \
                answering(lab, family, 8010, echo_until_closed, TCP_FASTOPEN=16), \
                Trace(lab, "client", 8010) as at_client, Trace(lab, "server", 8010) as at_server, \
                client_socket(lab, family) as client:
            client.settimeout(None)  # without a cookie it connects first, and a call with a time limit gives up
            client.sendto(question, MSG_FASTOPEN, (SERVERS[family], 8010))
            client.settimeout(30)
            client.shutdown(socket.SHUT_WR)
            equal(read_all(client), question, f"what came back over IPv{family}")
            near, far = at_client.take(), at_server.take()
        syn = first(near, True, SYN, "the client's SYN")
        check(OPTION_FAST_OPEN in option_kinds(syn) or payload_length(syn), "this client does not try Fast Open")
        notes.append(payload_length(syn))
        equal(OPTION_FAST_OPEN in option_kinds(first(near, False, SYN_ACK, "the SYN-ACK")), False, "Fast Open offered")
        to_server = first(far, False, SYN, "the SYN to the server")
        equal((OPTION_FAST_OPEN in option_kinds(to_server), payload_length(to_server)), (False, 0),
              "Fast Open and data on the SYN to the server")
    return f"bytes on the client's SYN: {notes}"


@case(60)
def multipath_client_falls_back(stand):
    lab, question = stand.lab, os.urandom(200000)
    for family in (4, 6):
        try:
            client = client_socket(lab, family, IPPROTO_MPTCP)
        except OSError as why:
            return f"not shown: this kernel has no Multipath TCP ({why})"
        with client, answering(lab, family, 8011, echo_until_closed, IPPROTO_MPTCP), \
                Trace(lab, "client", 8011) as at_client, Trace(lab, "server", 8011) as at_server:
            client.connect((SERVERS[family], 8011))
            client.sendall(question)
            client.shutdown(socket.SHUT_WR)
            equal(read_all(client), question, f"what came back over IPv{family}")
            near, far = at_client.take(), at_server.take()
        check(OPTION_MPTCP in option_kinds(first(near, True, SYN, "the client's SYN")),
              "this client does not try Multipath TCP")
        equal(OPTION_MPTCP in option_kinds(first(near, False, SYN_ACK, "the SYN-ACK")), False, "MPTCP in the SYN-ACK")
        equal([packet.summary() for _, packet in far if OPTION_MPTCP in option_kinds(packet)], [],
              "segments with an MPTCP option on the server's side")
    return None


def sign(endpoint, family, peer):
    """RFC 2385: every segment to and from that address carries an MD5 digest of its addresses and numbers."""
    address = socket.inet_pton(kind(family), peer)
    name = struct.pack("=HH4s", socket.AF_INET, 0, address) if family == 4 else \
        struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, address, 0)
    key = b"a secret of both ends"
    endpoint.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG,
                        name.ljust(128, b"\0") + struct.pack("=BBHI", 0, 0, len(key), 0) + key.ljust(80, b"\0"))


def signed_client(lab, family, limit):
    client = client_socket(lab, family)
    client.settimeout(limit)
    sign(client, family, SERVERS[family])
    return client


@case(90)
@own_stand
def signed_connections_are_refused_or_let_by(_):
    with Stand() as stand:
        for family in (4, 6):
            try:
                client = signed_client(stand.lab, family, 3)
            except OSError as why:
                return f"not shown: this kernel has no TCP MD5 ({why})"
            with client, answering(stand.lab, family, 8014, echo_until_closed, signed=True), \
                    Trace(stand.lab, "server", 8014) as at_server, stand.proxy.counting() as grown:
                with contextlib.suppress(TimeoutError):
                    client.connect((SERVERS[family], 8014))
                    check(False, f"a signed connection over IPv{family} that nobody can translate")
                passed = at_server.take()
            check(grown["tcp_auth"] >= 2, f"SYN and repeat over IPv{family}: {grown['tcp_auth']} counted")
            equal([packet.summary() for _, packet in passed], [], "segments on the server's side")
    question = os.urandom(100000)
    with Stand("--tcp-auth", "forward") as stand:
        for family in (4, 6):
            with signed_client(stand.lab, family, 30) as client, \
                    answering(stand.lab, family, 8014, echo_until_closed, signed=True), \
                    stand.proxy.counting() as grown:
                client.connect((SERVERS[family], 8014))
                client.sendall(question)
                client.shutdown(socket.SHUT_WR)
                equal(read_all(client), question, f"what came back over IPv{family}")
            equal(grown["tcp_auth"], 0, "segments refused")
            check(grown["forwarded"] >= 20, f"{grown['forwarded']} segments forwarded")
            download(stand.lab, family, MB)  # the other ports are protected as usual
    return None


@case(60)
def keepalives_of_both_ends_are_answered(stand):
    lab = stand.lab

    def wait_with_keepalive(connection):
        keep_alive(connection)
        echo_until_closed(connection)

    for family in (4, 6):
        with answering(lab, family, 8012, wait_with_keepalive), Trace(lab, "client", 8012) as trace, \
                client_socket(lab, family) as client:
            client.connect((SERVERS[family], 8012))
            keep_alive(client)
            time.sleep(4.5)
            probes = trace.take()
            client.sendall(b"still here")
            client.shutdown(socket.SHUT_WR)
            equal(read_all(client), b"still here", f"what came back over IPv{family}")
        # A keepalive is an ACK one byte behind. The connection lives, so keepalives are answered: three in
        # three seconds without an answer would have ended it.
        opened = next(packet[TCP].seq for way, packet in probes if way and packet[TCP].flags & 2)
        for outgoing, who, start in ((True, "client", opened),
                                     (False, "server", next(packet[TCP].seq for way, packet in probes
                                                            if not way and packet[TCP].flags & 2))):
            sent = [packet for way, packet in probes
                    if way == outgoing and packet[TCP].seq == start and not packet[TCP].flags & 2]
            check(sent, f"no keepalive of the {who} reached the client's wire over IPv{family}")


def keep_alive(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3)):
        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


@case(90)
@own_stand
def half_closed_connection_outlives_the_idle_timeout(_):
    # For more than two of the proxy's idle timeouts, only the proxy's own keepalives pass.
    def late_answer(connection):
        question = read_all(connection)
        time.sleep(10)
        connection.sendall(b"late: " + question)

    with Stand("--idle-timeout", "4", lives=["--close-timeout", "2", "--epoch", "8"]) as stand:
        clients = {}
        with stand.proxy.counting() as grown, contextlib.ExitStack() as stack:
            for family in (4, 6):
                stack.enter_context(answering(stand.lab, family, 8013, late_answer))
                client = clients[family] = stack.enter_context(client_socket(stand.lab, family))
                client.connect((SERVERS[family], 8013))
                client.sendall(b"question")
                client.shutdown(socket.SHUT_WR)
            for family, client in clients.items():
                equal(read_all(client), b"late: question", f"what came over IPv{family}")
        check(grown["keepalive_probe"] >= 4, f"only {grown['keepalive_probe']} keepalives: it was never idle")
        return stand.proxy.returns_to_start(30)


@case()
@own_stand
def silent_clients_cannot_fill_the_table(_):
    with Stand("--max-flows", "200") as stand, contextlib.ExitStack() as stack:
        for n in range(200):
            family = 6 if n % 2 else 4
            client = stack.enter_context(client_socket(stand.lab, family))
            client.connect((SERVERS[family], 80))
        wait_for("the table is full", lambda: stand.proxy.gauges()["flows"] == 200, 20)
        time.sleep(6.5)
        with stand.proxy.counting() as grown:
            for _page in range(10):
                for family in (4, 6):
                    must_get_page(stand.lab, family)
        equal(grown["table_full"], 0, "refused clients")
        check(grown["flow_evicted"] >= 1, "no silent connection gave way")
