# SPDX-License-Identifier: BSD-3-Clause
"""DPDK's telemetry, asked as its own exporter does: a look at the counters starts no program."""
import collections
import json
import socket


class TelemetrySocket:
    """As dpdk-telemetry-exporter.py gives it to its endpoints. OSError: nobody answers there."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.socket.settimeout(60)
            self.socket.connect(f"/var/run/dpdk/{name}/dpdk_telemetry.v2")
            self.longest = json.loads(self.receive(1024))["max_output_len"]
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self, most):
        answer = self.socket.recv(most)
        if not answer:
            raise ConnectionError("the telemetry hung up")
        return answer

    def cmd(self, uri, arg=None):
        self.socket.send((uri if arg is None else f"{uri},{arg}").encode())
        return json.loads(self.receive(self.longest))[uri]


def totals(name):
    """The packet buffers in use; and counters, gauges and io of all workers together, as "total" of `synproxy stat`."""
    with TelemetrySocket(name) as telemetry:
        info, total = telemetry.cmd("/synproxy/info"), {}
        for section in ("counters", "gauges", "io"):
            total[section] = collections.Counter()
            for worker in range(info["workers"]):
                total[section].update(telemetry.cmd(f"/synproxy/{section}", worker))
        return info["mbufs_in_use"], {section: dict(counts) for section, counts in total.items()}
