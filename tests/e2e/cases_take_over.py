# SPDX-License-Identifier: BSD-3-Clause
"""Another process takes over from one that runs, and nobody notices (--take-over)."""
import contextlib
import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from cases_host import ECHO, Busy, HostProxy, echoes, same, shown, web_server
from clients import listens, must_get_page
from harness import PROGRAM, ROOT, SERVER4, Lab, Proxy, case, check, equal, own_stand, rounds, wait_for
from restart_loads import Echo, EveryLoad

LIVES = ["--epoch", "64"]


def hand_over_format():
    """kHandOverFormat, from the sources."""
    def number(header, pattern):
        with open(os.path.join(ROOT, header), encoding="ascii") as text:
            return int(re.search(pattern, text.read())[1])
    return (number("src/control/hand_over_wire.h", r"kHandOverFormat = (\d+)U << 16 \| kStoreVersion;") << 16 |
            number("include/synproxy/flow/arena.h", r"kStoreVersion = (\d+);"))


def take_over(proxy, *flags):
    """Starts the next process. Returns the microseconds that both have printed."""
    former, path, before = proxy.process, proxy.log_path, proxy.flags
    proxy.log_path = path + ".next"
    proxy.flags = [*before, "--take-over", *flags]
    try:
        proxy.start()
        equal(former.process.wait(60), 0, "exit status of the predecessor")
        wait_for("it says what it has taken over", lambda: proxy.said("taken over from .* connections? goe?s? on"), 20)
        with open(path, encoding="utf-8") as log:
            theirs = log.read()
        os.replace(proxy.log_path, path)
    finally:
        proxy.log_path, proxy.flags = path, before
    pid = f"{proxy.process.process.pid}"
    gave = re.search(rf"handed over to the process {pid}: nobody forwarded for (\d+) us", theirs)
    took = re.search(rf"taken over from the process {former.process.pid}: nobody forwarded for (\d+) us", proxy.log())
    check(gave and took, f"they said: {theirs.strip()[-300:]} / {proxy.log().strip()[-300:]}")
    equal(gave[1], took[1], "outage, as both say")
    return int(took[1])


def outlive_take_overs(*ports):
    """Transfers, silent and busy connections, requests and greetings across take-overs, to two workers and back."""
    times = rounds(2, 20)
    with Lab() as lab, Proxy(lab, "--max-flows", "65536", ports=ports, lives=LIVES) as proxy:
        loads = EveryLoad(lab)
        outages = []
        for turn in range(times):
            outages.append(loads.meet(proxy, turn + 1,
                                      lambda turn=turn: take_over(proxy, "--workers", "0" if turn % 2 else "0-1")))
            equal(len(proxy.stat()["workers"]), 2 - turn % 2, "workers")
        equal(loads.dropped, 0, "records that were dropped")
        return f"{times} take-overs, nobody forwarded for {max(outages)} us at most; {loads.end(proxy)}"


@case(600)
@own_stand
def connections_outlive_a_take_over(_):
    return outlive_take_overs("veth-a", "veth-b")


@case(600)
@own_stand
def connections_outlive_a_take_over_of_af_xdp(_):
    return outlive_take_overs("xdp:veth-a", "xdp:veth-b")


@contextlib.contextmanager
def talker(lab):
    """An echo server, and a connection to it through the proxy: says a word and hears it again."""
    echo = Echo(lab, 1)
    number = itertools.count()

    def talk(when):
        try:
            echo.all_answer(b"%d " % next(number))
        except OSError as error:
            check(False, f"the connection {when}: {error}")

    try:
        yield talk
    finally:
        echo.close()


AF_PACKET = "net_af_packet0,iface=veth-b,qdisc_bypass=1"


@contextlib.contextmanager
def tap_and_af_packet(lab, *flags):
    """A TAP, which a bridge joins with the clients, and a device of DPDK that is opened once, towards the servers."""
    with Proxy(lab, *flags, ports=("net_tap0,iface=tap-a", AF_PACKET), lives=LIVES) as proxy:
        lab.must("proxy", "ip", "-batch", "-", stdin=b"""link add br-a type bridge
link set veth-a master br-a
link set tap-a master br-a
link set br-a up
address add 192.0.2.77/24 dev tap-a
""")
        yield proxy


@case(120)
@own_stand
def devices_that_are_opened_once_change_hands(_):
    """A TAP keeps its interface; a device of DPDK is given up and opened by the next one, or again by the same one."""
    with Lab() as lab, tap_and_af_packet(lab, "--max-flows", "4096") as proxy, talker(lab) as talk:
        tap = lab.must("proxy", "ip", "-o", "addr", "show", "dev", "tap-a")
        mac_of_tap = lab.must("proxy", "cat", "/sys/class/net/tap-a/address")
        talk("before")
        outage = take_over(proxy, "--workers", "0-1")
        talk("after a take-over")
        wish = {"command": "hand-over", "format": hand_over_format(), "client_port": "net_tap0,iface=tap-a",
                "server_port": AF_PACKET, "epoch_ms": 64000, "max_flows": 4096, "secret": 0}
        answers = ask(lab, wish, {"command": "hand-over-stop"})
        check(all(a["ok"] for a in answers), f"answers: {answers}")
        wait_for("the running proxy goes on", lambda: proxy.said("has ended before it served; this one goes on"), 60)
        talk("after a successor has died")
        equal(lab.must("proxy", "ip", "-o", "addr", "show", "dev", "tap-a"), tap, "addresses of the TAP")
        equal(lab.must("proxy", "cat", "/sys/class/net/tap-a/address"), mac_of_tap, "its MAC address")
        return f"nobody forwarded for {outage} us"


HAS_THE_PORTS = """
import fcntl, json, socket, sys, time
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
peer.sendall(sys.argv[2].encode() + b"\\n")
answer, files, _, _ = socket.recv_fds(peer, 65536, 64)
count = json.loads(answer)["result"]["files"]
assert len(files) == sum(count.values()) and count["client"] == count["server"] == 3
peer.sendall(b'{"command": "hand-over-stop"}\\n')
peer.recv(65536)
for memory in (files[0], files[3]):
    fcntl.lockf(memory, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("has them", flush=True)
time.sleep(60)
"""


@case(120)
@own_stand
def af_xdp_goes_back_to_the_one_that_had_it(_):
    """A successor that dies, one that hangs with the ports in its hand, and the proxy killed: nothing stays behind."""
    wish = {"command": "hand-over", "format": hand_over_format(), "client_port": "xdp:veth-a",
            "server_port": "xdp:veth-b", "epoch_ms": 64000, "max_flows": 4096, "secret": 0}
    goes_on = "has ended before it served; this one goes on"
    with Lab() as lab, Proxy(lab, "--max-flows", "4096", ports=("xdp:veth-a", "xdp:veth-b"), lives=LIVES) as proxy:
        with talker(lab) as talk:
            talk("before")
            answers = ask(lab, wish, {"command": "hand-over-stop"})
            check(all(a["ok"] for a in answers), f"answers: {answers}")
            wait_for("the running proxy goes on", lambda: proxy.said(goes_on), 60)
            talk("after a successor has died")
            path = f"/var/run/dpdk/{lab.name}/control.sock"
            with subprocess.Popen([sys.executable, "-c", HAS_THE_PORTS, path, json.dumps(wish)],
                                  stdout=subprocess.PIPE) as hanging:
                equal(hanging.stdout.readline(), b"has them\n", "the successor")
                wait_for("it cannot go on", lambda: proxy.said("said nothing for 5 s before it served; a port is still "
                                                               "missing: --client-port xdp:veth-a: the queues are"), 40)
                hanging.kill()
                hanging.wait(60)
            wait_for("it goes on", lambda: len(re.findall(goes_on, proxy.log())) == 2, 60)
            talk("after a successor that hung")
            outage = take_over(proxy)
            talk("after a take-over")
        proxy.stop(signal.SIGKILL)
        for device in ("veth-a", "veth-b"):
            check("xdp" not in lab.must("proxy", "ip", "link", "show", device), f"a program is left on {device}")
        proxy.start()
        must_get_page(lab, 4)
        return f"nobody forwarded for {outage} us"


DIES_ON_THE_WAY = """
import fcntl, json, os, socket, sys, time
files = open(f"/run/synproxy/host.eth0.{os.stat('/proc/self/ns/net').st_ino}", "rb+")
fcntl.flock(files, fcntl.LOCK_EX | fcntl.LOCK_NB)
directory = f"/var/run/dpdk/{sys.argv[1]}"
os.path.exists(directory + "/control.sock") and os.unlink(directory + "/control.sock")
listener = socket.socket(socket.AF_UNIX)
listener.bind(directory + "/control.sock")
listener.listen()
open(directory + "/dying", "w").close()
peer = listener.accept()[0]
peer.recv(65536)
result = {"pid": os.getpid(), "index_key": [1, 2, 3, 4], "rss_word": 0, "keys": [], "zero_ms": int(time.monotonic() * 1000),
          "files": {"host": 1, "client": 0, "server": 0}}
socket.send_fds(peer, [json.dumps({"ok": True, "result": result}).encode() + b"\\n"], [files.fileno()])
assert b"hand-over-copy" in peer.recv(65536)
"""


@case(60)
@own_stand
def the_host_stays_on_its_end_over_a_take_over(_):
    """--server-port host: addresses, routes and connections stay; whoever is last puts them back, or the next start."""
    with web_server() as lab, contextlib.ExitStack() as stack:
        stack.enter_context(lab.start("server", "socat", f"TCP4-LISTEN:{ECHO},reuseaddr,fork", "EXEC:cat"))
        listens(lab, ECHO)
        before = shown(lab)
        proxy = stack.enter_context(HostProxy(lab, "--confirm", "60"))
        with lab.sockets_in("client"):
            connection = stack.enter_context(socket.create_connection((SERVER4, ECHO), timeout=20))
        echoes(connection, b"before")
        refused = lab.run("server", PROGRAM, "--name", lab.name, *proxy.flags, "--take-over")
        equal((refused.code, refused.err), (2, "synproxy: --take-over: the running proxy waits for `synproxy host "
                                            "confirm`; confirm first, or let the addresses go back\n"), "unconfirmed")
        equal(lab.run("server", PROGRAM, "host", "confirm", "--name", lab.name).out, "confirmed\n", "host confirm")
        del proxy.flags[-2:]
        busy = stack.enter_context(Busy(connection))
        outage = take_over(proxy)
        busy.goes_on("after a take-over")
        wait_for("it says that they stay", lambda: proxy.said("stay on syn-eth0"), 20)
        check("by the proxy" in lab.run("server", PROGRAM, "host", "status").out, "it answers for the host")
        for family in (4, 6):
            must_get_page(lab, family)
        busy.over = True
        busy.join()
        equal(proxy.stop(), 0, "exit code")
        same(lab, before, "after the end of the second one")
        proxy.start()
        take_over(proxy)
        proxy.stop(signal.SIGKILL)
        # A predecessor that hands over the host, and is killed before the other one serves.
        with lab.start("server", sys.executable, "-c", DIES_ON_THE_WAY, lab.name) as dying:
            wait_for("it listens", lambda: os.path.exists(f"/var/run/dpdk/{lab.name}/dying"), 60)
            successor = lab.run("server", PROGRAM, "--name", lab.name, *proxy.flags, "--take-over")
            equal(dying.process.wait(60), 0, "it has handed over the file of the host")
        check(successor.code == 1 and "hung up" in successor.err, f"the successor: {successor.code} {successor.err}")
        same(lab, before, "after the end of both")
        return f"nobody forwarded for {outage} us"


def ask(lab, *requests):
    """What a successor asks that ends after its last request: another process does it."""
    script = ("import socket, sys\n"
              "s = socket.socket(socket.AF_UNIX)\n"
              "s.connect(sys.argv[1])\n"
              "for line in sys.argv[2:]:\n"
              "    s.sendall(line.encode() + b'\\n')\n"
              "    print(s.recv(65536).split(b'\\n')[0].decode())\n")
    path = f"/var/run/dpdk/{lab.name}/control.sock"
    done = subprocess.run([sys.executable, "-c", script, path, *(json.dumps(r) for r in requests)],
                          check=True, capture_output=True, text=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextlib.contextmanager
def answered_once(lab):
    """A successor gets the running proxy's answer to its first request, and none to the next one: it cannot go on."""
    path = f"/var/run/dpdk/{lab.name}/control.sock"
    os.rename(path, path + ".its")

    def serve():
        with contextlib.suppress(OSError), listener.accept()[0] as peer, socket.socket(socket.AF_UNIX) as proxy:
            proxy.connect(path + ".its")
            proxy.sendall(peer.recv(65536))
            answer, files, _, _ = socket.recv_fds(proxy, 65536, 64)
            socket.send_fds(peer, [answer], files)
            for one in files:
                os.close(one)
            while peer.recv(65536):
                pass

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield
        finally:
            os.replace(path + ".its", path)


@case(60)
@own_stand
def take_over_without_room_takes_none(_):
    """A --state-dir with room for one; and a successor that is killed before it has any memory but that one."""
    with tempfile.TemporaryDirectory(prefix="synproxy-e2e-", dir="/dev/shm") as state, contextlib.ExitStack() as stack:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=700", "tmpfs", state], check=True)
        stack.callback(subprocess.run, ["umount", state], check=True)
        lab = stack.enter_context(Lab())
        proxy = stack.enter_context(Proxy(lab, "--state-dir", state, "--max-flows", "4096", lives=LIVES))
        talk = stack.enter_context(talker(lab))
        talk("before")
        free = os.statvfs(state).f_bavail
        successor = [PROGRAM, "--name", lab.name, *proxy.flags, "--take-over"]
        refused = lab.run("proxy", *successor)
        equal(refused.code, 2, f"exit code without room: {refused.err}")
        check(re.search(r"no room for \d+ MB", refused.err), refused.err)
        equal(os.statvfs(state).f_bavail, free, "what is free afterwards")
        equal(os.listdir(state), [f"{lab.name}.flows"], "files afterwards")
        subprocess.run(["mount", "-o", "remount,size=96m", state], check=True)
        free = os.statvfs(state).f_bavail
        path = os.path.join(state, f"{lab.name}.next.flows")
        with answered_once(lab), lab.start("proxy", *successor) as dying:
            wait_for("its memory is taken", lambda: os.path.exists(path) and os.path.getsize(path) > 0, 60)
            time.sleep(0.05)
            dying.process.kill()
            dying.process.wait(60)
        wait_for("it is given back", lambda: os.statvfs(state).f_bavail >= free, 20)
        talk("after both")
        check(proxy.running(), "the running proxy")


@case(120)
@own_stand
def take_over_that_cannot_be_leaves_the_running_proxy_alone(_):
    with tempfile.TemporaryDirectory(prefix="synproxy-e2e-", dir="/dev/shm") as state, Lab() as lab, \
            Proxy(lab, "--state-dir", state, "--max-flows", "4096", "--metrics", "127.0.0.1:9199", lives=LIVES) as proxy:
        def refused(line, *flags, **other):
            """`other`: flags of the running proxy with other values."""
            wish = [PROGRAM, "--name", lab.name, *proxy.flags, "--take-over", *flags]
            for flag, value in other.items():
                wish[wish.index("--" + flag.replace("_", "-")) + 1] = value
            result = lab.run("proxy", *wish)
            equal((result.code, result.err), (2, f"synproxy: {line}\n"), f"{flags} {other}")

        refused("--take-over: goes on with the connections of the running proxy, and --fresh starts without any; give "
                "one of them", "--fresh")
        refused("--take-over: there is nobody to take over from: --name nobody: not running; start it, or give the "
                "--name that it was started with", name="nobody")
        refused("--epoch: the running proxy has 64 s, and cookies have to go on with --take-over; give the same, or "
                "restart it", epoch="32")
        refused("--client-port veth-b: the running proxy has veth-a, and --take-over changes no port; give that one, "
                "or restart it", client_port="veth-b", server_port="veth-a")
        refused("--server-port xdp:veth-b: the running proxy has veth-b, and --take-over changes no port; give that "
                "one, or restart it", server_port="xdp:veth-b")
        refused("--take-over: --server-port net_tap0: the kernel chose the name of its interface, and would choose "
                "another one now; restart the proxy with a name of yours: net_tap0,iface=NAME", server_port="net_tap0")
        refused("--take-over: --server-port net_af_xdp0,iface=veth-b: DPDK lets nobody else have the interface before its "
                "process has ended; restart the proxy with xdp: and the name of the interface",
                server_port="net_af_xdp0,iface=veth-b")
        refused("--take-over: -- --vdev=net_ring0: the running proxy has that device until it stops, and EAL would "
                "open it before; name the device as the port, with its arguments", "--", "--vdev=net_ring0")
        # One that dies when the other one has stopped for it.
        wish = {"command": "hand-over", "format": hand_over_format(), "client_port": "veth-a", "server_port": "veth-b",
                "epoch_ms": 64000, "max_flows": 4096, "secret": 0}
        with lab.sockets_in("server"):
            listener = socket.create_server(("10.0.0.2", 8000))
        with lab.sockets_in("client"):
            client = socket.create_connection(("10.0.0.2", 8000), timeout=20)
        server = listener.accept()[0]
        client.sendall(b"before")
        answers = ask(lab, wish, {"command": "hand-over-stop"})
        check(all(a["ok"] for a in answers) and "stopped_us" in answers[1]["result"], f"answers: {answers}")
        client.sendall(b", after")
        wait_for("the running proxy goes on", lambda: proxy.said("has ended before it served; this one goes on"), 60)
        server.settimeout(20)
        text = b""
        while len(text) < 13:
            text += server.recv(100)
        equal(text, b"before, after", "what the server got")
        answers = ask(lab, {"command": "hand-over-stop"}, {"command": "hand-over-done"})
        check(not any(a["ok"] for a in answers), f"without the first request: {answers}")
        must_get_page(lab, 4)
        # And one that does it: names, files and the port of the metrics are its own.
        take_over(proxy)
        equal(os.listdir(state), [f"{lab.name}.flows"], "files of the flows")
        check(not os.path.exists(f"/var/run/dpdk/{lab.name}.next"), "nothing is left beside the name")
        client.sendall(b"still here")
        equal(server.recv(100), b"still here", "over the one that worked")
        with lab.sockets_in("proxy"):
            page = urllib.request.urlopen("http://127.0.0.1:9199/metrics", timeout=60).read().decode()
        check('synproxy_flow_resumed_total{worker="0"} 0' not in page, "the metrics are the successor's")
        proxy.stop()
        proxy.start()
        wait_for("its connections go on", lambda: proxy.said("connections? goe?s? on"), 20)
        for one in (client, server, listener):
            one.close()


class Crowd:
    """A predecessor that is none: hands over so many silent connections, as engines keep them (carried.h)."""

    RECORD = struct.Struct("<4s4sHHI 7I HBBBBH IIHH 16s16s 64x I 28x")  # CarriedFlow, spliced

    def __init__(self, lab, count):
        self.directory = f"/var/run/dpdk/{lab.name}"
        os.makedirs(self.directory, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{self.directory}/control.sock")
        self.listener.listen()
        self.count, self.wrong = count, None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def flows(self):
        """In pieces: the record, both addresses, nothing for 64 bytes, the record's number, nothing."""
        server = socket.inet_aton("10.0.0.2")
        for at in range(0, self.count, 1024):
            piece = bytearray()
            for i in range(at, min(at + 1024, self.count)):
                client = (0x0b000000 + i // 32768).to_bytes(4, "big")
                piece += self.RECORD.pack(client, server, 1024 + i % 32768, 8000, 0, i, 2 * i, i + 1, 2 * i + 1, 0, 0, 0,
                                          0, 0, 0x77, 0, 0, 2 | 1 << 12 | 1 << 14, 7, 0, 0, 0, client, server, i)
            yield bytes(piece)

    def answer(self, peer, result):
        peer.sendall(json.dumps({"ok": True, "result": result}).encode() + b"\n")

    def serve(self):
        try:
            peer = self.listener.accept()[0]
            lines = peer.makefile("rb")
            for line in lines:
                asked = json.loads(line)["command"]
                if asked == "hand-over":
                    self.answer(peer, {"pid": os.getpid(), "index_key": [1, 2, 3, 4], "rss_word": 0, "keys": [],
                                       "zero_ms": int(time.monotonic() * 1000),
                                       "files": {"host": 0, "client": 0, "server": 0}})
                elif asked == "hand-over-copy":
                    self.answer(peer, "follows")
                    for piece in self.flows():
                        peer.sendall(b'{"what":"flows","worker":0,"bytes":%d}\n' % len(piece) + piece)
                    peer.sendall(b'{"what":"end","worker":0,"bytes":0}\n')
                    self.count = 0
                elif asked == "hand-over-stop":
                    self.answer(peer, {"stopped_us": time.monotonic_ns() // 1000, "links": [True, True]})
                    peer.sendall(b'{"what":"end","worker":0,"bytes":0}\n')
                else:
                    self.answer(peer, "handed over")
        except (OSError, ValueError) as error:
            self.wrong = error

    def end(self):
        self.thread.join(60)
        self.listener.close()
        equal(self.wrong, None, "what the stand-in met")


@case(600)
@own_stand
def flows_change_hands_by_the_thousand(_):
    """So many silent connections, handed over to one worker, to two, and back; --thorough: a million."""
    count = rounds(30_000, 1_000_000)
    with Lab() as lab:
        crowd = Crowd(lab, count)
        with Proxy(lab, "--take-over", lives=LIVES) as proxy:
            crowd.end()
            proxy.flags.remove("--take-over")
            outages = []
            for workers in ("0", "0-1", "0"):
                check(proxy.gauges()["flows"] >= count, f"flows: {proxy.gauges()}")
                must_get_page(lab, 4)
                outages.append(take_over(proxy, "--workers", workers))
            # With those of the pages that are not forgotten yet.
            went_on = re.search(r"; (\d+) connections go on, 0 records", proxy.log())
            check(went_on and count <= proxy.gauges()["flows"] <= int(went_on[1]) <= count + 3, f"it said: {proxy.log()}")
            return (f"{count} connections: nobody forwarded for {outages[0]} us from one worker to one, {outages[1]} us to "
                    f"two, {outages[2]} us back")
