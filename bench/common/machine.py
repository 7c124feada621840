# SPDX-License-Identifier: BSD-3-Clause
"""What figures depend on besides the program."""
import os
import platform
import re
import subprocess


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as text:
        found = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", text.read(), re.M))
    if "model name" not in found:
        return platform.machine()
    return f"{found['model name']} (family {found.get('cpu family', '')}, model {found.get('model', '')})"


def dpdk_version():
    try:
        found = subprocess.run(["pkg-config", "--modversion", "libdpdk"], capture_output=True, text=True, check=True)
        return found.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def describe(**more):
    """The common keys are those of bench/common/results.cc; `more` is the bench's own."""
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "kernel": platform.release(), "dpdk": dpdk_version(), **more,
            "load_before": round(os.getloadavg()[0], 2)}
