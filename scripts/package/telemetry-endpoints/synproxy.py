# SPDX-License-Identifier: BSD-3-Clause
"""Endpoint of dpdk-telemetry-exporter.py (DPDK 23.11 and later): everything that a proxy counts, by worker.

Where the exporter looks for it: /usr/share/dpdk/telemetry-endpoints/synproxy.py, or the directory named by --load-path.
Names are those of docs/metrics.md behind `dpdk_synproxy_`; what the exporter makes of them needs no list here, because
each is asked of the proxy.
"""
SIDES = ("_client", "_server")
PORT_GAUGES = {"link_up": "Whether the port has a link.", "mtu": "Largest frame of the port, without Ethernet header."}
PORT_COUNTERS = {
    "rx_missed": "Packets that the device or the kernel dropped before the proxy saw them.",
    "rx_oversize": "Packets longer than the port's MTU.",
    "link_changes": "Times that the link went up or down.",
}
# Of /synproxy/io; all others count up.
IO_GAUGES = ("syn_shed_share", "clock_ms")


class Known(dict):
    """A description of every name: the exporter asks for those of the metrics that it has been given."""

    def __missing__(self, name):
        kind = "gauge" if name.startswith(("gauge_", "port_")) or name in IO_GAUGES else "counter"
        return f"See docs/counters.md of synproxy: {name.removeprefix('gauge_')}.", kind


def info():
    known = Known({"uptime_seconds": ("Seconds since the start of the proxy.", "gauge")})
    known.update({f"port_{name}": (text, "gauge") for name, text in PORT_GAUGES.items()})
    known.update({f"port_{name}": (text, "counter") for name, text in PORT_COUNTERS.items()})
    return known


def metrics(sock):
    about = sock.cmd("/synproxy/info")
    found = [("uptime_seconds", about["uptime_seconds"], {})]
    for worker in range(about["workers"]):
        labels = {"worker": worker}
        found += [(name, value, labels) for name, value in sock.cmd("/synproxy/counters", worker).items()]
        found += [(f"gauge_{name}", value, labels) for name, value in sock.cmd("/synproxy/gauges", worker).items()]
        for name, value in sock.cmd("/synproxy/io", worker).items():
            side = next((end for end in SIDES if name.endswith(end)), None)
            if side is None:
                found.append((name, value, labels))
            else:
                found.append((name.removesuffix(side), value, {**labels, "side": side[1:]}))
    for side in ("client", "server"):
        port = sock.cmd("/synproxy/port", side)
        found += [(f"port_{name}", int(port[name]), {"side": side}) for name in (*PORT_GAUGES, *PORT_COUNTERS)]
    return found
