# SPDX-License-Identifier: BSD-3-Clause
"""The base of the cases: a lab, processes inside it, the proxy under test and its counters."""
import contextlib
import ctypes
import fcntl
import functools
import glob
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time

import telemetry

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAB_SH = os.path.join(ROOT, "scripts", "lab.sh")
BUILD = os.environ.get("SYNPROXY_BUILD", os.path.join(ROOT, "build"))
PROGRAM = os.path.join(BUILD, "synproxy")

CLIENT4, CLIENT6 = "10.0.0.1", "fd00::1"
SERVER4, SERVER6 = "10.0.0.2", "fd00::2"
SERVERS = {4: SERVER4, 6: SERVER6}
CLIENTS = {4: CLIENT4, 6: CLIENT6}
OUR_NETS = ("10.0.0.", "fd00::")
# Long variants of measurements; run.py --thorough sets it.
THOROUGH = "SYNPROXY_THOROUGH"
# Port 80 is nginx's; the others are for servers that a case starts itself.
OTHER_PORTS = "8000-8099"
TUTORIAL_FLAGS = ["--sack-perm", "--timestamp", "--wscale", "7", "--mss", "1460"]
# Short timeouts, so that a case sees the end of a flow and the leak check sees its return.
SHORT_LIVES = ["--server-timeout", "3", "--idle-timeout", "20", "--close-timeout", "2", "--epoch", "8"]


class Failed(Exception):
    """A case's expectation did not hold; the text says which."""


def check(condition, text):
    if not condition:
        raise Failed(text)


def equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def host(family):
    return f"[{SERVER6}]" if family == 6 else SERVER4


def wait_for(what, condition, seconds, pause=0.05):
    """Polls until condition() is true. The limit is generous, because a loaded machine is slow and not wrong."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < end, f"waited {seconds} s in vain: {what}")
        time.sleep(pause)


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


def run(command, limit=120, stdin=b"", text=True):
    """Runs to the end. If anything interrupts the wait (also the case's time limit), the whole group ends."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True)
    try:
        out, err = process.communicate(stdin, timeout=limit)
    except BaseException as why:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(why, subprocess.TimeoutExpired):
            raise Failed(f"no end after {limit} s: {' '.join(command)}") from None
        raise
    if text:
        out, err = out.decode(errors="replace"), err.decode(errors="replace")
    return Result(process.returncode, out, err)


class Background:
    """A process of a case; ended when its with-block ends."""

    def __init__(self, command, log=None):
        self.log = log or tempfile.TemporaryFile()  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log,
                                        start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def running(self):
        return self.process.poll() is None

    def end(self, how=signal.SIGTERM, limit=60):
        if self.running():
            self.process.send_signal(how)
            try:
                self.process.wait(limit)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        return self.process.returncode


PIECE = 1 << 20


@functools.cache
def random_bytes():
    return memoryview(os.urandom(4 * PIECE))


class Lab:
    """The namespaces of scripts/lab.sh, under a name of this process's own."""

    count = 0

    def __init__(self, *up_flags):
        Lab.count += 1
        self.name = f"syne2e-{os.getpid()}-{Lab.count}"
        self.up_flags = list(up_flags)

    def __enter__(self):
        try:
            result = self.command("up", "--owner", str(os.getpid()), *self.up_flags)
            check(result.code == 0, f"lab up: {result.err.strip()}")
        except BaseException:
            self.command("down")  # killed at a time limit, `up` leaves what it has made so far
            raise
        return self

    def __exit__(self, *_):
        self.command("down")

    @functools.cached_property
    def nginx(self):
        """The web server's directory."""
        return dict(line.split("=", 1) for line in self.command("show").out.split()).get("nginx")

    def command(self, *arguments):
        return run([LAB_SH, "--name", self.name, *arguments])

    def inside(self, role, *command):
        return ["ip", "netns", "exec", f"{self.name}-{role}", *command]

    def run(self, role, *command, limit=120, stdin=b"", text=True):
        return run(self.inside(role, *command), limit, stdin, text)

    def must(self, role, *command, limit=120, stdin=b""):
        result = self.run(role, *command, limit=limit, stdin=stdin)
        check(result.code == 0, f"{' '.join(command)}: exit {result.code}: {result.err.strip()[-300:]}")
        return result.out

    def start(self, role, *command, log=None):
        return Background(self.inside(role, *command), log)

    def page_file(self, name, size):
        """A file of random bytes: pieces from anywhere in some that are made once."""
        path, source = os.path.join(self.nginx, "www", name), random_bytes()
        with open(path, "wb") as out:
            for left in range(size, 0, -PIECE):
                begin = random.randrange(len(source) - PIECE)
                out.write(source[begin:begin + min(left, PIECE)])
        return path

    @contextlib.contextmanager
    def sysctl(self, role, **values):
        """Sets net.ipv4.<name> in that namespace and puts the old values back."""
        old = {}
        for name, value in values.items():
            key = f"net.ipv4.{name}"
            old[key] = self.must(role, "sysctl", "-n", key).strip()
            self.must(role, "sysctl", "-q", "-w", f"{key}={value}")
        try:
            yield
        finally:
            for key, value in old.items():
                self.run(role, "sysctl", "-q", "-w", f"{key}={value}")

    @contextlib.contextmanager
    def filter(self, role, rule):
        """An nft rule on what arrives at eth0 of that namespace, for as long as the block runs."""
        self.must(role, "nft", "-f", "-", stdin=f"""
            table netdev case {{
              chain ingress {{ type filter hook ingress device "eth0" priority 10; policy accept;
                {rule}
              }}
            }}""".encode())
        try:
            yield
        finally:
            self.run(role, "nft", "delete", "table", "netdev", "case")

    @contextlib.contextmanager
    def sockets_in(self, role):
        """Sockets made in this block belong to that namespace, and stay there."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{self.name}-{role}", "rb") as there:
            set_net_namespace(there.fileno())
            try:
                yield
            finally:
                set_net_namespace(home.fileno())


def set_net_namespace(fd):
    clone_newnet = 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, clone_newnet) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Counting:
    """For a proxy that has stat()."""

    def counters(self):
        """The counters of all workers together: the fates of packets, and what the ports counted."""
        _, total = self.totals()
        return {**total["counters"], **total["io"]}

    def totals(self):
        """The packet buffers in use, and what all workers have together."""
        stat = self.stat()
        return stat["mbufs"]["in_use"], stat["total"]

    @contextlib.contextmanager
    def counting(self):
        """Yields a dict that holds, after the block, how much every counter has grown in it."""
        grown = {}
        before = self.counters()
        yield grown
        after = self.counters()
        grown.update({name: after[name] - before[name] for name in after})

    @contextlib.contextmanager
    def growing(self, name, by=1, limit=20):
        """Waits at its end until that counter has grown by so much since its begin."""
        least = self.counters()[name] + by
        yield
        wait_for(f"{name} grows by {by}", lambda: self.counters()[name] >= least, limit)


def turn_of_each_worker(pid, limit=3):
    """Returns when each worker has looked at its ports: it has slept twice, which it does only when it has found nothing, or
    has run for 10 ms. On a loaded machine that may take long."""
    def progress(task):
        with open(f"{task}/schedstat", encoding="ascii") as schedstat, open(f"{task}/status", encoding="utf-8") as status:
            sleeps = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read(), re.M)
            return int(sleeps[1]), int(schedstat.read().split()[0]) / 1e6

    def workers():
        for task in glob.glob(f"/proc/{pid}/task/*"):
            with open(f"{task}/comm", encoding="utf-8") as name:
                if name.read().startswith("synproxy-w"):
                    yield task

    with contextlib.suppress(OSError):  # it ends
        waiting = {task: progress(task) for task in workers()}
        end = time.monotonic() + limit
        while waiting and time.monotonic() < end:
            for task, (sleeps, ran) in list(waiting.items()):
                now = progress(task)
                if now[0] >= sleeps + 2 or now[1] >= ran + 10:
                    del waiting[task]
            time.sleep(0.001)


class Proxy(Counting):
    """The program under test, in the proxy's namespace of a lab."""

    role = "proxy"

    def __init__(self, lab, *flags, ports=("veth-a", "veth-b"), protect=None, offer=None, lives=None):
        self.lab = lab
        self.flags = ["--client-port", ports[0], "--server-port", ports[1]]
        for one in protect or [f"{SERVER4}:80", f"[{SERVER6}]:80", f"{SERVER4}:{OTHER_PORTS}",
                               f"[{SERVER6}]:{OTHER_PORTS}"]:
            self.flags += ["--protect", one]
        self.flags += TUTORIAL_FLAGS if offer is None else offer
        self.flags += SHORT_LIVES if lives is None else lives
        self.flags += flags
        self.log_path = os.path.join(tempfile.gettempdir(), f"{lab.name}.proxy.log")
        self.process = None
        self.level = None  # mbufs and flows at the start

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.end()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.log_path)

    def start(self):
        with open(self.log_path, "wb") as log:
            self.process = self.lab.start(self.role, PROGRAM, "--name", self.lab.name, *self.flags, log=log)
        # Generous: EAL starts slowly on a busy machine.
        wait_for("the proxy says ready", lambda: self.said("ready") or not self.running(), 60)
        check(self.running(), f"the proxy ended at its start: {self.log().strip()[-400:]}")
        self.level = self.gauges()

    def stop(self, how=signal.SIGTERM):
        return self.process.end(how)

    def running(self):
        return self.process is not None and self.process.running()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def said(self, word):
        return re.search(word, self.log()) is not None

    def stat(self):
        result = self.lab.run(self.role, PROGRAM, "stat", "--json", "--name", self.lab.name)
        check(result.code == 0, f"stat --json: exit {result.code}: {result.err.strip()}")
        return json.loads(result.out)

    def totals(self):
        time.sleep(0.01)  # for frames that are on their way
        if self.running():
            for _ in range(2):  # one worker may have handed frames over to another
                turn_of_each_worker(self.process.process.pid)
        try:
            return telemetry.totals(self.lab.name)
        except OSError:
            return super().totals()  # `synproxy stat` looks elsewhere too, and says why it fails

    def gauges(self):
        buffers, total = self.totals()
        return {"mbufs in use": buffers, **total["gauges"]}

    def flows(self, *words):
        return self.lab.must(self.role, PROGRAM, "flows", "--name", self.lab.name, *words)

    def end_forged(self):
        """Ends what the sender of a flood has opened: of millions of forged ACKs one passes. Nobody is at its address, where
        the server would tell for minutes that it has ended the connection."""
        for source in {flow["client"] for flow in json.loads(self.flows("--json"))}:
            if not source.startswith(OUR_NETS):
                self.flows("--src", source, "--delete")

    def returns_to_start(self, limit=90, driver_keeps=0):
        """Checks that nothing leaked: flows are back where they were, and no more buffers are out, while the ports
        still run.

        Fewer is no leak: at the first look a neighbour's frame may have been on its way. A driver may keep that many
        transmitted buffers until it transmits again (AF_XDP fetches what its completion ring reports with the next
        burst).
        """
        end = time.monotonic() + limit
        while True:
            now = self.gauges()
            kept = now["mbufs in use"] - self.level["mbufs in use"]
            # Cookies stay tight for a minute after a flood.
            if kept <= driver_keeps and {**now, "mbufs in use": 0} == {**self.level, "mbufs in use": 0}:
                return f"at the start {in_words(self.level)}; at the end {in_words(now)}"
            check(time.monotonic() < end, f"leak: at the start {in_words(self.level)}; "
                                          f"{limit} s after the end {in_words(now)}\n{self.flows()}")
            time.sleep(0.5)


def mac(lab, role, device="eth0"):
    siocgifhwaddr = 0x8927
    with lab.sockets_in(role), socket.socket() as any_socket:
        answer = fcntl.ioctl(any_socket, siocgifhwaddr, struct.pack("40s", device.encode()))
    return answer[18:24].hex(":")


def in_words(gauges):
    return ", ".join(f"{count} {name}" for name, count in gauges.items())


class Stand:
    """A lab with a proxy in it."""

    def __init__(self, *proxy_flags, up=(), **proxy_options):
        self.lab = Lab(*up)
        self.proxy = Proxy(self.lab, *proxy_flags, **proxy_options)

    def __enter__(self):
        self.lab.__enter__()
        try:
            self.proxy.__enter__()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.proxy.__exit__()
        finally:
            self.lab.__exit__()


def rounds(few, many):
    """How often to measure: `many` with run.py --thorough."""
    return many if os.environ.get(THOROUGH) else few


CASES = {}


def case(limit=60):
    """Registers a test case. The function's name is the name of the case; its argument is the shared stand."""

    def register(function):
        CASES[function.__name__] = (function, limit)
        return function

    return register


def own_stand(function):
    """Marks a case that makes its own lab: its argument is None, and it needs no shared proxy."""
    function.own_stand = True
    return function


def alone(function):
    """Marks a case that runs when no other does: it measures, or loads the machine by design, or counts on how much
    is lost. Where a CPU cannot keep up, its backlog of received packets overflows, and that is of all labs."""
    function.company = "none"
    return function


def far(function):
    """Marks a case that measures how long a long way takes. It hardly works: it runs beside its like."""
    function.company = "far"
    return function
