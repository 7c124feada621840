# SPDX-License-Identifier: BSD-3-Clause
"""What a figure depends on besides the program."""
import os
import platform
import re
import subprocess


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as text:
        found = re.search(r"^model name\s*:\s*(.*)$", text.read(), re.M)
    return found.group(1) if found else platform.machine()


def dpdk_version():
    found = subprocess.run(["pkg-config", "--modversion", "libdpdk"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def describe(stand):
    return {
        "cpu": cpu_model(), "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release(), "dpdk": dpdk_version(),
        "generator_cpu": stand.generator_cpu, "contender_cpu": stand.contender_cpu,
        "memory": "hugepages" if stand.huge else "ordinary pages", "load_at_start": os.getloadavg()[0],
    }
