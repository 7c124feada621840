# SPDX-License-Identifier: BSD-3-Clause
"""`--server-port host`: the proxy on the web server itself, whose addresses move and come back."""
import contextlib
import json
import select
import signal
import socket
import struct
import threading
import time

from clients import listens, must_get_page
from harness import PROGRAM, SERVER4, SERVER6, Failed, Lab, Proxy, case, check, equal, mac, own_stand, wait_for

ECHO = 2222
# Over IPv6 nobody protects the echo.
PROTECT = [f"{SERVER4}:80", f"[{SERVER6}]:80", f"{SERVER4}:{ECHO}"]


class HostProxy(Proxy):
    """The proxy in the server's namespace, on the server's own interface."""

    role = "server"

    def __init__(self, lab, *flags):
        super().__init__(lab, *flags, ports=("eth0", "host"), protect=PROTECT)


@contextlib.contextmanager
def web_server():
    """A lab whose client reaches the server's eth0 by a bridge. The server has what a server may have."""
    with Lab() as lab:
        equal(lab.command("bridge", "on").code, 0, "bridge on")
        ip = ["address add 10.0.0.3/24 dev eth0 label eth0:1", "address add 192.0.2.1/32 dev eth0",
              "route add 198.51.100.0/24 via 203.0.113.1 dev eth0 onlink metric 7 mtu 1400",
              "route add 203.0.113.0/24 via 10.0.0.1 src 10.0.0.3 table 77", "rule add from 10.0.0.3 table 77",
              "route add 2001:db8:7::/48 via fd00::1 metric 50", "address add fe80::77/64 dev eth0 nodad",
              "neigh add 10.0.0.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent",
              "neigh add proxy 10.0.0.88 dev eth0"]
        lab.must("server", "ip", "-batch", "-", stdin="\n".join(ip).encode())
        yield lab


def shown(lab):
    """All that must be the same before and after."""
    asked = ("address show dev eth0", "-4 route show table all", "-6 route show table all", "rule", "-6 rule",
             "neigh show dev eth0 nud permanent", "neigh show proxy", "link show dev eth0")
    all_of_it = {}
    for what in asked:
        text = lab.must("server", "ip", "-j", *what.split())
        all_of_it[what] = json.loads(text) if text.strip() else []
    for key in ("disable_ipv6", "accept_dad", "addr_gen_mode"):
        all_of_it[key] = lab.must("server", "cat", f"/proc/sys/net/ipv6/conf/eth0/{key}")
    all_of_it["links"] = lab.must("server", "ip", "-o", "link").count("\n")
    all_of_it["tc"] = lab.must("server", "tc", "qdisc", "show", "dev", "eth0")
    return all_of_it


def in_order(all_of_it):
    key = lambda entry: json.dumps(entry, sort_keys=True)  # noqa: E731
    return {what: sorted(one, key=key) if isinstance(one, list) else one for what, one in all_of_it.items()}


def same(lab, before, when):
    """In the end: the kernel tells the state of a link a while after its change."""
    was, end = in_order(before), time.monotonic() + 10
    while (now := in_order(shown(lab))) != was and time.monotonic() < end:
        time.sleep(0.1)
    for what, one in was.items():
        equal(now[what], one, f"{when}: {what}")


def echoes(connection, text):
    connection.sendall(text)
    got = b""
    while len(got) < len(text):
        ready, _, _ = select.select([connection], [], [], 20)  # what was lost on the way is sent again
        check(ready, f"a connection from before the start is silent after {got!r}")
        part = connection.recv(4096)
        check(part, "a connection from before the start has ended")
        got += part
    equal(got, text, "what comes back")


class Busy(threading.Thread):
    """Sends and expects the same back, without a pause, until its block ends."""

    def __init__(self, connection):
        super().__init__()
        self.connection, self.rounds, self.over, self.error = connection, 0, False, None

    def run(self):
        try:
            while not self.over:
                echoes(self.connection, b"y" * 2000)
                self.rounds += 1
        except (Failed, OSError) as error:
            self.error = error

    def goes_on(self, when):
        before = self.rounds
        wait_for(f"the busy connection goes on {when}", lambda: self.error or self.rounds > before + 10, 25)
        check(self.error is None, f"the busy connection {when}: {self.error}")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.join()


def arp_answers(lab):
    """The MAC addresses that answer one ARP request for the server."""
    source = bytes.fromhex(mac(lab, "client").replace(":", ""))
    with lab.sockets_in("client"):
        link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    with link:
        link.bind(("eth0", 0x0806))
        link.send(b"\xff" * 6 + source + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + source +
                  socket.inet_aton("10.0.0.1") + b"\0" * 6 + socket.inet_aton(SERVER4))
        answers, end = [], time.monotonic() + 10
        while (left := end - time.monotonic()) > 0:
            if select.select([link], [], [], left)[0]:
                frame = link.recv(100)
                if frame[20:22] == b"\0\2" and frame[28:32] == socket.inet_aton(SERVER4):
                    answers.append(frame[22:28].hex(":"))
                    end = time.monotonic() + 0.4  # for another one
        return answers


@case(60)
@own_stand
def the_host_moves_to_its_end_and_back(_):
    with web_server() as lab, contextlib.ExitStack() as stack:
        stack.enter_context(lab.start("server", "socat", f"TCP6-LISTEN:{ECHO},reuseaddr,fork,ipv6only=0", "EXEC:cat"))
        listens(lab, ECHO)
        connections = []
        for family, address in ((socket.AF_INET, SERVER4), (socket.AF_INET6, SERVER6)):
            with lab.sockets_in("client"):
                connections.append(stack.enter_context(socket.socket(family)))
            connections[-1].connect((address, ECHO))
        before = shown(lab)
        for connection in connections:
            echoes(connection, b"before")
        # One is busy all the time, on a protected port; the other is idle.
        busy = stack.enter_context(Busy(connections[0]))
        proxy = stack.enter_context(HostProxy(lab))
        check(proxy.said("moved from eth0 to syn-eth0"), proxy.log())
        busy.goes_on("after the start")
        echoes(connections[1], b"x" * 100_000)
        with proxy.counting() as grown:
            for family in (4, 6):
                must_get_page(lab, family)
        equal(grown["conn_established"], 2, "connections by the proxy")
        equal(arp_answers(lab), [mac(lab, "server")], "answers to an ARP request")
        lab.must("client", "curl", "-sf", "-m", "5", "http://10.0.0.3/")  # a second address, which nobody protects
        # What is added meanwhile comes back too.
        lab.must("server", "ip", "address", "add", "10.0.0.4/24", "dev", "syn-eth0")
        equal(proxy.stop(), 0, "exit code")
        busy.goes_on("after the end")
        echoes(connections[1], b"after")
        lab.must("server", "ip", "address", "del", "10.0.0.4/24", "dev", "eth0")
        same(lab, before, "after the end")
        must_get_page(lab, 4)


def ask(lab, *words):
    return lab.run("server", PROGRAM, "host", *words)


@case(60)
@own_stand
def the_host_comes_back_whatever_happens(_):
    with web_server() as lab:
        before = shown(lab)
        refusals(lab)
        same(lab, before, "after refusals")
        with HostProxy(lab, "--confirm") as proxy:
            for answer in ("confirmed\n", "nothing waits to be confirmed\n"):
                equal(ask(lab, "confirm", "--name", lab.name).out, answer, "host confirm")
            check(proxy.said("is confirmed by uid 0"), proxy.log())
            result = ask(lab, "restore")
            check(result.code == 1 and "runs" in result.err, f"beside a proxy that runs: {result.out}{result.err}")
            proxy.stop(signal.SIGKILL)
            check("left behind" in ask(lab, "status").out, "status of what a killed proxy has left")
            result = ask(lab, "restore")
            equal((result.code, result.err), (0, ""), "host restore")
            same(lab, before, "after host restore")
            equal(ask(lab, "restore").out, "nothing to put back\n", "host restore again")
            must_get_page(lab, 4)
            # What the kernel refuses is not forgotten, and keeps nobody from starting.
            proxy.start()
            proxy.stop(signal.SIGKILL)
            lab.must("server", "ip", "link", "set", "eth0", "down")
            for _ in range(2):
                result = ask(lab, "restore")
                check(result.code == 1 and "route 10.0.0.0/24" in result.err, f"host restore: {result.out}{result.err}")
            flags = proxy.flags
            proxy.flags = ["--client-port", "bare", "--server-port", "other", *flags[4:-1]]
            lab.must("server", "ip", "link", "add", "bare", "type", "veth", "peer", "name", "other")
            proxy.start()
            check(proxy.said("not put back: eth0: route"), f"a start on other interfaces: {proxy.log()}")
            proxy.stop()
            proxy.flags = flags
            lab.must("server", "ip", "link", "del", "bare")
            lab.must("server", "ip", "link", "set", "eth0", "up")
            result = ask(lab, "restore")
            equal((result.code, result.err), (0, ""), "host restore, now that the interface is up")
            same(lab, before, "after what was refused before")
            proxy.start()
            proxy.stop(signal.SIGKILL)
        lab.must("server", "ip", "-6", "route", "add", "2001:db8:99::/48", "dev", "syn-eth0", "expires", "1")
        time.sleep(1.2)
        with HostProxy(lab, "--confirm", "4") as proxy:  # the next start puts back, then moves again
            check(proxy.said("left behind"), proxy.log())
            wait_for("the watchdog puts back", lambda: not proxy.running(), 20)
            equal(proxy.process.process.returncode, 1, "exit code of a start that nobody confirms")
            check(proxy.said("nobody has confirmed"), proxy.log())
        kept = lab.must("server", "ip", "-6", "route", "show", "2001:db8:99::/48")
        check(not kept.strip() or "expires" in kept, f"a route whose time was over is there for ever: {kept}")
        lab.run("server", "ip", "-6", "route", "del", "2001:db8:99::/48", "dev", "eth0")
        same(lab, before, "after the watchdog")


def refusals(lab):
    lab.must("server", "ip", "-batch", "-", stdin=b"""link add bare type veth peer name other
link add br0 type bridge
link add slave type veth peer name far master br0
link set slave master br0
link add top type veth peer name bottom
link add link top name mac0 type macvlan
address add 172.16.0.1/24 dev top
link set top up
link set bare up
""")
    try:
        for words, text in ((["host", "eth0"], "give it as --server-port"),
                            (["net_tap0", "host"], "no interface of --client-port net_tap0"),
                            (["bare", "host"], "bare has no address"), (["slave", "host"], "slave belongs to br0"),
                            (["top", "host"], "top carries the interface mac0"), (["eth9", "host"], "eth9"),
                            (["eth0", "bare", "--confirm"], "--confirm: is for --server-port host"),
                            (["eth0", "host", "--confirm", "x"], "--confirm x: is not a number")):
            result = lab.run("server", PROGRAM, "--name", lab.name, "--protect", PROTECT[0],
                             "--client-port", words[0], "--server-port", words[1], *words[2:])
            equal((result.code, result.out, result.err.count("\n")), (2, "", 1), f"{words}: {result.err}")
            check(text in result.err, f"{words}: {result.err}")
        result = ask(lab, "restor")
        equal((result.code, result.err.count("\n")), (2, 1), result.err)
    finally:
        for name in ("bare", "slave", "br0", "top"):
            lab.run("server", "ip", "link", "del", name)
