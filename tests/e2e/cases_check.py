# SPDX-License-Identifier: BSD-3-Clause
"""`synproxy check`: a machine that is right, one that is wrong, and a proxy that runs, hangs and has lost a link."""
import json
import os
import socket
import tempfile

from cases_service import hung_thread
from harness import PROGRAM, SERVERS, Lab, Proxy, case, check, equal, own_stand, wait_for

FLAGS = ["--client-port", "veth-a", "--server-port", "veth-b", "--protect", f"{SERVERS[4]}:80"]


def ask(lab, *flags):
    return lab.run("proxy", PROGRAM, "check", *flags)


def wrong_lines(result):
    return [line for line in result.out.splitlines() if line.startswith("wrong")]


@case()
@own_stand
def check_tells_a_right_machine_from_a_wrong_one(_):
    with Lab() as lab:
        result = ask(lab, *FLAGS)
        equal((result.code, result.err, wrong_lines(result)), (0, "", []), "a right machine")
        for what in ("devices", "mtu", "address veth-a", "hugepages", "clock", "nofile"):
            check(f" {what}: " in result.out, f"no line about {what}: {result.out}")
        # As the start: it changes nothing.
        check("disable_ipv6 = 0" in lab.must("proxy", "sysctl", "net.ipv6.conf.lo.disable_ipv6"), "lo")
        with Proxy(lab):
            pass

        def mend(line):
            """Does what the line says, inside the proxy's namespace."""
            lab.must("proxy", "sh", "-c", line.split("`")[1])

        lab.must("proxy", "ip", "link", "set", "veth-b", "mtu", "1400")
        lab.must("proxy", "ip", "link", "add", "br0", "type", "bridge")
        lab.must("proxy", "ip", "link", "set", "veth-a", "master", "br0")
        lab.must("proxy", "ip", "address", "add", "192.0.2.7/24", "dev", "veth-b")
        lab.must("proxy", "nft", "add table netdev guard; add chain netdev guard in { type filter hook ingress device "
                                 "veth-a priority 0; }")
        result = ask(lab, *FLAGS)
        equal(result.code, 1, f"exit code of a wrong machine: {result.out}")
        equal(len(wrong_lines(result)), 2, f"wrong lines: {result.out}")
        check(result.err.startswith("synproxy: check: 2 of "), result.err)
        document = json.loads(ask(lab, "--json", *FLAGS).out)
        check(not document["ok"], "ok, and exit code 1")
        equal(sorted(one["check"] for one in document["checks"] if one["state"] == "wrong"), ["master", "mtu"], "wrong")
        for line in result.out.splitlines():
            if any(f" {what} veth-" in line for what in ("mtu", "master", "address", "firewall")) and "`" in line:
                mend(line)
        result = ask(lab, *FLAGS)
        equal((result.code, wrong_lines(result)), (0, []), "after what the lines say was done")
        for what in ("address veth-b: none", "firewall veth-a: none names it", "mtu: 1500 on both ports"):
            check(f"right  {what}\n" in result.out, f"{what}: {result.out}")
        for flags, words in ((["--mss", "1"], "--mss 1: is too small"), (["--nonsense"], "--nonsense: unknown flag"),
                             (["--json=1"], "--json: takes no value"), ([], "--client-port: is missing")):
            result = ask(lab, *flags)
            equal((result.code, result.out), (2, ""), f"{flags}")
            check(words in result.err and result.err.count("\n") == 1, result.err)
        result = ask(lab, *FLAGS[:3], "eth77", *FLAGS[4:])
        check(result.code == 1 and "there is no network interface 'eth77'" in result.out, result.out)


@case()
@own_stand
def check_finds_what_a_start_refuses(_):
    """Each is a line with the start's own words, and none while the proxy that has these things runs."""
    with tempfile.TemporaryDirectory(prefix="synproxy-e2e-", dir="/dev/shm") as state, Lab() as lab, lab.sockets_in("proxy"):
        lab.must("proxy", "ip", "-batch", "-", stdin=b"""link set lo up
link add top type veth peer name bottom
link add link top name mac0 type macvlan
address add 172.16.0.1/24 dev top
link set top up
link set bottom up
""")
        name = ["--name", lab.name]
        with socket.create_server(("127.0.0.1", 9123)):
            for flags, what, words in (
                    (["--state-dir", state + "/no/such"], "state-dir", "give a directory of a tmpfs"),
                    (["--state-dir", "/etc/hosts"], "state-dir", "give a directory"),
                    (["--state-dir", state, "--max-flows", "268435456"], "state-dir", "free some there, or ask for fewer"),
                    (["--metrics", "127.0.0.1:9123"], "metrics", "name another port"),
                    (["--metrics", "192.0.2.99:80"], "metrics", "see `ip address`"),
                    (["--control-group", "nosuch"], "user", "make it with `groupadd`"),
                    (["--client-port", "top", "--server-port", "host"], "host", "`ip link del mac0`"),
                    (["--client-port", "bottom", "--server-port", "host"], "host", "give it one, or name the interface")):
                flags = [*(FLAGS if "host" not in flags else FLAGS[4:]), *name, *flags]
                result = ask(lab, *flags)
                equal((result.code, len(wrong_lines(result))), (1, 1), f"{flags}: {result.out}{result.err}")
                check(f"wrong  {what}: --" in result.out and words in wrong_lines(result)[0], result.out)
                if "268435456" in flags:
                    continue  # what it would do to the machine's memory
                start = lab.run("proxy", PROGRAM, *flags, limit=20)
                equal(start.code, 2, f"the start with {flags}: {start.err}")
                check(words in start.err, f"the start with {flags}: {start.err}")
        equal(os.listdir(state), [], "what a check has written")
        flags = ["--state-dir", state, "--metrics", "127.0.0.1:9123"]
        with Proxy(lab, *flags):
            for named in (name, []):
                result = ask(lab, *FLAGS, *named, *flags)
                equal((result.code, wrong_lines(result)), (0, []), "beside the proxy that it would replace")
            check("127.0.0.1:9123: has a listener, and a proxy runs" in result.out, result.out)


@case()
@own_stand
def check_live_answers_for_monitors(_):
    with Lab() as lab, Proxy(lab) as proxy:
        name = ["--name", lab.name]
        result = ask(lab, "--live", *name)
        equal((result.code, result.err, wrong_lines(result)), (0, "", []), "a proxy that runs")
        with hung_thread(proxy.process.process.pid, "synproxy-w0"):
            result = ask(lab, "--live", *name)
            equal(result.code, 1, "exit code while a worker hangs")
            check("worker 0" in wrong_lines(result)[0] and "stands still" in result.out, result.out)
        lab.must("server", "ip", "link", "set", "eth0", "down")
        wait_for("the lost link", lambda: ask(lab, "--live", *name).code == 1, 10)
        check(not json.loads(ask(lab, "--live", "--json", *name).out)["ok"], "ok without a link")
        proxy.stop()
        result = ask(lab, "--live", *name)
        check(result.code == 1 and "wrong  running: " in result.out, result.out)
        equal(ask(lab, "--live", "--name", "../x").code, 2, "a bad name")
