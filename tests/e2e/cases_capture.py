# SPDX-License-Identifier: BSD-3-Clause
"""synproxy capture, read by tshark."""
import itertools
import os
import signal
import subprocess
import tempfile

from scapy.layers.inet import TCP

from cases_usage import why_wrong
from clients import MB, download, must_get_page
from harness import CLIENTS, PROGRAM, SERVERS, Stand, case, check, equal, own_stand, wait_for
from wire import SCRIPTED, ScriptedClient


class Capture:
    """A running `synproxy capture` that writes to a file of its own."""

    def __init__(self, stand, directory, *flags):
        self.file = os.path.join(directory, f"{flags[0]}.pcapng")
        self.process = subprocess.Popen(stand.lab.inside("proxy", PROGRAM, "capture", "--name", stand.lab.name,
                                                         "--write", self.file, *flags),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        wait_for("the file begins", lambda: os.path.exists(self.file) and os.path.getsize(self.file) > 100, 10)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def end(self):
        """What it says at its end."""
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=20)[1]
        equal(self.process.returncode, 0, f"exit code; {said}")
        return said.strip()


def fields(file, *names, wanted="frame"):
    got = subprocess.run(["tshark", "-n", "-r", file, "-Y", wanted, "-T", "fields", "-E", "separator=|",
                          *(word for name in names for word in ("-e", name))],
                         capture_output=True, text=True, check=True)
    return [tuple(line.split("|")) for line in got.stdout.splitlines()]


@own_stand
@case()
def capture_shows_drops_with_their_reason_and_a_connection_on_both_sides(_):
    with Stand() as stand, tempfile.TemporaryDirectory() as there:
        lab = stand.lab
        with ScriptedClient(lab, 4) as client:
            with Capture(stand, there, "--drop-reason", "syn_fin", "--drop-reason=cookie_invalid") as capture:
                client.syn(1000)
                client.send("SF", 7)
                client.send("A", 8, 9)
                wait_for("both are dropped", lambda: stand.proxy.counters()["cookie_invalid"] >= 1, 5)
                said = capture.end()
            check(said.endswith("captured, 0 missed"), said)
            got = set(fields(capture.file, "tcp.seq_raw", "frame.interface_name", "frame.comment"))
            equal(got, {("7", "veth-a", "verdict=drop reason=syn_fin worker=0"),
                        ("8", "veth-a", "verdict=drop reason=cookie_invalid worker=0")}, "what tshark reads")

        # One connection: our numbers towards the client, the server's own on the other side.
        with ScriptedClient(lab, 4) as client:
            port = client.source_port
            with Capture(stand, there, "--flow", f"{SCRIPTED[4]}:{port}-{SERVERS[4]}:80", "--snaplen", "96") as capture:
                ack = client.syn(5000)[TCP].seq + 1
                client.send("A", 5001, ack)
                client.send("PA", 5001, ack, payload=b"GET / HTTP/1.0\r\n\r\n")
                client.answer(wanted=lambda tcp: bytes(tcp.payload), what="the page")
                must_get_page(lab, 4)
                capture.end()
        page = fields(capture.file, "frame.interface_name", "tcp.seq_raw", "frame.comment",
                      wanted="tcp.srcport == 80 && tcp.len > 0")
        sides = {side: {int(seq) for interface, seq, _ in page if interface == side}
                 for side in ("veth-a", "veth-b")}
        check(sides["veth-a"] and sides["veth-b"] and not sides["veth-a"] & sides["veth-b"], f"numbers: {page}")
        check(any(c.startswith("sent: verdict=forward reason=translated") for _, _, c in page), page)
        check(any(c.startswith("verdict=forward reason=translated") for _, _, c in page), page)
        comments = {comment for (comment,) in fields(capture.file, "frame.comment")}
        check("sent: made by the proxy" in comments, comments)
        equal(fields(capture.file, "frame.number", wanted=f"!(tcp.port == {port})"), [], "others")


@own_stand
@case()
def capture_feeds_a_live_tshark_and_refuses_what_is_wrong(_):
    with Stand() as stand, tempfile.TemporaryDirectory() as there:
        lab = stand.lab
        command = [PROGRAM, "capture", "--name", lab.name]
        live = subprocess.Popen(lab.inside("proxy", "sh", "-c", f"{' '.join(command)} --service '[{SERVERS[6]}]:80' | "
                                           "tshark -n -l -i - -c 3 -T fields -e ipv6.src -e frame.comment 2>/dev/null"),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for("the capture begins", lambda: "capture begins (uid 0, pid " in stand.proxy.log(), 10)
        result = lab.run("proxy", *command, "--limit", "1", "--write", os.path.join(there, "other"), limit=10)
        check(result.code == 1 and "a capture runs already (uid 0, pid " in result.err, result.err)
        must_get_page(lab, 4)
        must_get_page(lab, 6)
        out, said = live.communicate(timeout=20)
        check(len(out.splitlines()) == 3, out)
        check(out.splitlines()[0].endswith("\tverdict=reply reason=synack_sent worker=0"), out)
        check("frames captured, 0 missed" in said, said)
        wait_for("it ends with its reader", lambda: "capture ends" in stand.proxy.log(), 5)

        kept = os.path.join(there, "kept")
        with open(kept, "w", encoding="ascii") as file:
            file.write("precious")
        for words, wanted in ((["--drop-reason", "bad_luck"], "--drop-reason bad_luck: no packet is dropped for that"),
                              (["--src", "web"], "--src web: "), (["--limit", "0"], "--limit 0: "),
                              (["--snaplen", "many"], "--snaplen many: "), (["--flow", "x"], "--flow x: "),
                              (["--whatever"], "--whatever"), (["--write", f"{there}/no/file"], "No such file"),
                              (["stray"], "'stray'")):
            wrong = why_wrong(lab.run("proxy", *command, "--write", kept, *words, limit=10)
                              if "--write" not in words else lab.run("proxy", *command, *words, limit=10), [wanted])
            check(wrong is None, f"{words}: {wrong}")
        result = lab.run("proxy", PROGRAM, "capture", "--name", "nobody", "--write", kept)
        check(result.code == 1 and "not running" in result.err, result.err)
        with open(kept, encoding="ascii") as file:
            equal(file.read(), "precious", "a file that no capture was written to")
        with Capture(stand, there, "--limit", "2") as capture:
            must_get_page(lab, 4)
            said = capture.process.communicate(timeout=10)[1]
        equal((capture.process.returncode, said), (0, "2 frames captured, 0 missed\n"), "the end by --limit")
        equal(len(fields(capture.file, "frame.number")), 2, "frames")

        # It is told to end while it is behind: what had come by then is there.
        with Capture(stand, there, "--service", f"{SERVERS[4]}:80") as capture:
            capture.process.send_signal(signal.SIGSTOP)
            must_get_page(lab, 4)
            # A client may have ended before the server's FIN came, in this capture and before it.
            wait_for("all connections end", lambda: all_have_ended(stand.proxy.counters()), 20)
            capture.process.send_signal(signal.SIGINT)
            capture.process.send_signal(signal.SIGCONT)
            said = capture.process.communicate(timeout=10)[1]
            check(said.endswith(" captured, 0 missed\n"), said)
        for side, begin in (("veth-b", "verdict=forward"), ("veth-a", "sent: verdict=forward")):
            wanted = f'tcp.flags.fin == 1 && tcp.srcport == 80 && frame.interface_name == "{side}"'
            got = fields(capture.file, "frame.comment", wanted=wanted)
            check(any(comment.startswith(begin) for (comment,) in got), f"the server's FIN at {side}: {got}")


def all_have_ended(counters):
    return counters["conn_finished"] == counters["conn_established"]


def sound(file, *names, wanted="frame"):
    """The fields, once capinfos and tshark have found no fault in the file."""
    about = subprocess.run(["capinfos", "-Ti", "-Tm", file], capture_output=True, text=True, check=False)
    equal((about.returncode, about.stderr), (0, ""), "capinfos")
    rows = fields(file, "_ws.malformed", *names, wanted=wanted)
    equal([row for row in rows if row[0]], [], "malformed frames")
    return [row[1:] for row in rows]


@own_stand
@case()
def capture_shows_all_workers_under_two_vlan_tags_and_super_frames_whole(_):
    with Stand("--workers", "0-1", up=["--vlan", "7.5"]) as stand, tempfile.TemporaryDirectory() as there:
        with Capture(stand, there, "--src", CLIENTS[4]) as capture:
            must_get_page(stand.lab, 6)
            # 24 connections: that all are of one worker happens once in eight million times.
            stand.lab.must("client", "curl", "-sSf", "-H", "Connection: close", f"http://{SERVERS[4]}/?[1-24]")
            said = capture.end()
        check(said.endswith(" captured, 0 missed"), said)
        got = sound(capture.file, "ieee8021ad.id", "vlan.id", "ip.addr", "frame.interface_name", "frame.comment", "frame.time_epoch")
        equal({tags[:2] for tags in got}, {("7", "5")}, "VLAN tags of all frames")
        check(all(CLIENTS[4] in ends.split(",") for _, _, ends, *_ in got), "frames of others are there")
        equal({side for *_, side, _, _ in got}, {"veth-a", "veth-b"}, "interfaces")
        workers = {comment[-8:] for *_, comment, _ in got if comment.startswith("verdict=forward")}
        equal(workers, {"worker=0", "worker=1"}, "workers that have forwarded")
        times = [float(at) for *_, at in got]
        # A worker that was stopped in the middle of a burst tells of its few frames late.
        late = sum(latest - at > 0.2 for at, latest in zip(times, itertools.accumulate(times, max)))
        check(late < len(times) / 10, f"{late} of {len(times)} frames are far from the order of their times")

    size = MB // 4  # the capture's memory holds it twice, if nobody reads meanwhile
    with Stand("--workers", "0-1", up=("--offloads",)) as stand, tempfile.TemporaryDirectory() as there:
        with Capture(stand, there, "--service", f"{SERVERS[4]}:80") as capture:
            download(stand.lab, 4, size)
            said = capture.end()
        check(said.endswith(" captured, 0 missed"), said)
        got = sound(capture.file, "frame.interface_name", "frame.comment", "frame.len", "frame.cap_len", "tcp.len",
                    wanted="tcp.srcport == 80")
        check(max(int(length) for _, _, length, _, _ in got) > 3000, "no super-frame was captured")
        check(all(length == kept for _, _, length, kept, _ in got), "a frame is cut")
        for side, begin in (("veth-b", "verdict=forward"), ("veth-a", "sent: verdict=forward")):
            passed = sum(int(size) for name, comment, _, _, size in got if name == side and comment.startswith(begin))
            check(size < passed < 2 * size, f"{passed} bytes of payload at {side}, of a file of {size}")
