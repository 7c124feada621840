# SPDX-License-Identifier: BSD-3-Clause
"""Handshakes seen from the client's side of the wire, refusals, dead servers and restarts."""
import os
import random
import signal
import socket
import tempfile
import time

from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import Ether

from clients import MB, RESET, must_get_page, page, url
from harness import CLIENT4, SERVERS, Stand, case, check, equal, own_stand, wait_for
from wire import FULL_OPTIONS, ScriptedClient, checksums_hold, option


@case()
def syn_ack_offers_what_was_promised(stand):
    for family in (4, 6):
        with ScriptedClient(stand.lab, family) as client:
            isn = random.getrandbits(32)
            reply = client.syn(isn, FULL_OPTIONS)
        tcp, ip = reply[TCP], reply.payload
        equal(str(tcp.flags), "SA", "flags")
        equal(tcp.ack, (isn + 1) % 2**32, "acknowledgment")
        equal(option(reply, "MSS"), 1460, "MSS")
        equal(option(reply, "SAckOK"), b"", "SACK-permitted")
        equal(option(reply, "WScale"), 7, "window scale")
        equal(option(reply, "Timestamp")[1], 1000, "TSecr")
        check(tcp.window > 0, "the window is 0: the client may not send its request")
        equal((tcp.urgptr, tcp.reserved), (0, 0), "urgent pointer and reserved bits")
        equal((reply.src, reply.dst), (client.server_mac, client.client_mac), "MAC addresses")
        equal(ip.hlim if family == 6 else ip.ttl, 64, "hop limit")
        if family == 4:
            equal((str(ip.flags), ip.ihl, ip.tos), ("DF", 5, 0), "DF, IP header length, type of service")
        check(checksums_hold(reply), "a checksum of the SYN-ACK is wrong")


@case()
def syn_ack_offers_nothing_that_was_not_asked_for(stand):
    for family in (4, 6):
        with ScriptedClient(stand.lab, family) as client:
            names = {name for name, _ in client.syn(7, [("MSS", 1200)])[TCP].options}
            check(names <= {"MSS", "NOP", "EOL"}, f"offered {names} to a client that named only its MSS")
            # RFC 7323 section 2.2 and RFC 2018 section 2: only in answer to an offer.
            client.source_port += 1
            reply = client.syn(8, [("MSS", 1200), ("NOP", None), ("WScale", 2)])
            equal((option(reply, "WScale"), option(reply, "SAckOK"), option(reply, "Timestamp")),
                  (7, None, None), "window scale, SACK-permitted, timestamps")


@case()
def syn_sent_twice_gets_the_same_syn_ack(stand):
    for family in (4, 6):
        with ScriptedClient(stand.lab, family) as client:
            # Two in one epoch of 8 s: they may differ only if a boundary lies between them.
            for _ in range(3):
                first, second = (client.syn(99, FULL_OPTIONS)[TCP] for _ in range(2))
                if first.seq == second.seq:
                    break
                client.raw.drain()
        equal((second.seq, second.options), (first.seq, first.options), "the second SYN-ACK")


@case()
def isn_looks_random(stand):
    with ScriptedClient(stand.lab, 4) as client:
        isns = set()
        for port in range(40000, 40064):
            client.source_port = port
            isns.add(client.syn(1, FULL_OPTIONS)[TCP].seq)
    equal(len(isns), 64, "different ISNs of 64 connections")
    # RFC 6528: no bit may be the same in all of them, except the one that names the epoch. 64 equal bits have a chance
    # of 2^-63.
    same = [bit for bit in range(32) if len({isn >> bit & 1 for isn in isns}) == 1]
    check(len(same) <= 1, f"bits {same} of the ISN never change")


@case()
def cookie_expires(stand):
    with ScriptedClient(stand.lab, 4) as client:
        reply = client.syn(500, FULL_OPTIONS)
        for _ in client.answers(13):  # 1.5 epochs are 12 s; meanwhile the SYN-ACK is repeated
            pass
        with stand.proxy.counting() as grown:
            with stand.proxy.growing("cookie_invalid"):
                client.send("A", seq=501, ack=reply[TCP].seq + 1,
                            options=[("Timestamp", (1001, option(reply, "Timestamp")[0]))])
            client.silence()
    equal(grown["cookie_invalid"], 1, "cookie_invalid")


def open_connection(client, seq, *, payload=b""):
    """Makes a three-way handshake by hand, with timestamps; returns the proxy's SYN-ACK."""
    reply = client.syn(seq, FULL_OPTIONS)
    stamp = ("Timestamp", (1001, option(reply, "Timestamp")[0]))
    client.send("PA" if payload else "A", seq=seq + 1, ack=reply[TCP].seq + 1, options=[stamp], payload=payload)
    return reply


@case()
def page_by_hand_in_one_flight(stand):
    # The handshake's ACK carries the request: no extra round trip, and the numbers are those of the cookie.
    for family in (4, 6):
        with ScriptedClient(stand.lab, family) as client:
            reply = open_connection(client, 70000, payload=b"GET / HTTP/1.0\r\n\r\n")
            data = client.answer(wanted=lambda tcp: bytes(tcp.payload).startswith(b"HTTP/1.1 200"), what="the page")
            equal(data[TCP].seq, (reply[TCP].seq + 1) % 2**32, "sequence number of the page")
            check(checksums_hold(data), "a checksum of the page's segment is wrong")
            client.send("R", seq=70000 + 1 + 18, ack=0)


@case()
def path_mtu_message_reaches_the_server(stand):
    # The server accepts only an ICMP error that quotes one of its own sequence numbers.
    path = stand.lab.page_file("mtu.bin", MB)
    try:
        with ScriptedClient(stand.lab, 4) as client:
            open_connection(client, 80000, payload=b"GET /mtu.bin HTTP/1.0\r\n\r\n")
            big = client.answer(wanted=lambda tcp: len(tcp.payload) > 1000, what="a full segment")
            quote = bytes(big[IP])[:28]
            with stand.proxy.counting() as grown:
                client.raw.send(Ether(src=client.client_mac, dst=client.server_mac) / IP(src=CLIENT4, dst=SERVERS[4]) /
                                ICMP(type=3, code=4, nexthopmtu=800) / quote)
                client.answer(wanted=lambda tcp: 600 < len(tcp.payload) <= 760, what="a segment of the smaller size")
            client.send("R", seq=80000 + 1 + 25)
        equal(grown["icmp_translated"], 1, "icmp_translated")
    finally:
        os.unlink(path)
        stand.lab.run("server", "ip", "route", "flush", "cache")


@case()
def refusing_server_is_a_refusal_for_the_client(stand):
    for family in (4, 6):
        with stand.proxy.counting() as grown:
            got = page(stand.lab, family, port=8050)
        check(got["exit"] in RESET, f"curl ended with {got['exit']}, not with a reset")
        equal(grown["conn_refused"], 1, "conn_refused")
        # The next one is refused in its handshake, by the server itself.
        with stand.proxy.counting() as grown:
            got = page(stand.lab, family, port=8050)
        equal((got["exit"], got["connect_ms"]), (7, 0), "curl's exit code and time of connection")
        # Two for each SYN, of which there is another one if the answer takes a second.
        check(grown["asked"] >= 2 and grown["cookie_valid"] == 0, f"asked and cookie_valid: {grown}")
    return f"the second was told after {got['total_ms']:.0f} ms"


@case()
def firewall_that_says_no_is_a_refusal_too(stand):
    # The answer of firewalld by default. A direct client is told at once.
    for family in (4, 6):
        with stand.lab.filter("server", "tcp dport 80 reject with icmpx type admin-prohibited"):
            with stand.proxy.counting() as grown:
                got = page(stand.lab, family)
        check(got["exit"] in RESET, f"curl ended with {got['exit']}, not with a reset")
        equal((grown["conn_refused"], grown["conn_timed_out"]), (1, 0), "conn_refused and conn_timed_out")
        must_get_page(stand.lab, family)
    return f"told after {got['total_ms']:.0f} ms"


@case()
def dead_server_resets_the_client_and_may_come_back(stand):
    for family in (4, 6):
        must_get_page(stand.lab, family)
        with stand.lab.filter("server", "tcp dport 80 drop"):
            with stand.proxy.counting() as grown:
                got = page(stand.lab, family, limit=15)
            later = page(stand.lab, family, limit=1)
            equal((later["exit"], later["connect_ms"]), (28, 0), "exit code and time of connection of the next curl")
            check(got["exit"] in RESET, f"curl ended with {got['exit']}, not with a reset")
            equal(grown["conn_timed_out"], 1, "conn_timed_out")
            # Four fit into 3 s if each is sent in time.
            check(grown["syn_to_server_retrans"] >= 3, f"only {grown['syn_to_server_retrans']} repeats of the SYN")
        must_get_page(stand.lab, family)
    return f"told after {got['total_ms']:.0f} ms of --server-timeout 3"


@case()
def server_that_comes_back_in_time_still_serves(stand):
    # The first SYNs to the server are lost; the proxy's own timer repeats them.
    with stand.lab.filter("server", "tcp dport 80 drop"), stand.proxy.growing("syn_to_server_retrans"):
        client = stand.lab.start("client", "curl", "-s", "-f", "-o", "/dev/null", "-m", "10", url(4))
    code = client.process.wait(60)
    equal(code, 0, "curl's exit code")


@case()
@own_stand
def killed_and_restarted_with_its_secret_it_knows_its_cookies(_):
    with tempfile.NamedTemporaryFile(mode="wb") as secret:
        secret.write(os.urandom(32))
        secret.flush()
        os.chmod(secret.name, 0o600)
        with Stand("--secret-file", secret.name, lives=[]) as stand:
            must_get_page(stand.lab, 4)
            valid, _ = answer_after_restart(stand, "cookie_valid")
            equal(valid, 1, "cookie_valid of a cookie made before the restart")
            must_get_page(stand.lab, 4)
            must_get_page(stand.lab, 6)


@case()
@own_stand
def restarted_with_another_secret_it_refuses_old_cookies(_):
    with Stand(lives=[]) as stand:
        valid, invalid = answer_after_restart(stand, "cookie_invalid")
        equal((valid, invalid), (0, 1), "cookie_valid and cookie_invalid")
        must_get_page(stand.lab, 4)


@case()
@own_stand
def connections_older_than_the_proxy_are_reset_at_both_ends(_):
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    took = []
    with Stand(lives=[]) as stand:
        for family in (4, 6):
            with stand.lab.sockets_in("client"):
                old = socket.create_connection((SERVERS[family], 80), timeout=20)
            with old:
                old.sendall(request)
                check(b" 200 " in old.recv(65536), "no page before the restart")
                stand.proxy.stop(signal.SIGKILL)
                stand.proxy.start()
                began = time.monotonic()
                try:
                    old.sendall(request)
                    while old.recv(65536):
                        pass
                    check(False, "the old connection was closed, not reset")
                except ConnectionResetError:
                    took.append(time.monotonic() - began)
                except TimeoutError:
                    check(False, "the old connection hangs")
            must_get_page(stand.lab, family)
            # That of the page ends when the client's FIN has come.
            wait_for("the server believes in no connection", lambda: not stand.lab.must(
                "server", "ss", "-Htn", "state", "established", "sport", "=", ":80").strip(), 10)
    return f"told after {', '.join(f'{1e3 * t:.0f} ms' for t in took)}"


def answer_after_restart(stand, judgement):
    """A SYN before kill -9 and the restart, its ACK after them. `judgement`: the counter that tells that it has come."""
    with ScriptedClient(stand.lab, 4) as client:
        reply = client.syn(1234, FULL_OPTIONS)
        stand.proxy.stop(signal.SIGKILL)
        stand.proxy.start()
        with stand.proxy.growing(judgement):
            client.send("A", seq=1235, ack=reply[TCP].seq + 1,
                        options=[("Timestamp", (1001, option(reply, "Timestamp")[0]))])
        client.send("R", seq=1235)
    counters = stand.proxy.counters()
    return counters["cookie_valid"], counters["cookie_invalid"]
