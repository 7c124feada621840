# SPDX-License-Identifier: BSD-3-Clause
"""More SYNs than the proxy's CPU can answer: existing connections go on, and new clients get in."""
import os

from clients import MB, sha_of, url
from floods import Rates, Reader, ask_pages, divided, flood
from harness import Lab, Proxy, alone, case, check, equal, own_stand
from ways import has_kernel_synproxy, kernel_synproxy

RATE = 300_000  # SYNs per second
PAGES = 8
PATIENCE = 31   # seconds: a client's SYN comes again after 1, 3, 7 and 15 s (RFC 6298), and it gives up later
BESIDE = 4      # the same for the kernel, for which nothing is asserted


def two_cpus():
    return sorted(os.sched_getaffinity(0))[:2]


def overloaded(lab, limit):
    """Pages that came, SYNs offered, SYNs answered, bytes per second of a download while the pages were fetched."""
    ends, _ = two_cpus()
    with Reader(lab, "/overload.bin", ends) as reader, flood(lab, "syn", 4, RATE, ends) as report:
        before, rates = reader.bytes, Rates(lab)
        clients = ask_pages(lab, PAGES, ends, limit)
        rates, got = rates.end(), reader.bytes - before
    return {"pages": sum(client.whole for client in clients), "bytes": got,
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
        whole = lab.page_file("whole.bin", 16 * MB)
        with divided(lab, *two_cpus()), Proxy(lab, "--workers", str(two_cpus()[1]), lives=[]) as proxy:
            with lab.start("client", "curl", "-sS", "-f", "-m", "120", "--limit-rate", "2M", "-o", copy,
                           url(4, "/whole.bin")) as download, proxy.counting() as grown:
                it = overloaded(lab, PATIENCE)
                download.process.wait(120)
            equal(download.process.returncode, 0, "curl's exit code")
        equal(sha_of(copy), sha_of(whole), "SHA-256 of the download that began before")
        equal(it["pages"], PAGES, f"pages of new clients within {PATIENCE} s")
        # A proxy that answers all SYNs need not shed any. One that does not must shed them here, and not lose frames
        # unseen.
        check(grown["syn_shed"] > 0 or it["answered"] > 0.98 * it["sent"],
              f"answered {it['answered']:.0f} of {it['sent']:.0f} per second and shed none")
        beside = kernel_beside(lab)
    return (f"{it['rate'] / 1e3:.0f} k SYNs/s, {PAGES} of {PAGES} pages, the last after {it['slowest']:.1f} s, "
            f"answered {it['answered'] / it['sent']:.2f}, {grown['syn_shed']} shed, download of {it['bytes'] / MB:.1f} MB "
            f"meanwhile; {beside}")
