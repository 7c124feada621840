# SPDX-License-Identifier: BSD-3-Clause
"""What can stand between client and server, each for as long as a block runs; and a bad wire."""
import contextlib
import os
import tempfile

from harness import ROOT, Proxy, check, equal, wait_for

LINK_RELAY = os.path.join(ROOT, "scripts", "link_relay.py")


@contextlib.contextmanager
def bridge(lab):
    lab.command("bridge", "on")
    try:
        yield
    finally:
        lab.command("bridge", "off")


@contextlib.contextmanager
def kernel_synproxy(lab):
    with bridge(lab):
        equal(lab.command("kernel-synproxy", "on").code, 0, "kernel-synproxy on")
        try:
            yield
        finally:
            lab.command("kernel-synproxy", "off")
            lab.must("server", "sysctl", "-q", "-w", "net.ipv4.tcp_syncookies=1")


def synproxy(*flags):
    @contextlib.contextmanager
    def way(lab):
        # With the default timeouts, which are part of what is measured.
        with Proxy(lab, *flags, lives=[]) as proxy:
            yield proxy

    return way


def has_kernel_synproxy(lab):
    code = lab.command("kernel-synproxy", "on").code
    lab.command("kernel-synproxy", "off")
    return code != 3


@contextlib.contextmanager
def link(lab, role="relay-a", **options):
    """scripts/link_relay.py in a namespace that `lab.sh up --between` made."""
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile() as log:
        ready = os.path.join(directory, "ready")
        flags = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        with lab.start(role, "/usr/bin/python3", LINK_RELAY, "outer", "inner", ready, *flags, log=log) as relay:
            wait_for("the link's relay runs", lambda: os.path.exists(ready) or not relay.running(), 20)
            if not relay.running():
                log.seek(0)
                check(False, f"the link's relay ended: {log.read().decode(errors='replace')[-300:]}")
            yield
            check(relay.running(), "the link's relay ended on the way")
