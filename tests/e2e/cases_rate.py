# SPDX-License-Identifier: BSD-3-Clause
"""New connections per second, compared with other programs in the proxy's place."""
import contextlib
import glob
import statistics
import tempfile
import time

from clients import few_source_ports, must_run_wrk, page, wrk
from harness import Lab, alone, case, check, own_stand, rounds, wait_for
from ways import bridge, has_kernel_synproxy, kernel_synproxy, synproxy

ROUNDS, SECONDS = 3, 1
MOST_ROUNDS = 9  # while the medians of fewer are below FLOOR: something else may have had the CPU
WANTED = 0.8  # of testpmd's rate: the project's promise
FLOOR = 0.5   # below it the case fails on any machine: no noise halves a median of so many


def works(pid):
    """Whether testpmd's forwarding core has taken CPU time. From then on it forwards: no page waits for its second SYN."""
    for path in glob.glob(f"/proc/{pid}/task/*/stat"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as stat:
            name, fields = stat.read().split("(", 1)[1].rsplit(")", 1)
            if name in ("rte-worker-2", "dpdk-worker2"):  # the latter from DPDK 23.11 on
                return sum(map(int, fields.split()[11:13])) > 0
    return False


@contextlib.contextmanager
def testpmd(lab):
    """One forwarding core, the first CPU as for the proxy, frames as they come."""
    command = ["dpdk-testpmd", "--lcores", "1@1,2@0", "--main-lcore", "1", "--no-huge", "-m", "256", "--no-pci",
               "--no-telemetry", "--file-prefix", f"{lab.name}-testpmd"]
    for number, device in enumerate(("veth-a", "veth-b")):
        command += ["--vdev", f"net_af_packet{number},iface={device},qdisc_bypass=1"]
    command += ["--", "--forward-mode=io", "--auto-start", "--total-num-mbufs=16384", "--nb-cores=1"]
    with tempfile.TemporaryFile() as log, lab.start("proxy", *command, log=log) as process:
        # It ends when its standard input ends, which stays open as long as the block runs.
        wait_for("testpmd begins", lambda: works(process.process.pid) or not process.running(), 60)
        wait_for("a page through testpmd", lambda: page(lab, 4, limit=1)["code"] == "200" or not process.running(), 60)
        check(process.running(), "testpmd does not run here")
        yield


COMPARED = "testpmd io", "synproxy"  # the others are only printed
WAYS = {"direct (kernel bridge)": bridge, "testpmd io": testpmd, "kernel SYNPROXY": kernel_synproxy,
        "synproxy": synproxy()}


def ratio_of(rates):
    return statistics.median(rates["synproxy"]) / statistics.median(rates["testpmd io"])


@case(240)
@alone
@own_stand
def connections_per_second_against_testpmd_in_its_place(_):
    ways = dict(WAYS)
    with Lab() as lab, few_source_ports(lab):
        if not has_kernel_synproxy(lab):
            del ways["kernel SYNPROXY"]
        rates = {name: [] for name in ways}
        for number in range(MOST_ROUNDS):
            if number >= ROUNDS and ratio_of(rates) >= FLOOR:
                break
            for name, way in ways.items():
                if name not in COMPARED and number >= rounds(1, ROUNDS):
                    continue
                with way(lab):
                    time.sleep(0.2)
                    # Only the proxy must be without fault here.
                    got = (must_run_wrk if name == "synproxy" else wrk)(lab, 4, SECONDS)
                    rates[name].append(got["rate"])
    ratio = ratio_of(rates)
    table = "".join(f"\n     {name:24} {statistics.median(rates[name]):8.0f} conn/s   (runs: "
                    f"{', '.join(f'{rate:.0f}' for rate in rates[name])})" for name in ways)
    print(f"     wrk -H 'Connection: close' -c 50, rounds of {SECONDS} s, medians:{table}")
    check(ratio >= FLOOR, f"only {ratio:.2f} of testpmd's rate")
    verdict = "" if ratio >= WANTED else f"   *** BELOW THE PROMISED {WANTED} ***"
    return f"{ratio:.2f} of testpmd's rate{verdict}"
