# SPDX-License-Identifier: BSD-3-Clause
"""Pages under a flood, and what the server sees of the flood."""
import concurrent.futures
import contextlib
import os
import statistics
import threading
import time

from clients import MB, must_get_page, sha_of, url
from floods import flood, received_frames, sent_frames
from harness import CLIENT4, CLIENT6, Lab, Proxy, alone, case, check, equal, own_stand, wait_for

PAGES = 5    # side by side, at first and in the end
SAMPLES = 4  # looks at SYN_RECV meanwhile, at least


class SynRecv:
    """Samples the server's half-open connections while the block runs."""

    def __init__(self, lab):
        self.lab = lab
        self.spoofed = self.of_client = self.samples = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def sample(self):
        while not self.stop.is_set():
            peers = [line.split()[3].rsplit(":", 1)[0].strip("[]")
                     for line in self.lab.run("server", "ss", "-Htn", "state", "syn-recv").out.splitlines()]
            own = sum(1 for peer in peers if peer in (CLIENT4, CLIENT6, f"::ffff:{CLIENT4}"))
            self.of_client = max(self.of_client, own)
            self.spoofed = max(self.spoofed, len(peers) - own)
            self.samples += 1
            time.sleep(0.1)


def pages_arrive(stand, kind, family, counter, least):
    """Between the pages the proxy has counted so many packets of the flood."""
    lab, proxy = stand.lab, stand.proxy
    with flood(lab, kind, family) as report, concurrent.futures.ThreadPoolExecutor(PAGES) as clients:
        def connects():
            return [got["connect_ms"] for got in clients.map(lambda _: must_get_page(lab, family, limit=30), range(PAGES))]

        with SynRecv(lab) as half_open, proxy.counting() as grown:
            before, times = proxy.counters()[counter], connects()
            wait_for(f"{counter} grows by {least}, while SYN_RECV is watched",
                     lambda: half_open.samples >= SAMPLES and proxy.counters()[counter] > before + least, 20)
            times += connects()
    equal(half_open.spoofed, 0, "half-open connections of spoofed addresses on the server")
    return (f"{len(times)} of {len(times)} pages, connected in {statistics.median(times):.1f} ms, worst {max(times):.1f} ms; "
            f"{report['rate']:.0f} frames/s; SYN_RECV 0 in {half_open.samples} samples"), grown, len(times)


@case(60)
@alone
@own_stand
def without_a_proxy_the_flood_shows_on_the_server(_):
    # A control for the cases below: without a proxy the flood reaches the server, which has thousands of half-open
    # connections.
    with Lab() as lab:
        equal(lab.command("bridge", "on").code, 0, "bridge on")
        for kind, family in (("hping3", 4), ("syn", 6)):
            with flood(lab, kind, family), SynRecv(lab) as half_open:
                wait_for(f"SYN_RECV under {kind} over IPv{family}, else this lab cannot show any",
                         lambda half_open=half_open: half_open.spoofed, 10)
        return f"SYN_RECV up to {half_open.spoofed}"


@case(120)
@alone
def every_page_arrives_under_hping3(stand):
    return pages_arrive(stand, "hping3", 4, "synack_sent", 5000)[0]


@case(120)
@alone
def every_page_arrives_under_a_syn_flood_over_ipv6(stand):
    return pages_arrive(stand, "syn", 6, "synack_sent", 5000)[0]


@case(120)
@alone
def every_page_arrives_under_a_flood_of_forged_acks(stand):
    notes = []
    for family in (4, 6):
        note, grown, pages = pages_arrive(stand, "ack", family, "cookie_invalid", 10000)
        # A forgery passes with a chance of at most 2^-24: of some hundred thousands, one may pass.
        check(grown["cookie_valid"] <= pages + 2, f"{grown['cookie_valid']} ACKs passed, {pages} were genuine")
        notes.append(note)
    return "; ".join(notes)


@case(60)
@alone
def forged_acks_syn_acks_and_resets_cost_no_state_and_reach_nobody(stand):
    # All at once, at the rate that the senders and the link give: no record is made, the server hears nothing but a few
    # keepalives (--unknown reset: 16 a second after the first 256), and nobody gets an answer.
    def enough(first, now):
        return all(now[name] > first[name] + 2000 for name in ("cookie_invalid", "syn_ack_client", "no_flow_client"))

    lab = stand.lab
    kinds = (("hping3 -A", 4), ("hping3 -S -A", 4), ("hping3 -R", 4), ("ack", 6))
    with contextlib.ExitStack() as floods:
        for kind, family in kinds:
            floods.enter_context(flood(lab, kind, family, met=kind != "hping3 -A"))
        with stand.proxy.counting() as grown:
            first = stand.proxy.counters()
            begun, before, sent = time.monotonic(), [received_frames(lab, end) for end in ("server", "client")], sent_frames(lab)
            time.sleep(0.5)
            wait_for("forgeries of each kind are judged", lambda: enough(first, stand.proxy.counters()), 20)
            seconds, sent = time.monotonic() - begun, sent_frames(lab) - sent
            to_server, to_client = (received_frames(lab, end) - was for end, was in zip(("server", "client"), before))
    check(to_server < 256 + 16 * seconds + 50, f"{to_server} frames reached the server")
    check(to_client < 50, f"{to_client} frames came back")
    check(grown["conn_established"] <= 2, f"{grown['conn_established']} connections")
    return f"{sent / seconds:.0f} frames/s: {to_server} to the server, {to_client} back in {seconds:.1f} s"


@case(120)
@alone
def download_begun_before_the_flood_goes_on(stand):
    lab = stand.lab
    must_get_page(lab, 4)
    path = lab.page_file("during.bin", 30 * MB)
    copy = os.path.join(lab.nginx, "during.copy")
    try:
        with lab.start("client", "curl", "-sS", "-f", "-m", "90", "--limit-rate", "20M", "-o", copy,
                       url(4, "/during.bin")) as client:
            wait_for("the download has begun", lambda: os.path.exists(copy) and os.path.getsize(copy) > 0, 20)
            with flood(lab, "hping3", 4, met=True) as report:
                client.process.wait(90)
        equal(client.process.returncode, 0, "curl's exit code")
        equal(sha_of(copy), sha_of(path), "SHA-256 of the download")
    finally:
        for name in (path, copy):
            if os.path.exists(name):
                os.unlink(name)
    return f"under {report['rate']:.0f} frames/s"


@case(60)
@own_stand
def cookies_get_tight_in_a_flood_of_forged_acks_and_no_page_is_lost(_):
    # Clients without timestamps, as Windows: those are the cookies that change, at the edge of an epoch of one second.
    with Lab() as lab, lab.sysctl("client", tcp_timestamps=0), \
            Proxy(lab, "--tight-cookies", "500", lives=["--epoch", "1"]) as proxy:
        must_get_page(lab, 4)
        equal(proxy.gauges()["cookies_tight"], 0, "the gauge before the flood")
        with flood(lab, "ack", 4, rate=5000, met=True), proxy.counting() as grown:
            wait_for("cookies are tight", lambda: proxy.gauges()["cookies_tight"] != 0, 20)
            times = [must_get_page(lab, family)["total_ms"] for family in (4, 6) * 8]
        check(proxy.said(r"cookies without timestamps are tight in \d+ s: \d+ invalid cookies a second are more than "
                         "--tight-cookies 500"), f"the log says {proxy.log()!r}")
        check(grown["cookie_invalid"] > 500, f"only {grown['cookie_invalid']} forged ACKs were judged")
        return f"{len(times)} pages, the slowest {max(times):.0f} ms"
