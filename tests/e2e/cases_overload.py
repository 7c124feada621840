# SPDX-License-Identifier: BSD-3-Clause
"""More SYNs than the proxy's CPU can answer: existing connections go on, and new clients get in."""
import contextlib
import os
import time

from clients import MB, sha_of, url
from floods import Rates, Reader, answered_syns, ask_pages, divided, flood, sent_frames
from harness import Lab, Proxy, alone, case, check, equal, own_stand
from ways import has_kernel_synproxy, kernel_synproxy

RATE = 300_000  # SYNs per second
PAGES = 8
PATIENCE = 31   # seconds: a client's SYN comes again after 1, 3, 7 and 15 s (RFC 6298), and it gives up later
SETTLED = 0.3   # seconds after the flood, in which the last of its SYNs are answered
BESIDE = 2      # the same for the kernel, for which nothing is asserted


def two_cpus():
    return sorted(os.sched_getaffinity(0))[:2]


def before_others(process):
    """The CPU that the case gives to the proxy is the proxy's, and not of whatever else the machine does."""
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, int(thread), -20)


def backlog_drops():
    """Frames for which a CPU's queue of received ones had no room (softnet_stat's second column)."""
    with open("/proc/net/softnet_stat", encoding="ascii") as rows:
        return sum(int(row.split()[1], 16) for row in rows)


def overloaded(lab, limit):
    """While pages were fetched: how many came, SYNs offered and answered per second, bytes of a download. In all: frames
    sent, SYNs answered, frames for which the kernel had no room."""
    ends, _ = two_cpus()
    frames, synacks, no_room = sent_frames(lab), answered_syns(lab), backlog_drops()
    with Reader(lab, "/overload.bin", ends) as reader, flood(lab, "syn", 4, RATE, ends) as report:
        before, rates = reader.bytes, Rates(lab)
        clients = ask_pages(lab, PAGES, ends, limit)
        rates, got = rates.end(), reader.bytes - before
    time.sleep(SETTLED)
    return {"pages": sum(client.whole for client in clients), "bytes": got,
            "all_sent": sent_frames(lab) - frames, "all_answered": answered_syns(lab) - synacks,
            "no_room": backlog_drops() - no_room,
            "slowest": max(client.seconds for client in clients), "rate": report["rate"], **rates}


def kernel_beside(lab):
    if not has_kernel_synproxy(lab):
        return "this kernel has no SYNPROXY to compare with"
    with divided(lab, *two_cpus()), kernel_synproxy(lab):
        it = overloaded(lab, BESIDE)
    return (f"kernel's SYNPROXY: {it['pages']} of {PAGES} pages in {BESIDE} s, answered "
            f"{it['answered'] / it['sent']:.2f}, download of {it['bytes'] / MB:.1f} MB meanwhile")


@case(180)
@alone
@own_stand
def overloaded_by_more_than_it_can_answer_it_serves_all(_):
    if len(two_cpus()) < 2:
        return "not shown: one CPU for the flood and one for the proxy are needed"
    with Lab() as lab:
        lab.page_file("overload.bin", 128 * MB)  # more than a Reader reads
        copy = os.path.join(lab.nginx, "copy")
        whole = lab.page_file("whole.bin", 8 * MB)
        with divided(lab, *two_cpus()), Proxy(lab, "--workers", str(two_cpus()[1]), lives=[]) as proxy:
            before_others(proxy.process.process)
            with lab.start("client", "curl", "-sS", "-f", "-m", "120", "--limit-rate", "2M", "-o", copy,
                           url(4, "/whole.bin")) as download, proxy.counting() as grown:
                it = overloaded(lab, PATIENCE)
                download.process.wait(150)
            missed = proxy.stat()["ports"]["client"]["rx_missed"]
            equal(download.process.returncode, 0, "curl's exit code")
        equal(sha_of(copy), sha_of(whole), "SHA-256 of the download that began before")
        equal(it["pages"], PAGES, f"pages of new clients within {PATIENCE} s")
        # What is shed is reckoned from the filter's share, and some frames are still on their way.
        told = it["all_answered"] + grown["syn_shed"] + missed + it["no_room"]
        check(told > 0.9 * it["all_sent"], f"of {it['all_sent']} SYNs {it['all_answered']} were answered, {grown['syn_shed']} "
              f"shed, {missed} missed and {it['no_room']} dropped by the kernel: the rest is told by no counter")
        beside = kernel_beside(lab)
    return (f"{it['rate'] / 1e3:.0f} k SYNs/s, {PAGES} of {PAGES} pages, the last after {it['slowest']:.1f} s, "
            f"answered {it['answered'] / it['sent']:.2f}, {grown['syn_shed']} shed, download of {it['bytes'] / MB:.1f} MB "
            f"meanwhile; {beside}")
