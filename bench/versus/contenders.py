# SPDX-License-Identifier: BSD-3-Clause
"""The lab of scripts/lab.sh as the end-to-end tests use it, and the contenders that stand in it between client and
server."""
import contextlib

from clients import page
from harness import CLIENT4, SERVER4, Lab, Proxy, mac, wait_for
from ways import bridge, kernel_synproxy

# As typed in the README; the ports from 8000 on are iperf3's.
PROTECT = [f"{SERVER4}:80", f"{SERVER4}:8000-8099"]


class FirstLab(Lab):
    """Its processes come before everything else on the machine. They inherit the bench's nice value. But if the
    kernel groups tasks by session, nice values count only within a group, so each group gets one too."""

    def __enter__(self):
        super().__enter__()
        # Neighbours are set for good, so that nobody has to look for them during a flood.
        for role, other, address in (("client", "server", SERVER4), ("server", "client", CLIENT4)):
            self.must(role, "ip", "neigh", "replace", address, "lladdr", mac(self, other), "nud", "permanent", "dev",
                      "eth0")
        self.must("server", "sh", "-c", 'for p in $(ip netns pids "$1"); do echo -20 >/proc/$p/autogroup; done; :',
                  "-", f"{self.name}-server")
        return self

    def inside(self, role, *command):
        return super().inside(role, "sh", "-c", 'echo -20 2>/dev/null >/proc/self/autogroup; exec "$@"', "-", *command)


@contextlib.contextmanager
def direct(lab):
    """Only the server's own SYN cookies protect it, as by default."""
    with bridge(lab):
        yield


@contextlib.contextmanager
def kernel(lab):
    with kernel_synproxy(lab):
        yield


@contextlib.contextmanager
def synproxy(lab, *flags):
    with Proxy(lab, *flags, protect=PROTECT, lives=[]) as proxy:
        yield proxy


@contextlib.contextmanager
def synproxy_shed_off(lab, *flags):
    with synproxy(lab, "--syn-shed", "off", *flags):
        yield


@contextlib.contextmanager
def sink_at_port(lab):
    """Frames end where the proxy would receive them."""
    yield


@contextlib.contextmanager
def sink_at_server(lab):
    """Frames end where the server's kernel receives them, after their way through the bridge."""
    with bridge(lab), lab.filter("server", "drop"):
        yield


CONTENDERS = {"direct": direct, "kernel": kernel, "synproxy": synproxy}
# What shedding costs: in the overload alone.
SHED_OFF = "synproxy_shed_off"
OVERLOADED = {**CONTENDERS, SHED_OFF: synproxy_shed_off}
# The way there is the sender's cost, not the contender's.
SINK_OF = {"direct": "server", "kernel": "server", "synproxy": "port"}
SINKS = {"port": sink_at_port, "server": sink_at_server}


@contextlib.contextmanager
def standing(lab, name, worker=None):
    """Starts that contender and waits until a page has come through it, so that it knows its server."""
    flags = ["--workers", str(worker)] if name in ("synproxy", SHED_OFF) and worker is not None else []
    with OVERLOADED[name](lab, *flags) as it:
        wait_for(f"a page through {name}", lambda: page(lab, 4, limit=2)["code"] == "200", 20)
        yield it
