# SPDX-License-Identifier: BSD-3-Clause
"""Connections that the kernel carries (--flow-offload)."""
import contextlib
import ctypes
import hashlib
import os
import socket
import struct
import tempfile
import threading
import time

from cases_capture import Capture
from cases_host import HostProxy, same, shown, web_server
from cases_lists import write
from cases_operation import page_in_the_end
from cases_reload import Files
from cases_restart import die, state_directory
from cases_take_over import take_over
from clients import MB, download, sha_of, upload, url
from floods import answered_syns
from harness import CLIENT4, PROGRAM, SERVERS, Lab, Proxy, Stand, alone, case, check, equal, own_stand, wait_for

LIVES = ["--epoch", "64"]
# bpf(2)
BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_QUERY = 5, 8, 16
SCHED_CLS, TCX_INGRESS, BEFORE = 3, 46, 8


def must_be_carried(grown, least=0.4):
    """Many segments were the kernel's, and all of them count as segments that were passed on. More of them are where nothing
    else runs: each connection begins in the engine, and after a loss it is there for a while."""
    carried, passed = grown["segment_offloaded"], grown["translated"]
    check(grown["flow_offloaded"] > 0 and carried > passed * least, f"the kernel carried {carried} of {passed} segments")
    return f"the kernel carried {carried} of {passed} segments"


def both_ways(lab, families=(4, 6), size=16 * MB):
    for family in families:
        download(lab, family, size)
        upload(lab, family, size)


@case(60)
@own_stand
def the_kernel_carries_super_frames(_):
    with Stand(up=("--offloads",), offer=[]) as stand:
        with stand.proxy.counting() as grown:
            both_ways(stand.lab)
        # 1,448 bytes a segment are 46,000.
        check(grown["translated"] < 16_000, f"{grown['translated']} segments: these were no super-frames")
        return must_be_carried(grown)


@case(60)
@own_stand
def the_kernel_carries_single_frames_unless_it_must_not(_):
    with Stand(offer=[]) as stand:
        with stand.proxy.counting() as grown:
            both_ways(stand.lab, size=8 * MB)
        note = must_be_carried(grown)
        io = [grown[f"{way}_bytes_{port}"] for way, port in
              (("rx", "client"), ("tx", "server"), ("rx", "server"), ("tx", "client"))]
        # All of it came in by one port and left by the other, once. What is answered here is little, and so is what an end
        # that had to wait for the CPU sends again.
        check(all(16 * MB < octets < 28 * MB for octets in io), f"bytes of the ports: {io}")
        stand.proxy.returns_to_start()
        stand.proxy.stop()
        stand.proxy.flags += ["--flow-offload", "off"]
        stand.proxy.start()
        both_ways(stand.lab, size=4 * MB)
        equal([stand.proxy.counters()[name] for name in ("flow_offloaded", "segment_offloaded")], [0, 0], "with off")
        return note


# What is different, and the settings of net.ipv4.tcp_* at either end.
ENDS = (
    ("a client without timestamps", {"timestamps": 0}, {}),
    ("a server that does not scale its window", {}, {"window_scaling": 0}),
    ("a client that does not scale its window", {"window_scaling": 0}, {}),
    ("ECN", {"ecn": 1}, {"ecn": 1}),
    ("a server with a large scale", {}, {"rmem": "4096 131072 268435456"}),
    ("a client with a large scale", {"rmem": "4096 131072 268435456"}, {}),
    ("ends without SACK", {"sack": 0}, {"sack": 0}),
)


@case(90)
@own_stand
def the_kernel_carries_what_unlike_ends_speak(_):
    with Stand(up=("--offloads",), offer=[]) as stand:
        lab = stand.lab
        for what, client, server in ENDS:
            with contextlib.ExitStack() as stack:
                for role, values in (("client", client), ("server", server)):
                    stack.enter_context(lab.sysctl(role, **{f"tcp_{name}": value for name, value in values.items()}))
                with stand.proxy.counting() as grown:
                    both_ways(lab, (4,), 4 * MB)
                try:
                    must_be_carried(grown)
                except Exception as why:
                    raise type(why)(f"{what}: {why}") from None
        for role, device in (("client", "eth0"), ("proxy", "veth-a")):
            lab.must(role, "ip", "link", "set", device, "mtu", "1280")
        with stand.proxy.counting() as grown:
            both_ways(lab, size=4 * MB)
        must_be_carried(grown)


@case(60)
@own_stand
def what_is_lost_while_the_kernel_carries_is_sent_again(_):
    lossy = "numgen random mod 100 < 1 drop"
    for up in ((), ("--offloads",)):
        with Stand(up=up, offer=[]) as stand:
            with stand.lab.filter("client", lossy), stand.lab.filter("server", lossy), stand.proxy.counting() as grown:
                both_ways(stand.lab, size=4 * MB)
            check(grown["segment_offloaded"] > grown["translated"] / 4, f"the kernel carried {grown['segment_offloaded']} "
                                                                        f"of {grown['translated']} segments")


class Slow:
    """A transfer that takes its time, and is carried by the kernel, until somebody hurries it."""

    RATE = 6 * MB  # bytes per second

    def __init__(self, stand, upload=False, size=64 * MB):
        self.stand, self.lab = stand, stand.lab
        self.hurry, self.error, self.digest = threading.Event(), None, None
        self.path = self.lab.page_file("slow.bin", size)
        self.copy = os.path.join(self.lab.nginx, "www", "upload", "copy.bin")
        with self.lab.sockets_in("client"):
            self.connection = socket.create_connection((SERVERS[4], 80), timeout=60)
        self.thread = threading.Thread(target=self.run, args=(self.upload if upload else self.download,), daemon=True)
        self.thread.start()

    def run(self, transfer):
        try:
            transfer()
        except OSError as error:
            self.error = error

    def download(self):
        self.connection.sendall(b"GET /slow.bin HTTP/1.0\r\n\r\n")
        head, digest = b"", hashlib.sha256()
        while b"\r\n\r\n" not in head:
            head += self.some(MB)
        digest.update(head.split(b"\r\n\r\n", 1)[1])
        while data := self.connection.recv(MB):
            digest.update(data)
            self.hurry.wait(len(data) / self.RATE)
        self.digest = digest.hexdigest()

    def upload(self):
        self.connection.sendall(b"PUT /upload/copy.bin HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % os.path.getsize(self.path))
        with open(self.path, "rb") as file:
            while data := file.read(MB // 8):
                self.connection.sendall(data)
                self.hurry.wait(len(data) / self.RATE)
        while self.connection.recv(MB):
            pass
        self.digest = sha_of(self.copy)

    def some(self, most):
        data = self.connection.recv(most)
        if not data:
            raise ConnectionError("the connection has ended")
        return data

    def __enter__(self):
        try:
            self.is_carried()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.hurry.set()
        if self.thread.is_alive():
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        self.reset()
        self.thread.join(60)
        for path in (self.path, self.copy):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def is_carried(self):
        wait_for("the kernel carries it", lambda: carried(self.stand.proxy) == 1, 20)

    def is_whole(self):
        self.hurry.set()
        self.thread.join(60)
        equal((self.error, self.digest), (None, sha_of(self.path)), "what has arrived")

    def has_ended(self):
        """Early."""
        self.hurry.set()
        self.thread.join(20)
        check(not self.thread.is_alive() and self.digest != sha_of(self.path), "it goes on, or has been whole")

    def reset(self):
        """As if its client were killed: there is data that nobody has read."""
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RD)  # wakes who reads
        self.connection.close()


def carried(proxy):
    return proxy.gauges()["flows_offloaded"]


def kill_worker(lab):
    """The process of nginx that serves; another one takes its place."""
    with open(os.path.join(lab.nginx, "nginx.pid"), encoding="ascii") as text:
        lab.must("server", "pkill", "-KILL", "-P", text.read().strip())


@case(90)
@own_stand
def the_proxy_has_a_connection_back_when_it_must(_):
    with tempfile.TemporaryDirectory() as there:
        files, deny = Files(there), os.path.join(there, "deny")
        write(deny, "# nobody yet")
        with Stand("--deny-file", deny, offer=[], up=("--offloads",)) as stand:
            lab, proxy = stand.lab, stand.proxy
            with Slow(stand) as slow:
                with Capture(stand, there, "--service", f"{SERVERS[4]}:80", "--snaplen", "96") as capture:
                    wait_for("the proxy has it back", lambda: carried(proxy) == 0, 5)
                    with proxy.counting() as grown, proxy.growing("translated", 20):
                        pass
                    equal(grown["segment_offloaded"], 0, "segments that a capture does not see")
                    said = capture.end()
                check(said.endswith("captured, 0 missed") and int(said.split()[0].replace(",", "")) > 20, said)
                slow.is_carried()
                slow.is_whole()
            ends_and_returns(stand, lambda slow: lab.must("proxy", PROGRAM, "flows", "--delete", "--all", "--name", lab.name),
                             "conn_deleted")
            ends_and_returns(stand, Slow.reset, "conn_reset")
            ends_and_returns(stand, lambda slow: kill_worker(lab), None)
            proxy.returns_to_start(30)
            with Slow(stand) as slow:
                lab.must("proxy", PROGRAM, "set", "min-ttl", "65", "--name", lab.name)
                stands_still(stand, "ttl_low")
                lab.must("proxy", PROGRAM, "set", "min-ttl", "64", "--name", lab.name)
                slow.is_carried()
                write(deny, CLIENT4)
                files.reload(proxy)
                stands_still(stand, "denied")
            equal(carried(proxy), 0, "what the kernel carries")


def ends_and_returns(stand, end, counter):
    """A transfer that somebody ends: nothing of it is left."""
    with Slow(stand) as slow, stand.proxy.growing(counter) if counter else contextlib.nullcontext():
        end(slow)
        slow.has_ended()
    wait_for("the proxy has it back", lambda: carried(stand.proxy) == 0, 5)


def stands_still(stand, counter):
    wait_for("the proxy has it back", lambda: carried(stand.proxy) == 0, 5)
    wait_for(f"{counter} grows", lambda: stand.proxy.counters()[counter] > 0, 5)
    with stand.proxy.counting() as grown:
        time.sleep(0.3)
    equal(grown["segment_offloaded"], 0, f"segments that the kernel carries in spite of {counter}")


def bpf(lab, command, *fields):
    """One system call of bpf(2) in the proxy's namespace. `fields`: 32-bit words, or 64-bit ones as bytes."""
    data = b"".join(field if isinstance(field, bytes) else struct.pack("I", field) for field in fields).ljust(144, b"\0")
    attributes = ctypes.create_string_buffer(data, len(data))
    with lab.sockets_in("proxy"):
        result = ctypes.CDLL(None, use_errno=True).syscall(321, command, attributes, len(data))
    check(result >= 0, f"bpf({command}): {os.strerror(ctypes.get_errno())}")
    return result, attributes.raw


def programs_at(lab, device):
    """How many programs hang at the ingress of an interface."""
    index = int(lab.must("proxy", "cat", f"/sys/class/net/{device}/ifindex"))
    return struct.unpack_from("I", bpf(lab, BPF_PROG_QUERY, index, TCX_INGRESS)[1], 24)[0]


@case(90)
@own_stand
def a_carried_transfer_outlives_processes(_):
    with state_directory() as state, Lab("--offloads") as lab, \
            Proxy(lab, "--state-dir", state, "--max-flows", "4096", offer=[], lives=LIVES) as proxy:
        stand = type("Here", (), {"lab": lab, "proxy": proxy})
        equal([programs_at(lab, device) for device in ("veth-a", "veth-b")], [1, 1], "programs while it runs")
        for upwards in (False, True):
            with Slow(stand, upwards) as slow:
                outage = take_over(proxy)
                slow.is_carried()
                gap = die(proxy)
                slow.is_carried()
                slow.is_whole()
            equal([programs_at(lab, device) for device in ("veth-a", "veth-b")], [1, 1], "programs afterwards")
        equal(proxy.stop(), 0, "exit code")
        equal([programs_at(lab, device) for device in ("veth-a", "veth-b")], [0, 0], "programs after the end")
        return f"nobody forwarded for {outage} us over a take-over, for {gap * 1e3:.0f} ms over a death"


@case(60)
@own_stand
def without_its_interface_the_kernel_carries_nothing(_):
    with Stand(offer=[], up=("--offloads",)) as stand:
        lab, proxy = stand.lab, stand.proxy
        with Slow(stand):
            lab.must("proxy", "ip", "link", "delete", "veth-b")
            line = "the kernel carries no connections any more"
            wait_for("a line", lambda: proxy.said(line), 15)
            wait_for("the proxy has it back", lambda: carried(proxy) == 0, 5)
        lab.must("proxy", "ip", "-batch", "-", stdin=f"""link add veth-b type veth peer name eth0 netns {lab.name}-server
link set veth-b up
""".encode())
        lab.must("server", "ip", "-batch", "-", stdin=b"""link set eth0 up
address add 10.0.0.2/24 dev eth0
""")
        lab.must("client", "ip", "neigh", "flush", "dev", "eth0")
        page_in_the_end(stand)
        with proxy.counting() as grown:
            both_ways(lab, (4,), 8 * MB)
        equal((grown["segment_offloaded"], proxy.log().count(line)), (0, 1), "carried, and lines about it")


def passing_program(lab):
    """A program for the ingress that lets everything pass, and no other one see it (TCX_PASS)."""
    code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xb7, 0, 0, 0, 0x95, 0, 0, 0))
    license_ = ctypes.create_string_buffer(b"BSD")
    pointer = lambda buffer: struct.pack("Q", ctypes.addressof(buffer))  # noqa: E731
    return bpf(lab, BPF_PROG_LOAD, SCHED_CLS, 2, pointer(code), pointer(license_))[0]


@case(60)
@own_stand
def programs_of_others_at_the_ingress_lose_nothing(_):
    """One from before the start is behind ours. One that comes to the front afterwards ends our carrying."""
    with Lab("--offloads") as lab:
        index = [int(lab.must("proxy", "cat", f"/sys/class/net/{device}/ifindex")) for device in ("veth-a", "veth-b")]
        program = passing_program(lab)
        bpf(lab, BPF_PROG_ATTACH, index[0], program, TCX_INGRESS)
        with Proxy(lab, offer=[]) as proxy, lab.start("proxy", "tcpdump", "-i", "veth-b", "-w", "/dev/null"):
            with proxy.counting() as grown:
                both_ways(lab, (4,), 8 * MB)
            must_be_carried(grown)
            stand = type("Here", (), {"lab": lab, "proxy": proxy})
            with Slow(stand) as slow:
                bpf(lab, BPF_PROG_ATTACH, index[1], program, TCX_INGRESS, BEFORE)
                wait_for("a line", lambda: proxy.said("server-port veth-b: another program at its ingress"), 10)
                slow.is_whole()
            with proxy.counting() as grown:
                both_ways(lab, (4,), 8 * MB)
            equal((grown["segment_offloaded"], proxy.log().count("another program")), (0, 1), "carried, and lines")


@case(60)
@own_stand
def without_the_right_to_load_programs_the_proxy_carries_itself(_):
    def as_nobody(*rights):
        these = ",".join(["-all", *(f"+{right}" for right in rights)])
        return ["env", f"XDG_RUNTIME_DIR={there}", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                "--inh-caps", these, "--ambient-caps", these, "--bounding-set", these, PROGRAM, "--name", lab.name,
                "--protect", f"{SERVERS[4]}:80", "--client-port"]

    with Lab("--offloads") as lab, tempfile.TemporaryDirectory() as there:
        os.chmod(there, 0o777)
        bare, enough = as_nobody("net_admin", "net_raw"), as_nobody("net_admin", "net_raw", "bpf")
        refused = lab.run("proxy", *bare, "veth-a", "--server-port", "veth-b", "--flow-offload", "on")
        equal((refused.code, refused.out, refused.err.count("\n")), (2, "", 1), f"on, without CAP_BPF: {refused.err}")
        check(refused.err.startswith("synproxy: --flow-offload on: ") and "CAP_BPF" in refused.err, refused.err)
        refused = lab.run("proxy", PROGRAM, "--name", lab.name, "--protect", f"{SERVERS[4]}:80", "--client-port", "veth-a",
                          "--server-port", "net_tap0,iface=tap0", "--flow-offload", "on")
        equal((refused.code, refused.out, refused.err.count("\n")), (2, "", 1), f"on, with a TAP of DPDK: {refused.err}")
        check("between two Linux interfaces only" in refused.err and "net_tap0" in refused.err, refused.err)
        for command, mode, lines in ((bare, "auto", 1), (enough, "on", 0)):
            with lab.start("proxy", *command, "veth-a", "--server-port", "veth-b", "--flow-offload", mode) as proxy:
                def said(log=proxy.log):
                    log.seek(0)
                    return log.read().decode()

                wait_for("it is ready", lambda: "ready:" in said(), 30)
                equal(programs_at(lab, "veth-a"), 1 - lines, "programs at the ingress")
                download(lab, 4, 8 * MB)
                equal(proxy.end(), 0, f"exit code; {said()}")
                equal(said().count("--flow-offload"), lines, f"lines about it; {said()}")


@case(60)
@own_stand
def the_kernel_carries_to_the_host_itself(_):
    with web_server() as lab:
        before = shown(lab)
        with HostProxy(lab) as proxy:
            with proxy.counting() as grown:
                both_ways(lab, (4,), 8 * MB)
            must_be_carried(grown)
            equal(proxy.stop(), 0, "exit code")
        same(lab, before, "after the end")


CROWD = 30


@case(90)
@alone
@own_stand
def a_crowd_is_carried_while_syns_flood(_):
    with Stand("--workers", "0-1", offer=[], up=("--offloads",)) as stand:
        lab, proxy = stand.lab, stand.proxy
        path = lab.page_file("file.bin", 4 * MB)
        copies = [os.path.join(lab.nginx, f"copy{n}") for n in range(1, CROWD + 1)]
        begun, answered = time.monotonic(), answered_syns(lab)
        with lab.start("client", "hping3", "--flood", "-q", "-S", "--rand-source", "-p", "80", SERVERS[4]):
            with proxy.counting() as grown:
                lab.must("client", "curl", "-sS", "-f", "-m", "60", "-Z", "--parallel-max", f"{CROWD}",
                         url(4, f"/file.bin?[1-{CROWD}]"), "-o", os.path.join(lab.nginx, "copy#1"), limit=70)
            took, answered = time.monotonic() - begun, answered_syns(lab) - answered
        whole = sha_of(path)
        check(all(sha_of(copy) == whole for copy in copies), "a file has arrived otherwise than it was sent")
        check(grown["flow_offloaded"] >= CROWD / 2, f"{grown['flow_offloaded']} of {CROWD} connections were carried")
        check(answered > 1000, f"{answered} SYNs were answered")
        # On a loaded host the flood costs segments, and what follows a loss is many small ones that no kernel carries.
        note = must_be_carried(grown, 0.2)
        proxy.returns_to_start()
        return f"{note}; {answered / took:.0f} SYNs answered a second"
