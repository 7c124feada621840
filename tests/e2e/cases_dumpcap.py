# SPDX-License-Identifier: BSD-3-Clause
"""DPDK's own capture, a second process that maps the proxy's memory."""
import contextlib
import os
import subprocess
import tempfile

from harness import Lab, Proxy, alone, case, check, equal, own_stand, run

PAGES = "/proc/sys/vm/nr_hugepages"
SEND = """
import socket, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
while True:
    one.sendto(b"seen by dumpcap", ("10.0.0.255", 4000))
    time.sleep(0.05)
"""


@contextlib.contextmanager
def hugepages(directory, count):
    """Room for that many more; False: this machine has none to spare."""
    with open(PAGES, encoding="ascii") as file:
        before = int(file.read())
    with open(PAGES, "w", encoding="ascii") as file:
        file.write(str(before + count))
    mounted = False
    try:
        with open(PAGES, encoding="ascii") as file:
            enough = int(file.read()) == before + count
        mounted = enough and run(["mount", "-t", "hugetlbfs", "none", directory]).code == 0
        yield mounted
    finally:
        if mounted:
            run(["umount", directory])
        with open(PAGES, "w", encoding="ascii") as file:
            file.write(str(before))


@alone  # the pages are the machine's
@own_stand
@case()
def dpdk_dumpcap_sees_the_ports_where_memory_is_shared(_):
    with tempfile.TemporaryDirectory() as there, tempfile.TemporaryDirectory() as pages, hugepages(pages, 140) as enough:
        if not enough:
            return "not tried: no hugepages on this machine"
        ports = ("net_tap0,iface=t0", "net_tap1,iface=t1")
        with Lab("--no-nginx") as lab, Proxy(lab, "--", "--huge-dir", pages, "-m", "256", ports=ports) as proxy:
            lab.must("proxy", "ip", "addr", "add", "10.0.0.1/24", "broadcast", "10.0.0.255", "dev", "t0")
            lab.must("proxy", "ip", "link", "set", "t0", "up")
            dumpcap = ["dpdk-dumpcap", f"--file-prefix={lab.name}"]
            listed = lab.must("proxy", *dumpcap, "-D")
            check("net_tap0" in listed and "net_tap1" in listed, listed)
            file = os.path.join(there, "tap.pcapng")
            with lab.start("proxy", "/usr/bin/python3", "-c", SEND):
                lab.must("proxy", *dumpcap, "-i", "net_tap0", "-c", "3", "-w", file)
            read = subprocess.run(["tshark", "-n", "-r", file, "-Y", "udp.dstport == 4000", "-T", "fields", "-e", "udp.length"],
                                  capture_output=True, text=True, check=True)
            equal(read.stdout.split(), ["23"] * 3, "what dpdk-dumpcap has captured")
            with lab.start("proxy", "/usr/bin/python3", "-c", SEND), proxy.growing("forwarded", 4):
                pass
            equal(proxy.stop(), 0, "exit code")
        return "3 frames"
