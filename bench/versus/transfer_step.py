# SPDX-License-Identifier: BSD-3-Clause
"""iperf3 through a contender: how fast, and the CPU time of the whole lab for a gigabyte.

Where the ends' offloads are on, as every container and virtual machine has them, the ends send super-frames of up to
64 KB with unfinished checksums. The lab of the other steps has them off, so that each frame is one on the wire.
"""
import time

from clients import iperf
from cpu_time import CpuTime

STREAMS = (1, 8)


def line_of(streams):
    return "1_stream" if streams == 1 else f"{streams}_streams"


# Name, unit, which is better.
LINES = tuple(line for offloads in ("", "offloads/") for streams in STREAMS for line in (
    (f"{offloads}throughput/{line_of(streams)}", "Mbit/s", "higher"),
    (f"{offloads}throughput/{line_of(streams)}/cpu", "s/GB", "lower")))


def measure(lab, seconds, offloads=""):
    """Value of each line."""
    found = {}
    for streams in STREAMS:
        cpu, begin = CpuTime(lab), time.monotonic()
        cpu.begin()
        moved = iperf(lab, 4, "-t", f"{seconds:g}", "-P", str(streams))
        used = cpu.end()["lab"] * (time.monotonic() - begin)
        line = f"{offloads}throughput/{line_of(streams)}"
        found[line] = moved["mbit"]
        found[f"{line}/cpu"] = used / max(1, moved["received"]) * 1e9
    return found
