# SPDX-License-Identifier: BSD-3-Clause
"""Pages under a flood, and what the server sees of the flood."""
import os
import statistics
import threading
import time

from clients import MB, must_get_page, sha_of, url
from floods import flood, received_frames
from harness import CLIENT4, CLIENT6, Lab, alone, case, check, equal, own_stand

PAGES = 40


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


def pages_arrive(stand, kind, family):
    lab = stand.lab
    with flood(lab, kind, family) as report:
        with SynRecv(lab) as half_open, stand.proxy.counting() as grown:
            times = [must_get_page(lab, family, limit=10)["connect_ms"] for _ in range(PAGES)]
    equal(half_open.spoofed, 0, "half-open connections of spoofed addresses on the server")
    check(half_open.samples > 3, "SYN_RECV was hardly looked at")
    return (f"{PAGES} of {PAGES} pages, connected in {statistics.median(times):.1f} ms, worst {max(times):.1f} ms; "
            f"{report['rate']:.0f} frames/s; SYN_RECV 0 in {half_open.samples} samples"), grown


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
                time.sleep(2)
            check(half_open.spoofed > 0, f"no SYN_RECV under {kind} over IPv{family}: this lab could not show any")
        return f"SYN_RECV up to {half_open.spoofed}"


@case(120)
@alone
def every_page_arrives_under_hping3(stand):
    note, grown = pages_arrive(stand, "hping3", 4)
    check(grown["synack_sent"] > 10000, f"only {grown['synack_sent']} SYNs were answered")
    return note


@case(120)
@alone
def every_page_arrives_under_a_syn_flood_over_ipv6(stand):
    note, grown = pages_arrive(stand, "syn", 6)
    check(grown["synack_sent"] > 10000, f"only {grown['synack_sent']} SYNs were answered")
    return note


@case(120)
@alone
def every_page_arrives_under_a_flood_of_forged_acks(stand):
    notes = []
    for family in (4, 6):
        note, grown = pages_arrive(stand, "ack", family)
        check(grown["cookie_invalid"] > 10000, f"only {grown['cookie_invalid']} forged ACKs were judged")
        # A forgery passes with a chance of at most 2^-24: of some hundred thousands, one may pass.
        check(grown["cookie_valid"] <= PAGES + 2, f"{grown['cookie_valid']} ACKs passed, {PAGES} were genuine")
        notes.append(note)
    return "; ".join(notes)


@case(60)
@alone
def forged_acks_syn_acks_and_resets_cost_no_state_and_reach_nobody(stand):
    # At the rate that the sender and the link give: no record is made, the server hears nothing but a few keepalives
    # (--unknown reset, 16 a second after the first 256), and nobody gets an answer.
    lab, notes = stand.lab, []
    kinds = (("hping3 -A", 4, "cookie_invalid"), ("hping3 -S -A", 4, "syn_ack_client"), ("hping3 -R", 4, "no_flow_client"),
             ("ack", 6, "cookie_invalid"))
    for kind, family, counter in kinds:
        with flood(lab, kind, family) as report, stand.proxy.counting() as grown:
            before = received_frames(lab, "server"), received_frames(lab, "client")
            begun = time.monotonic()
            time.sleep(1)
            seconds = time.monotonic() - begun
            to_server, to_client = received_frames(lab, "server") - before[0], received_frames(lab, "client") - before[1]
        check(grown[counter] > 10000, f"{kind}: only {grown[counter]} were judged ({counter})")
        check(to_server < 256 + 16 * seconds + 50, f"{kind}: {to_server} frames reached the server")
        check(to_client < 50, f"{kind}: {to_client} frames came back")
        check(grown["conn_established"] <= 2, f"{kind}: {grown['conn_established']} connections")
        notes.append(f"{kind} IPv{family}: {report['rate']:.0f}/s, {to_server} to the server, {to_client} back")
    return "; ".join(notes)


@case(120)
@alone
def download_begun_before_the_flood_goes_on(stand):
    lab = stand.lab
    path = lab.page_file("during.bin", 100 * MB)
    copy = os.path.join(lab.nginx, "during.copy")
    try:
        with lab.start("client", "curl", "-sS", "-f", "-m", "90", "--limit-rate", "20M", "-o", copy,
                       url(4, "/during.bin")) as client:
            time.sleep(1)
            with flood(lab, "hping3", 4) as report:
                client.process.wait(90)
        equal(client.process.returncode, 0, "curl's exit code")
        equal(sha_of(copy), sha_of(path), "SHA-256 of the download")
    finally:
        for name in (path, copy):
            if os.path.exists(name):
                os.unlink(name)
    return f"under {report['rate']:.0f} frames/s"
