# SPDX-License-Identifier: BSD-3-Clause
"""Path MTU discovery through the proxy: a real router behind it whose link to the client is narrow."""
import contextlib
import os
import threading

from scapy.layers.inet import TCP

from clients import sha_of, url
from harness import CLIENTS, Lab, case, check, equal, own_stand
from ways import bridge, has_kernel_synproxy, kernel_synproxy, synproxy
from wire import Trace, payload_length

NARROW = 1280
SIZE = 300 << 10
FAR_CLIENT = {4: "10.0.1.1", 6: "fd01::1"}
NEAR_ROUTER = {4: "10.0.1.254", 6: "fd01::ff"}
PREFIX = {4: 24, 6: 64}


def make_router(lab):
    """Turns relay-a into a router. It takes the client's old addresses on the proxy's side, where the
    server's default route points; the client moves behind it."""
    lab.run("client", "nft", "delete", "table", "netdev", "lab")  # it lets only the old addresses in
    lab.must("relay-a", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
             "net.ipv6.conf.inner.disable_ipv6=0", "net.ipv6.conf.outer.disable_ipv6=0")
    for family in (4, 6):
        length = PREFIX[family]
        lab.must("client", "ip", "address", "flush", "dev", "eth0", "scope", "global", "to",
                 f"{CLIENTS[family]}/{length}")
        add = [("relay-a", "inner", CLIENTS[family]), ("relay-a", "outer", NEAR_ROUTER[family]),
               ("client", "eth0", FAR_CLIENT[family])]
        for role, device, address in add:
            lab.must(role, "ip", "address", "add", f"{address}/{length}", "dev", device,
                     *(["nodad"] if family == 6 else []))
        lab.must("client", "ip", f"-{family}", "route", "add", "default", "via", NEAR_ROUTER[family])
    for device in ("inner", "outer"):  # whoever forwards asks for neighbours from a link-local address
        lab.must("relay-a", "ip", "address", "add", "fe80::1/64", "dev", device, "nodad")


def narrow_towards_the_client(lab):
    """The router's interface to the client has the small MTU and the client's own has not: so the client's MSS does
    not tell of it, and only ICMP can."""
    # From the client's side packets of full size still come in: a real narrow link would cut there too, but
    # the client's requests are small.
    lab.must("relay-a", "ip", "link", "set", "outer", "mtu", str(NARROW))
    lab.must("relay-a", "sysctl", "-q", "-w", f"net.ipv6.conf.outer.mtu={NARROW}")


class Largest(threading.Thread):
    """Sizes of the server's segments as its interface sees them, and the port of the client that each goes to: a
    server repeats what the download before has never acknowledged."""

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.trace, self.stop, self.seen = Trace(lab, "server", 80), threading.Event(), []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.join()
        self.trace.__exit__()

    def run(self):
        while not self.stop.wait(0.02):
            self.look()
        self.look()

    def look(self):
        self.seen += [(packet[TCP].dport, payload_length(packet)) for outgoing, packet in self.trace.take() if outgoing]

    def sizes(self, port):
        return [size for to, size in self.seen if to == port]


def narrow_download(lab, family, limit):
    """curl's exit code, its time, and the sizes of the server's segments in order."""
    copy = os.path.join(lab.nginx, "copy.bin")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(copy)
    for role in ("server", "relay-a"):
        lab.must(role, "ip", f"-{family}", "route", "flush", "cache")
    with Largest(lab) as largest:
        result = lab.run("client", "curl", "-sS", "-f", "-m", str(limit), "-w", "%{time_total} %{local_port}", "-o", copy,
                         url(family, "/narrow.bin"), limit=limit + 10)
    whole = os.path.exists(copy) and sha_of(copy) == sha_of(os.path.join(lab.nginx, "www", "narrow.bin"))
    seconds, port = result.out.split()
    return {"exit": result.code, "s": seconds, "whole": whole, "sizes": largest.sizes(int(port))}


def in_words(got):
    sizes = got["sizes"] or [0]
    return (f"{'whole' if got['whole'] else 'NOT whole'} after {got['s']} s (curl {got['exit']}), segments of "
            f"{max(sizes)} and then {sizes[len(sizes) // 2]} bytes, {sum(size > NARROW - 40 for size in sizes)} too large")


@case(120)
@own_stand
def path_mtu_is_discovered_through_the_proxy(_):
    with Lab("--between", "client") as lab:
        make_router(lab)
        narrow_towards_the_client(lab)
        lab.page_file("narrow.bin", SIZE)
        others = {"direct (kernel bridge)": bridge}
        if has_kernel_synproxy(lab):
            others["kernel SYNPROXY"] = kernel_synproxy
        for name, way in others.items():
            for family in (4, 6):
                with way(lab):
                    print(f"     {name:24} IPv{family}: {in_words(narrow_download(lab, family, 10))}")
        with synproxy()(lab) as proxy:
            for family in (4, 6):
                with proxy.counting() as grown:
                    got = narrow_download(lab, family, 30)
                print(f"     {'synproxy':24} IPv{family}: {in_words(got)}")
                equal((got["exit"], got["whole"]), (0, True), f"curl's exit code and the file, IPv{family}")
                check(grown["icmp_translated"] >= 1, f"no ICMP error was translated over IPv{family}: {grown}")
                headers = {4: 40, 6: 60}[family]
                check(max(got["sizes"]) > NARROW - headers, "no segment was too large: nothing was discovered")
                smaller = got["sizes"][len(got["sizes"]) // 2:]
                check(max(smaller) <= NARROW - headers, f"segments stayed at {max(smaller)} bytes over IPv{family}")
