# SPDX-License-Identifier: BSD-3-Clause
"""Clients that are far away: what a connection costs in round trips, and what a lossy way does to it."""
import contextlib
import socket
import statistics
import time

from harness import SERVERS, Lab, case, check, equal, own_stand, rounds
from ways import bridge, has_kernel_synproxy, kernel_synproxy, link, synproxy
from wire import Trace, payload_length

REQUEST = b"GET / HTTP/1.0\r\n\r\n"


def first_byte(lab, family, port=80):
    """Milliseconds from the SYN to the first byte of a page, and the client's port."""
    with lab.sockets_in("client"):
        client = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET)
    with client:
        client.settimeout(20)
        begin = time.monotonic()
        client.connect((SERVERS[family], port))
        client.sendall(REQUEST)
        check(client.recv(1), "the server said nothing")
        took = time.monotonic() - begin
        source = client.getsockname()[1]
        while client.recv(65536):
            pass
    return took * 1e3, source


def flights(segments):
    """How often the client had to send before the first byte of data came: a flight is all that it sends
    between two arrivals. Each costs a round trip. And whether the request left before anything but the
    SYN-ACK had come."""
    count, sending, arrived, request_after = 0, False, 0, None
    for outgoing, packet in segments:
        if outgoing:
            count += not sending
            if payload_length(packet) and request_after is None:
                request_after = arrived
        else:
            arrived += 1
            if payload_length(packet):
                return count, request_after
        sending = outgoing
    check(False, f"no data among {len(segments)} segments")
    return None


@case(120)
@own_stand
def time_to_first_byte_at_100_ms_round_trip(_):
    ways = {"direct (kernel bridge)": bridge, "kernel SYNPROXY": kernel_synproxy, "synproxy": synproxy(),
            "synproxy --early-window 0": synproxy("--early-window", "0")}
    wanted = {"direct (kernel bridge)": 2, "synproxy": 2, "synproxy --early-window 0": 3}
    with Lab("--between", "client") as lab, link(lab, delay=50):
        if not has_kernel_synproxy(lab):
            del ways["kernel SYNPROXY"]
        times = {name: [] for name in ways}
        sent = {name: [] for name in ways}
        for _ in range(rounds(2, 5)):
            for name, way in ways.items():
                with way(lab), Trace(lab, "client", 80) as trace:
                    first_byte(lab, 4)  # both ends know their neighbours now
                    for _ in range(3):
                        took, source = first_byte(lab, 4)
                        times[name].append(took)
                        sent[name].append(flights(trace.take(source)))
    rows = "".join(f"\n     {name:26} {statistics.median(times[name]):6.1f} ms ({min(times[name]):.1f} to "
                   f"{max(times[name]):.1f}, {len(times[name])} connections), client flights "
                   f"{sorted({number for number, _ in sent[name]})}" for name in ways)
    print(f"     50 ms each way between client and proxy, SYN to first byte, medians:{rows}")
    for name, number in wanted.items():
        equal({count for count, _ in sent[name]}, {number}, f"client flights before the first byte, {name}")
    equal({after for _, after in sent["synproxy"]}, {1}, "segments that came before the request left")
