# SPDX-License-Identifier: BSD-3-Clause
"""A flood of SYNs: how many are answered, what that costs, and how long a client takes to connect during it."""
import contextlib
import socket
import statistics
import time

from cpu_time import CpuTime
from floods import Rates, flood
from harness import SERVER4, check

CONNECTS = 20
LIMIT = 3.0  # seconds after which a connect counts as that long


def connect_times(lab):
    """Milliseconds; the worst is as long as LIMIT allows."""
    times = []
    for _ in range(CONNECTS):
        with lab.sockets_in("client"), socket.socket() as client:
            client.settimeout(LIMIT)
            begin = time.monotonic()
            with contextlib.suppress(OSError):
                client.connect((SERVER4, 80))
            times.append(1000 * (time.monotonic() - begin))
        if sum(times) > 2000 * LIMIT:
            break
    return times


def measure(lab, kind, seconds, connects=False):
    """Frames sent and SYNs answered per second, and the share of the machine's CPU time for the lab and for others."""
    with flood(lab, kind, 4, met=True):
        rates, cpu = Rates(lab), CpuTime(lab)  # in this order: reading counters costs CPU time too
        cpu.begin()
        time.sleep(seconds)
        found = cpu.end()
        found.update(rates.end())
        if connects:
            times = connect_times(lab)
            found.update(connect_ms=statistics.median(times), connect_worst_ms=max(times))
    check(found["sent"] > 0, "nothing was sent")
    found["cpu_per_frame"] = found["lab"] / found["sent"]
    return found
