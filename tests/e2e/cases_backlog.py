# SPDX-License-Identifier: BSD-3-Clause
"""--server-backlog: a server that accepts fewer connections than a crowd opens."""
import contextlib
import json
import os
import tempfile

from harness import SERVER4, THOROUGH, Lab, case, check, equal, own_stand, wait_for
from ways import bridge, has_kernel_synproxy, kernel_synproxy, synproxy

CROWD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "crowd.py")
PORT = 8001


def crowd(lab, bots, begin, seconds, gap, backlog, rate):
    program = ["/usr/bin/python3", CROWD]
    where = [SERVER4, str(PORT)]
    with tempfile.TemporaryFile() as log, \
            lab.start("server", *program, "serve", *where, str(backlog), str(rate), log=log):
        wait_for("the slow server listens", lambda: f":{PORT}" in lab.run("server", "ss", "-Hlnt").out, 10)
        return json.loads(lab.must("client", *program, "ask", *where, str(bots), str(begin), str(seconds), str(gap),
                                   limit=begin + seconds + 60))


@contextlib.contextmanager
def kernel_synproxy_at_the_slow_server(lab):
    """The tutorials' rules once more, for its port."""
    with kernel_synproxy(lab):
        tcp = ["-p", "tcp", "--dport", str(PORT)]
        lab.must("server", "iptables-legacy", "-w", "-t", "raw", "-A", "PREROUTING", *tcp, "--syn", "-j", "CT",
                 "--notrack")
        lab.must("server", "iptables-legacy", "-w", "-I", "INPUT", *tcp, "-m", "state", "--state", "INVALID,UNTRACKED",
                 "-j", "SYNPROXY", "--sack-perm", "--timestamp", "--wscale", "7", "--mss", "1460")
        yield


def of_visits(visits, which):
    """Median and 99th percentile in ms; who got nothing counts as the worst."""
    times = sorted(float("inf") if v[which] is None else v[which] for v in visits)
    return times[len(times) // 2], times[min(len(times) - 1, int(len(times) * 0.99))]


def shown(ms):
    return "never" if ms == float("inf") else f"{ms:.0f} ms"


@case(500)
@own_stand
def a_visitor_is_served_at_once_while_a_crowd_wants_more_than_the_server_accepts(_):
    long = bool(os.environ.get(THOROUGH))
    # Visitors come when every bot has had its first turn.
    bots, begin, seconds, gap, backlog, rate = (2000, 12, 40, 1, 128, 200) if long else (200, 4, 2, 0.2, 32, 100)
    flags = ["--server-backlog", str(backlog)]
    ways = {f"synproxy {' '.join(flags)}": synproxy(*flags)}
    if long:
        ways = {"direct": bridge, "kernel SYNPROXY": kernel_synproxy_at_the_slow_server, "synproxy": synproxy(), **ways,
                "synproxy --server-backlog auto": synproxy("--server-backlog", "auto")}
    with Lab() as lab:
        equal(lab.command("crowd").code, 0, "lab.sh crowd")
        if not has_kernel_synproxy(lab):
            ways.pop("kernel SYNPROXY", None)
        lines = []
        for name, way in ways.items():
            with way(lab) as proxy:
                got = crowd(lab, bots, begin, seconds, gap, backlog, rate)
                visits = got["visits"]
                connect, first = of_visits(visits, 0), of_visits(visits, 1)
                served = sum(v[1] is not None for v in visits)
                lines.append(f"\n     {name:32} connect p50 {shown(connect[0])}, p99 {shown(connect[1])}; "
                             f"first byte p50 {shown(first[0])}, p99 {shown(first[1])}; "
                             f"{served} of {len(visits)} served; bots {got['served'] / got['seconds']:.0f}/s")
                if "--server-backlog" not in name:
                    continue
                counters = proxy.counters()
                check(counters["backlog_waited"] > 0, "nobody had to wait")
                equal(counters["backlog_unbounded"], 0, "connections without a bound")
                # The full queue of the server still drops the one or other handshake's last ACK, whose data is then the
                # client's to repeat.
                check(served >= len(visits) - 1, f"visitors were not served:{''.join(lines)}")
                # In the bots that the server took meanwhile: it is slower than it should be where it lacks the CPU.
                before = first[0] / 1000 * got["served"] / got["seconds"]
                check(before < 3 * rate, f"{before:.0f} bots were served before a visitor:{''.join(lines)}")
        return "".join(lines)
