# SPDX-License-Identifier: BSD-3-Clause
"""Clients that are far away: what a connection costs in round trips, and how a download gets on."""
import contextlib
import hashlib
import os
import re
import socket
import statistics
import threading
import time

from scapy.layers.inet import TCP

from clients import MB, sha_of
from harness import SERVERS, Lab, case, check, equal, far, own_stand, rounds, wait_for
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
    """Counts the client's flights before the first byte of data came. A flight is all that it sends between two
    arrivals, and costs a round trip. Also says whether the request left before anything but the SYN-ACK had come."""
    count, sending, arrived, request_after, seen = 0, False, 0, None, set()
    for outgoing, packet in segments:
        if outgoing:
            name = packet[TCP].seq, str(packet[TCP].flags), payload_length(packet)
            if name in seen and (name[2] or "S" in name[1]):
                continue  # repeated by a timer: a slow machine
            seen.add(name)
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
@far
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
        felt = []
        for _ in range(rounds(1, 5)):
            for name, way in ways.items():
                with way(lab) as proxy, Trace(lab, "client", 80) as trace:
                    first_byte(lab, 4)  # both ends know their neighbours now
                    for _ in range(3):
                        took, source = first_byte(lab, 4)
                        times[name].append(took)
                        sent[name].append(flights(trace.take(source)))
                    if name == "synproxy":
                        # They are gathered once a second.
                        wait_for("four clients are counted",
                                 lambda proxy=proxy: proxy.stat()["felt"][0]["first_byte_ms"]["count"] >= 4, 5)
                        felt.append(proxy.stat()["felt"][0])
    rows = "".join(f"\n     {name:26} {statistics.median(times[name]):6.1f} ms ({min(times[name]):.1f} to "
                   f"{max(times[name]):.1f}, {len(times[name])} connections), client flights "
                   f"{sorted({number for number, _ in sent[name]})}" for name in ways)
    print(f"     50 ms each way between client and proxy, SYN to first byte, medians:{rows}")
    # Of one connection, the client may have been stopped between its ACK and its request.
    for name, number in wanted.items():
        equal(statistics.median(count for count, _ in sent[name]), number, f"client flights before the first byte, {name}")
    for one in felt:
        equal((one["service"], one["handshake_ms"]["count"], one["first_byte_ms"]["count"]), ("all", 4, 4),
              "what clients felt")
        # A range of the histogram begins behind 100 ms, and one ends there.
        check(75 < one["handshake_ms"]["p50"] <= 150 and one["first_byte_ms"]["p50"] < 75, f"what clients felt: {one}")
    equal(statistics.median(after for _, after in sent["synproxy"]), 1, "segments that came before the request left")


def tcp_counters(lab, role):
    """The counters of that namespace's kernel: all of Tcp and TcpExt."""
    found = {}
    for path in ("/proc/net/snmp", "/proc/net/netstat"):
        lines = lab.must(role, "cat", path).splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            if names.startswith(("Tcp:", "TcpExt:")):
                found.update(zip(names.split()[1:], map(int, values.split()[1:])))
    return found


class SocketSample(threading.Thread):
    """The state of the server's socket, as ss shows it while its first data is on the way."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.lab, self.first, self.stop = lab, "", threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.join()

    def run(self):
        while not self.stop.is_set():
            shown = self.lab.run("server", "ss", "-Htni", "state", "established", "sport = :80").out
            if "bytes_sent:" in shown:
                wanted = ("rto", "rtt", "minrtt", "cwnd", "pacing_rate")
                found = {name: re.search(rf"\b{name}[: ](\S+)", shown) for name in wanted}
                self.first = " ".join(f"{name} {match.group(1)}" for name, match in found.items() if match)
                return
            self.stop.wait(0.005)


def fetch(lab, family, path):
    """Seconds from the SYN to the last byte; the SHA-256 of what came."""
    with lab.sockets_in("client"):
        client = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET)
    data = bytearray()
    with client:
        client.settimeout(60)
        begin = time.monotonic()
        client.connect((SERVERS[family], 80))
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        while block := client.recv(1 << 18):
            data += block
        took = time.monotonic() - begin
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    check(b" 200 " in head[:20], f"answer {head[:60]}")
    return took, hashlib.sha256(body).hexdigest()


RESENT = ("RetransSegs", "TCPTimeouts", "TCPSpuriousRTOs", "TCPLossProbes", "TCPDSACKRecv")


def measured_download(lab, name, rtt):
    # The counters are those of the namespace, so the last close must have been acknowledged.
    settled = 0.05 + rtt / 1e3
    time.sleep(settled)
    before = tcp_counters(lab, "server")
    with SocketSample(lab) as sample:
        took, digest = fetch(lab, 4, "/far.bin")
    time.sleep(settled)
    after = tcp_counters(lab, "server")
    equal(digest, sha_of(os.path.join(lab.nginx, "www", "far.bin")), f"SHA-256 of the download, {name}")
    return {"s": took, "sample": sample.first, **{key: after[key] - before[key] for key in RESENT}}


def downloads(congestion, rtt, ways, count, **wire):
    """A table of downloads of 1 MB, interleaved."""
    got = {name: [] for name in ways}
    size = wire.pop("size", MB)
    with Lab("--between", "client") as lab, link(lab, delay=rtt / 2, **wire), \
            lab.sysctl("server", tcp_no_metrics_save=1):
        # Set it by route: the sysctl of a namespace takes only what the whole machine allows to everybody.
        lab.must("server", "ip", "route", "change", "10.0.0.0/24", "dev", "eth0", "src", SERVERS[4], "scope", "link",
                 "proto", "kernel", "congctl", congestion)
        if not has_kernel_synproxy(lab):
            got.pop("kernel SYNPROXY", None)
        lab.page_file("far.bin", size)
        for _ in range(count):
            for name in got:
                with ways[name](lab):
                    first_byte(lab, 4)
                    got[name].append(measured_download(lab, name, rtt))
    rows = "".join(
        f"\n     {congestion:5} {rtt:3} ms  {name:24} {statistics.median(run['s'] for run in runs):6.2f} s  " +
        "  ".join(f"{key} {'/'.join(str(run[key]) for run in runs)}" for key in RESENT) +
        f"  first: {runs[0]['sample']}" for name, runs in got.items())
    print(f"     {size >> 20} MB, medians of {count}:{rows}", flush=True)
    return got


@contextlib.contextmanager
def synproxy_that_has_learned(lab):
    """After a download."""
    with synproxy()(lab) as proxy:
        for _ in range(5):  # one that something else has slowed down shows nothing
            fetch(lab, 4, "/far.bin")
            if proxy.counters()["service_crawls"]:
                break
        equal(proxy.counters()["service_crawls"], 1, "services that were seen to crawl")
        yield proxy


HIDING = "synproxy --hide-rtt"
LEARNED = "synproxy, later"
FAR_WAYS = {"direct (kernel bridge)": bridge, "kernel SYNPROXY": kernel_synproxy, "synproxy": synproxy(),
            HIDING: synproxy("--hide-rtt")}


def shortest_sample(run):
    """The round trip in milliseconds, as the server's kernel knows it while its answer is under way; None: it has
    none yet."""
    found = re.search(r"minrtt (\S+)", run["sample"])
    return float(found.group(1)) if found else None


def congestion_controls():
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii") as known:
        return [name for name in known.read().split() if name in ("cubic", "bbr")]


@case(300)
@far
@own_stand
def downloads_by_distant_clients(_):
    seen = 0
    for congestion in congestion_controls():
        for rtt in rounds((100,), (20, 100, 300)):
            for run in downloads(congestion, rtt, FAR_WAYS, rounds(1, 5))[HIDING]:
                sample = shortest_sample(run)
                check(sample is None or sample >= rtt, f"{HIDING}: the server measured {sample} ms where the client is "
                                                       f"{rtt} ms away: {run['sample']}")
                seen += bool(run["sample"])  # on a slow machine ss may come too late
    check(seen, "ss never showed the server's socket")


@case(240)
@far
@own_stand
def longer_download_from_a_server_that_uses_bbr(_):
    if "bbr" not in congestion_controls():
        return "this kernel has no BBR"
    # The first download crawls for ten seconds at most, and shows the proxy that it does.
    ways = {**FAR_WAYS, LEARNED: synproxy_that_has_learned}
    del ways["synproxy"]
    for rtt in rounds((20,), (20, 100, 300)):
        for run in downloads("bbr", rtt, ways, rounds(1, 5), size=16 * MB)[LEARNED]:
            sample = shortest_sample(run)
            check(sample is None or sample >= rtt, f"the server measured {sample} ms: {run['sample']}")
    return None
