# SPDX-License-Identifier: BSD-3-Clause
"""synproxy top and synproxy report, during a flood and after it."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

from clients import must_get_page
from floods import flood
from harness import PROGRAM, Failed, Stand, case, check, equal, own_stand, wait_for


class TerminalOf:
    """A command on a terminal of its own."""

    def __init__(self, lab, *command, columns=80, lines=24, term="xterm-256color"):
        self.ours, theirs = pty.openpty()
        self.resize(columns, lines)
        self.process = subprocess.Popen(lab.inside("proxy", *command), stdin=theirs, stdout=theirs, stderr=theirs,
                                        start_new_session=True, env={**os.environ, "TERM": term, "LC_ALL": "C.UTF-8"})
        os.close(theirs)
        self.seen = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def resize(self, columns, lines):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self):
        """What has been written since the last call."""
        fresh = b""
        while select.select([self.ours], [], [], 0.05)[0]:
            try:
                part = os.read(self.ours, 65536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            fresh += part
        self.seen += fresh.decode(errors="replace")
        return self.seen

    def shows(self, pattern):
        try:
            wait_for(f"the terminal shows {pattern!r}", lambda: re.search(pattern, self.read()), 60)
        except Failed as why:
            raise Failed(f"{why}; it shows {self.seen[-400:]!r}") from None

    def type(self, keys):
        os.write(self.ours, keys.encode())

    def ended(self):
        wait_for("it ends", lambda: self.read() is not None and self.process.poll() is not None, 60)
        self.read()
        return self.process.returncode


def top_on_a_terminal(stand):
    """Once it says what it is to show: later only what changes is written, which may be a part of the words."""
    lab, command = stand.lab, [PROGRAM, "top", "--name", stand.lab.name]
    with TerminalOf(lab, *command) as terminal:
        terminal.shows("SYN flood")
        terminal.shows("q quits")
        check("\x1b[31m" in terminal.seen, "an alarm is red")
        terminal.seen = ""
        terminal.resize(132, 40)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.shows(r"\x1b\[40;1H.*q quits|\x1b\[40d.*q quits")
        terminal.type("p")
        terminal.shows("paused")
        terminal.type("q")
        equal(terminal.ended(), 0, "exit after q")
        check("\x1b[?1049l" in terminal.seen, "the screen of before comes back")
    with TerminalOf(lab, *command, term="vt100") as terminal:
        terminal.shows("SYN flood")
        terminal.process.send_signal(signal.SIGINT)  # as Ctrl-C
        equal(terminal.ended(), 0, "exit after an interrupt")
        check("\x1b[31m" not in terminal.seen, "no colours on a terminal that has none")
    with TerminalOf(lab, *command, term="no-such-terminal") as terminal:
        equal(terminal.ended(), 2, "exit on an unknown terminal")
        check("--once" in terminal.seen, terminal.seen)


@own_stand
@case()
def top_and_report_show_a_flood(_):
    with Stand() as stand:
        lab = stand.lab
        must_get_page(lab, 4)

        def ask(*command):
            return lab.must("proxy", PROGRAM, *command, "--name", lab.name)

        def feels():
            must_get_page(lab, 4)
            return re.search(r"^clients feel +handshake [\d.]+/[\d.]+ ms, first byte [\d.]+/[\d.]+ ms, SYNs again 0$",
                             ask("top", "--once"), re.M)

        def says(*words):
            once = ask("top", "--once")
            return once if all(re.search(word, once, re.M) for word in words) else None

        # A SYN that was sent again counts for ten seconds.
        wait_for("top says what clients feel", feels, 40, 0.2)
        with flood(lab, "ack", 4, rate=20_000):
            # 20 k, but a sender that gets little of the CPU sends less.
            rate = r"[1-3]?\d(\.\d)? k"
            once = wait_for("top says it", lambda: says(rf"ACK flood.*, {rate}/s", rf"^cookie_invalid +{rate}\b"), 60, 0.2)
            check(re.search(r"^worker 0 cpu \d+ +\d+ % busy +\d+(\.\d)?( [kM])? cycles/packet", once, re.M), once)
            check(all(len(line) <= 80 for line in once.splitlines()), once)
            piped = lab.run("proxy", PROGRAM, "top", "--name", lab.name)
            check(piped.code == 2 and "--once" in piped.err and len(piped.err.splitlines()) == 1, piped.err)
        with flood(lab, "syn", 4, rate=20_000):
            wait_for("top says it", lambda: says("SYN flood"), 60, 0.2)
            top_on_a_terminal(stand)
        report = ask("report", "--since", "5m")
        # A flood whose sender gets no CPU for seconds is two. What is dropped unlooked at for want of CPU may be an alarm.
        check(re.search(r"^[1-9]\d* attacks?, \d+ other alarms?", report, re.M), report)
        others = report.partition("## Other alarms")[2].partition("\n## ")[0]
        check(not re.search("no link|% full|a server", others), report)
        check("| cookie_invalid |" in report and re.search(r"\| (SYN|ACK) flood, ", report), report)
        check(re.search(r"^\| [\d:]+ \| ready: client-port veth-a", report, re.M), report)
        check(re.search(r"^From SYN-ACK to valid ACK: [1-9]\d* measured, half within ", report, re.M), report)
        check(ask("report", "--html").startswith("<!doctype html>"), "HTML")
        for wrong in ("2h", "0", "soon", ""):
            got = lab.run("proxy", PROGRAM, "report", f"--since={wrong}", "--name", lab.name)
            check(got.code == 2 and "--since" in got.err and len(got.err.splitlines()) == 1, got.err)
    for command in (["top", "--once"], ["report"]):
        got = subprocess.run([PROGRAM, *command, "--name", "nobody-runs-this"], capture_output=True, text=True, check=False)
        check(got.returncode == 1 and "not running" in got.stderr and len(got.stderr.splitlines()) == 1, got.stderr)
