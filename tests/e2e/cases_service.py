# SPDX-License-Identifier: BSD-3-Clause
"""The program as a service: what it tells its manager, over a socket that speaks systemd's protocol."""
import contextlib
import ctypes
import os
import signal
import socket
import statistics
import tempfile
import time

from clients import must_get_page
from harness import PROGRAM, SERVERS, Lab, Proxy, case, check, equal, own_stand, wait_for
from restart_loads import Echo

WATCHDOG = 1.2  # seconds; WatchdogSec of the unit
FED = 3  # times that a watchdog is fed at most while a worker hangs: each 200 ms for 500 ms


class Manager:
    """Stands in for systemd: starts the program with its variables, and hears what it says."""

    def __init__(self, lab, directory):
        self.lab, self.log_path = lab, os.path.join(directory, "log")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = os.path.join(directory, "notify")
        self.socket.bind(self.path)
        self.heard = []  # (time, message)
        self.kept = None  # the descriptor store, of one place

    def variables(self, journal):
        yield f"NOTIFY_SOCKET={self.path}"
        yield f"WATCHDOG_USEC={int(WATCHDOG * 1e6)}"
        if journal:
            status = os.fstat(journal)
            yield f"JOURNAL_STREAM={status.st_dev}:{status.st_ino}"

    def handed(self):
        """Puts what is kept where the program looks for it (sd_listen_fds(3))."""
        if self.kept is None:
            return []
        return ["LISTEN_FDS=1", "LISTEN_FDNAMES=flows", "sh", "-c", 'exec 3<>"$0"; LISTEN_PID=$$ exec "$@"',
                f"/proc/{os.getpid()}/fd/{self.kept}"]

    def keep(self, text, descriptors):
        if text.startswith("FDSTOREREMOVE=1\nFDNAME=flows") and self.kept is not None:
            os.close(self.kept)
            self.kept = None
        for descriptor in descriptors:
            if text == "FDSTORE=1\nFDNAME=flows" and self.kept is None:
                self.kept = descriptor
            else:
                os.close(descriptor)

    def start(self, *flags):
        with open(self.log_path, "wb") as log:
            return self.lab.start("proxy", "env", *self.variables(log.fileno()), *self.handed(), PROGRAM,
                                  "--name", self.lab.name,
                                  "--client-port", "veth-a", "--server-port", "veth-b", "--protect",
                                  f"{SERVERS[4]}:80", *flags, log=log)

    def log(self):
        with open(self.log_path, encoding="utf-8") as log:
            return log.read()

    def hear(self, seconds):
        """The next message; None: none came for that long."""
        self.socket.settimeout(max(0.001, seconds))
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 4)
        except TimeoutError:
            return None
        text = data.decode()
        self.keep(text, descriptors)
        self.heard.append((time.monotonic(), text))
        return text

    def catch_up(self):
        """Hears all that has been said so far."""
        while self.hear(0) is not None:
            pass

    def listen(self, seconds, until=None):
        """Hears what comes for that long, or until a message begins with that word, which is returned."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            text = self.hear(end - time.monotonic())
            if until and text is not None and text.startswith(until):
                return text
        check(until is None, f"no {until} within {seconds} s; heard {[text for _, text in self.heard]}; {self.log()}")
        return None

    def times(self, word):
        return [at for at, text in self.heard if text.startswith(word)]


@contextlib.contextmanager
def hung_thread(pid, name):
    """That thread of the process stands still while the block runs; the others go on."""
    libc = ctypes.CDLL(None, use_errno=True)
    seize, interrupt, detach = 0x4206, 0x4207, 17
    tasks = f"/proc/{pid}/task"
    found = []
    for tid in os.listdir(tasks):
        with open(f"{tasks}/{tid}/comm", encoding="ascii") as comm:
            if comm.read().strip() == name:
                found.append(int(tid))
    equal(len(found), 1, f"threads called {name}")
    for request in (seize, interrupt):
        check(libc.ptrace(request, found[0], None, None) == 0, f"ptrace: {os.strerror(ctypes.get_errno())}")
    os.waitpid(found[0], 0x40000000)  # __WALL
    try:
        yield
    finally:
        libc.ptrace(detach, found[0], None, None)


@case()
@own_stand
def manager_is_told_ready_reload_watchdog_and_stop(_):
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        manager = Manager(lab, directory)
        config = os.path.join(directory, "conf")
        with open(config, "w", encoding="ascii") as out:
            out.write("wscale = 7\n")
        with manager.start("--config", config) as program:
            manager.listen(30, "READY=1")
            must_get_page(lab, 4)  # frames move when it says so
            program.process.send_signal(signal.SIGHUP)
            check("MONOTONIC_USEC=" in manager.listen(20, "RELOADING=1"), "RELOADING=1 without its time")
            manager.listen(20, "READY=1")
            check("flows" in manager.listen(20, "STATUS=SYN/s"), "no rates in STATUS=")
            manager.listen(1)
            fed = manager.times("WATCHDOG=1")
            # Not the longest: program and case may have been off the CPU.
            usual = statistics.median(b - a for a, b in zip(fed, fed[1:]))
            check(usual < WATCHDOG, f"the watchdog mostly waited {usual:.2f} s")
            with hung_thread(program.process.pid, "synproxy-w0"):
                manager.catch_up()
                before = len(manager.times("WATCHDOG=1"))
                manager.listen(2)
                fed = len(manager.times("WATCHDOG=1")) - before
                check(fed <= FED, f"a worker hangs, and the watchdog was fed {fed} times")
            manager.listen(20, "WATCHDOG=1")
            equal(program.end(), 0, "exit code")
            manager.listen(20, "STOPPING=1")
        lines = manager.log().splitlines()
        check(all(line.startswith(("<6>", "<4>")) for line in lines), f"priorities: {lines}")
        check(any(line.startswith("<6>ready: ") for line in lines), f"{lines}")
        with manager.start("--mss", "1") as program:
            wait_for("the end", lambda: not program.running(), 60)
            check(manager.log().startswith("<3>--mss 1: "), manager.log())
        return f"the watchdog was fed each {usual:.2f} s, and {fed} times while a worker hung"


@case()
@own_stand
def manager_keeps_the_connections_of_a_killed_process(_):
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        manager = Manager(lab, directory)
        flags = ["--protect", f"{SERVERS[4]}:8000", "--epoch", "64", "--max-flows"]
        with manager.start(*flags, "4096") as program:
            manager.listen(30, "READY=1")
            check(manager.kept is not None, f"nothing was to be kept: {manager.heard}")
            echo = Echo(lab, 20)
            echo.all_answer(b"before")
            program.process.send_signal(signal.SIGKILL)
            program.process.wait(60)
        with manager.start(*flags, "4096") as program:
            manager.listen(30, "READY=1")
            wait_for("its line", lambda: "20 connections go on, 0 records were dropped" in manager.log(), 20)
            echo.all_answer(b"after")
            equal(sum(text.startswith("FDSTORE=1") for _, text in manager.heard), 1, "times it was to be kept")
            equal(program.end(), 0, "exit code")
        with manager.start(*flags, "8192") as program:
            manager.listen(30, "READY=1")
            wait_for("its line", lambda: "<4>the descriptor store of the service manager: what it holds has another shape: "
                     "--max-flows of each worker was 4096 and is 8192; started empty\n" in manager.log(), 20)
            equal(sum(text.startswith("FDSTORE=1") for _, text in manager.heard), 2, "times it was to be kept")
            must_get_page(lab, 4)
        echo.close()


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)


def interface_facts(lab, device):
    features = lab.must("proxy", "ethtool", "-k", device)
    ipv6 = lab.must("proxy", "cat", f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6")
    program = "xdp" in lab.must("proxy", "ip", "link", "show", device)
    return features, ipv6, program


def nothing_kept(kind, capabilities):
    """A proxy with --user on ports of that kind: what is left to it, and that it serves, reloads and restores."""
    user, uid = "nobody", 65534
    # AF_XDP sees checksums that a virtual interface leaves unfinished.
    with Lab(*([] if kind else ["--offloads"])) as lab, tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        config = os.path.join(directory, "conf")
        with open(config, "w", encoding="ascii") as out:
            out.write("wscale = 7\n")
        secret = os.path.join(directory, "secret")
        with open(secret, "wb") as out:
            out.write(os.urandom(32))
        os.chown(secret, uid, 0)
        os.chmod(secret, 0o600)
        for device in ("veth-a", "veth-b"):
            lab.must("proxy", "sysctl", "-q", "-w", f"net.ipv6.conf.{device}.disable_ipv6=0")
        before = [interface_facts(lab, device) for device in ("veth-a", "veth-b")]
        with Proxy(lab, "--user", user, "--config", config, "--secret-file", secret, "--workers", "0",
                   ports=(f"{kind}veth-a", f"{kind}veth-b"), offer=[]) as proxy:
            pid = proxy.process.process.pid
            check([interface_facts(lab, device) for device in ("veth-a", "veth-b")] != before, "nothing was prepared")
            for task in os.listdir(f"/proc/{pid}/task"):
                try:
                    status = status_of(f"{pid}/task/{task}")
                except (FileNotFoundError, ProcessLookupError):
                    continue  # one that has answered a look at the counters ends when that is over
                for key in ("Uid", "Gid"):
                    check(len(set(status[key].split())) == 1 and status[key].split()[0] != "0", f"{key} {status[key]}")
                equal(status["Uid"].split()[0], str(uid), "uid")
                equal(int(status["CapInh"], 16) | int(status["CapAmb"], 16), 0, "capabilities for others")
                check(int(status["CapPrm"], 16) in (0, capabilities), f"thread {status['Name']}: {status['CapPrm']}")
                equal(status["Seccomp"], "2", f"filter of system calls of {status['Name']}")
            status = status_of(pid)
            for key in ("CapPrm", "CapEff", "CapBnd"):
                equal(int(status[key], 16), capabilities, key)
            equal(status["NoNewPrivs"], "1", "no-new-privileges")
            equal(os.stat(f"/proc/{pid}/environ").st_uid, 0, "owner of what only a dumpable process gives to its user")
            must_get_page(lab, 4)
            must_get_page(lab, 6)
            with open(config, "w", encoding="ascii") as out:
                out.write("wscale = 9\n")
            proxy.process.process.send_signal(signal.SIGHUP)
            wait_for("the reload", lambda: proxy.said("reloaded: wscale 7 -> 9"), 60)
            check(not proxy.said("cannot read"), proxy.log())
            equal(proxy.stop(), 0, "exit code")
        equal([interface_facts(lab, device) for device in ("veth-a", "veth-b")], before, "the interfaces afterwards")
        # What the last process could not remove is in nobody's way.
        with Proxy(lab, "--config", config, "--secret-file", secret, "--user", user, offer=[]) as proxy:
            os.chmod(config, 0o600)
            proxy.process.process.send_signal(signal.SIGHUP)
            wait_for("the refusal", lambda: proxy.said("not reloaded: --config"), 60)
            must_get_page(lab, 4)
        with Proxy(lab, "--config", config, "--user", user, offer=[]) as proxy:
            check(proxy.said(f"the user {user} cannot read it"), proxy.log())


@case()
@own_stand
def no_privilege_is_kept_with_raw_sockets(_):
    return nothing_kept("", 1 << 12 | 1 << 13)


@case()
@own_stand
def no_privilege_is_kept_with_af_xdp(_):
    return nothing_kept("xdp:", 1 << 12)


@case()
@own_stand
def an_interface_that_comes_back_is_opened_without_privileges(_):
    with Lab() as lab, Proxy(lab, "--user", "nobody") as proxy:
        must_get_page(lab, 4)
        lab.must("client", "ip", "link", "del", "eth0")
        wait_for("the loss", lambda: proxy.said("client-port veth-a"), 60)
        lab.must("proxy", "ip", "link", "add", "veth-a", "type", "veth", "peer", "name", "eth0", "netns",
                 f"{lab.name}-client")
        lab.must("client", "ip", "link", "set", "eth0", "up")
        lab.must("client", "ip", "address", "add", "10.0.0.1/24", "dev", "eth0")
        lab.must("client", "ethtool", "-K", "eth0", "tx", "off")
        wait_for("a page", lambda: lab.run("client", "curl", "-sm3", f"http://{SERVERS[4]}/").code == 0, 60)


@case()
@own_stand
def wrong_users_are_refused(_):
    with Lab() as lab:
        for user, words in (("nosuchuser", "there is no such user"), ("root", "is root"), ("../x", "--user ../x")):
            result = lab.run("proxy", PROGRAM, "--client-port", "veth-a", "--server-port", "veth-b", "--protect",
                             f"{SERVERS[4]}:80", "--user", user)
            equal((result.code, result.out), (2, ""), f"--user {user}")
            check(result.err.startswith(f"synproxy: --user {user}: ") and words in result.err
                  and result.err.count("\n") == 1, result.err)
