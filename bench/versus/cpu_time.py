# SPDX-License-Identifier: BSD-3-Clause
"""The CPU time of the whole machine, without that of processes outside the lab.

The kernel charges its work for packets to whoever was running: to the sender on a veth, to ksoftirqd, to the idle task,
to nobody. No list of processes finds it. So this takes all CPU time that was not idle, less that of the processes
outside the lab. It is exact if the kernel is tickless when idle, because idle time is then measured and not sampled.
"""
import os
import time

TICKS = os.sysconf("SC_CLK_TCK")
KERNEL_THREAD = 0x00200000  # PF_KTHREAD


def not_ours():
    """Seconds in which CPUs were idle, or the hypervisor had them."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, idle, waiting, irq, softirq, stolen, *_ = map(int, stat.readline().split()[1:])
    return (idle + waiting + stolen) / TICKS


def namespaces(lab):
    return {os.stat(f"/run/netns/{lab.name}-{role}").st_ino for role in ("client", "proxy", "server")}


def foreign(inside):
    """Seconds that processes outside these network namespaces have run so far, with their children that have ended."""
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(") ")[2].split()
            if int(fields[6]) & KERNEL_THREAD or os.stat(f"/proc/{pid}/ns/net").st_ino in inside:
                continue
        except OSError:  # ended just now
            continue
        total += sum(map(int, fields[11:15]))  # user, system, and both of its children that have ended
    return total / TICKS


class CpuTime:
    """The CPU time of the machine from begin() to end()."""

    def __init__(self, lab):
        self.inside = namespaces(lab)
        self.at = self.idle = self.others = 0.0

    def begin(self):
        self.others, self.idle, self.at = foreign(self.inside), not_ours(), time.monotonic()

    def end(self):
        """Average number of CPUs in use: by the lab, by others."""
        seconds = time.monotonic() - self.at
        idle, others = not_ours() - self.idle, max(0.0, foreign(self.inside) - self.others)
        return {"lab": max(0.0, os.cpu_count() - (idle + others) / seconds), "others": others / seconds}
