# SPDX-License-Identifier: BSD-3-Clause
"""A client and a web server in namespaces of their own, and this machine's two interfaces between them."""
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time

SERVER = "10.9.0.2"
WEB, ECHO = 80, 7000
PORTS = ("pkgtest-a", "pkgtest-b")  # of this machine
ONE_QUEUE = ("numrxqueues", "1", "numtxqueues", "1")
ENDS = {"client": "10.9.0.1", "server": SERVER}


def run(*words, limit=60):
    return subprocess.run(words, capture_output=True, text=True, timeout=limit, check=False, stdin=subprocess.DEVNULL)


def must(*words, limit=60):
    done = run(*words, limit=limit)
    check(done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}; {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def check(true, what):
    if not true:
        raise SystemExit(f"FAIL {what}")


def wait_for(what, condition, seconds):
    """Returns for how long it was waited."""
    begin = time.monotonic()
    while not condition():
        check(time.monotonic() - begin < seconds, f"waited {seconds} s for {what}")
        time.sleep(0.02)
    return time.monotonic() - begin


async def echo_server():
    async def serve(reader, writer):
        while data := await reader.read(4096):
            writer.write(data)

    server = await asyncio.start_server(serve, SERVER, ECHO)
    await server.serve_forever()


def echo_client(count):
    """Opens connections, and says for each line of input how many of them return it."""
    import socket  # pylint: disable=import-outside-toplevel
    held = [socket.create_connection((SERVER, ECHO), 5) for _ in range(count)]
    print(len(held), flush=True)
    for line in sys.stdin.buffer:
        answered = 0
        for one in held:
            with contextlib.suppress(OSError):
                one.settimeout(2 if answered else 5)
                one.sendall(line)
                answered += one.recv(4096) == line
        print(answered, flush=True)


class Stand:
    """Use: with Stand() as stand."""

    def __init__(self):
        self.started = []
        self.held = None
        self.place = tempfile.TemporaryDirectory()

    def __enter__(self):
        for (role, address), port in zip(ENDS.items(), PORTS):
            must("ip", "netns", "add", f"pkgtest-{role}")
            # DPDK's AF_XDP on a veth serves one queue.
            must("ip", "link", "add", "eth0", "netns", f"pkgtest-{role}", *ONE_QUEUE, "type", "veth", "peer", "name", port,
                 *ONE_QUEUE)
            self.must_in(role, "ip", "address", "add", f"{address}/24", "dev", "eth0")
            self.must_in(role, "ip", "link", "set", "eth0", "up")
            must("ip", "link", "set", port, "up")
        with open(os.path.join(self.place.name, "index.html"), "w", encoding="ascii") as page:
            page.write("page\n")
        self.start("server", "python3", "-m", "http.server", "-b", SERVER, "-d", self.place.name, str(WEB))
        self.start("server", "python3", __file__, "server")
        for port in (WEB, ECHO):
            wait_for(f"a server on port {port}",
                     lambda port=port: f"{SERVER}:{port} " in self.must_in("server", "ss", "-Htln"), 10)
        return self

    def __exit__(self, *_):
        for process in self.started:
            process.kill()
            process.wait()
        for role in ENDS:
            run("ip", "netns", "del", f"pkgtest-{role}")
        for port in PORTS:
            run("ip", "link", "del", port)
        self.place.cleanup()

    def start(self, role, *words, **how):
        process = subprocess.Popen(["ip", "netns", "exec", f"pkgtest-{role}", *words], stderr=subprocess.DEVNULL,
                                   **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **how})
        self.started.append(process)
        return process

    @staticmethod
    def must_in(role, *words):
        return must("ip", "netns", "exec", f"pkgtest-{role}", *words)

    @staticmethod
    def page(limit=5, address=SERVER):
        """Whether the client gets the page."""
        return run("ip", "netns", "exec", "pkgtest-client", "curl", "-sf", "-m", str(limit), f"http://{address}/").stdout == "page\n"

    def serve_here(self, address):
        """A web server on this machine."""
        process = subprocess.Popen(["python3", "-m", "http.server", "-b", address, "-d", self.place.name, str(WEB)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.started.append(process)
        wait_for("the server", lambda: f"{address}:{WEB} " in must("ss", "-Htln"), 10)
        return process

    def hold(self, count):
        """Opens connections that the next calls of `alive` use."""
        self.held = self.start("client", "python3", __file__, "client", str(count), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
        check(int(self.held.stdout.readline()) == count, "connections are opened")

    def alive(self):
        """How many of them still echo."""
        self.held.stdin.write(b"word\n")
        self.held.stdin.flush()
        return int(self.held.stdout.readline())


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(echo_server())
    else:
        echo_client(int(sys.argv[2]))
