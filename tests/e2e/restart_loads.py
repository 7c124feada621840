# SPDX-License-Identifier: BSD-3-Clause
"""What goes on while the proxy dies: each load says at its end what its ends have noticed."""
import contextlib
import os
import random
import re
import socket
import threading
import time

from clients import sha_of, url
from harness import SERVER4, check, equal, rounds, wait_for

PATIENCE = 60  # seconds in which an end gets over a death by repeating its segments


class Echo:
    """A server that sends back what it gets, and connections to it that are used between long silences."""

    def __init__(self, lab, count, port=8000):
        with lab.sockets_in("server"):
            self.listener = socket.create_server((SERVER4, port), backlog=count)
        threading.Thread(target=self.serve, daemon=True).start()
        self.clients = []
        with lab.sockets_in("client"):
            for _ in range(count):
                self.clients.append(socket.create_connection((SERVER4, port), timeout=PATIENCE))

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.talk, args=(self.listener.accept()[0],), daemon=True).start()

    def talk(self, connection):
        with contextlib.suppress(OSError):
            while data := connection.recv(4096):
                connection.sendall(data)

    def all_answer(self, word, some=None):
        """`some`: so many, by chance."""
        for n, client in random.sample(list(enumerate(self.clients)), some or len(self.clients)):
            client.sendall(b"%s %d" % (word, n))
            equal(client.recv(4096), b"%s %d" % (word, n), f"echo of connection {n}")

    def all_answer_at_once(self, word):
        for n, client in enumerate(self.clients):
            client.sendall(b"%s %d" % (word, n))
        for n, client in enumerate(self.clients):
            equal(client.recv(4096), b"%s %d" % (word, n), f"echo of connection {n}")

    def close(self):
        for one in (*self.clients, self.listener):
            one.close()


class Ends:
    """Threads that talk until they are stopped; what one of them finds wrong is told at the end."""

    def __init__(self):
        self.stopped = threading.Event()
        self.threads, self.wrong = [], []
        self.longest, self.turns = 0.0, 0

    def start(self, turn, *arguments):
        def run():
            try:
                while not self.stopped.is_set():
                    began = time.monotonic()
                    turn(*arguments)
                    self.longest = max(self.longest, time.monotonic() - began)
                    self.turns += 1
            except (OSError, ValueError) as error:
                self.wrong.append(f"after {self.turns} turns: {error!r}")

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(PATIENCE + 10)
        equal(self.wrong, [], "what the ends found wrong")


class Busy(Echo):
    """Connections that never rest: each answer is followed by the next question."""

    def __init__(self, lab, count):
        super().__init__(lab, count, port=8001)
        self.ends = Ends()
        for client in self.clients:
            self.ends.start(self.ask, client)

    @staticmethod
    def ask(client):
        question = os.urandom(64)
        client.sendall(question)
        answer = b""
        while len(answer) < len(question):
            part = client.recv(len(question) - len(answer))
            if not part:
                raise ValueError("the connection ended")
            answer += part
        if answer != question:
            raise ValueError("another answer than that was asked for")
        time.sleep(0.005)


class Speaker(Echo):
    """A server that speaks first, and goes on. One client listens all the time, others come and go."""

    def __init__(self, lab):
        super().__init__(lab, 1, port=8002)
        self.lab, self.ends = lab, Ends()
        self.heard = 0
        self.ends.start(self.listen, self.clients[0])
        self.ends.start(self.come)

    def talk(self, connection):
        with contextlib.suppress(OSError):
            for number in range(1 << 30):
                connection.sendall(b"%08d" % number)
                time.sleep(0.05)

    def listen(self, client):
        word = b""
        while len(word) < 8:
            part = client.recv(8 - len(word))
            if not part:
                raise ValueError("the connection ended")
            word += part
        if int(word) != self.heard:
            raise ValueError(f"{word} came, {self.heard} was due")
        self.heard += 1

    def come(self):
        with self.lab.sockets_in("client"):
            client = socket.create_connection((SERVER4, 8002), timeout=PATIENCE)
        with client:
            if client.recv(8) != b"00000000":
                raise ValueError("a newcomer was not greeted")
        time.sleep(0.25)


class Transfers:
    """One download and one upload, compared by SHA-256."""

    def __init__(self, lab, size, rate):
        self.lab, self.rate, self.whole = lab, rate, 0
        self.path = lab.page_file("file.bin", size)
        self.copies = [os.path.join(lab.nginx, "copy.bin"), os.path.join(lab.nginx, "www", "upload", "copy.bin")]
        self.start()

    def start(self):
        common = ["curl", "-sS", "-f", "-m", "500", "--limit-rate", str(self.rate)]
        self.curls = [self.lab.start("client", *common, "-o", self.copies[0], url(4, "/file.bin")),
                      self.lab.start("client", *common, "-T", self.path, url(4, "/upload/copy.bin"))]

    def go_on(self):
        """Begins again when both have ended."""
        if not any(curl.running() for curl in self.curls):
            self.must_be_whole()
            self.start()

    def must_be_whole(self):
        for curl, copy, what in zip(self.curls, self.copies, ("download", "upload")):
            curl.process.wait(300)
            equal(curl.end(), 0, f"exit code of the {what}")
            equal(sha_of(copy), sha_of(self.path), f"SHA-256 of the {what}")
            os.unlink(copy)
        self.whole += 1


class Closers:
    """wrk with a connection for each request."""

    def __init__(self, lab, connections):
        self.process = lab.start("client", "wrk", "-t", "1", "-c", str(connections), "-d", "500s", "--timeout",
                                 f"{PATIENCE}s", "-H", "Connection: close", url(4))

    def stop(self):
        self.process.process.send_signal(2)
        self.process.process.wait(60)
        self.process.log.seek(0)
        said = self.process.log.read().decode()
        requests = re.search(r"(\d+) requests in", said)
        check(requests and int(requests[1]) > 0, f"wrk: {said}")
        check("Socket errors" not in said and "Non-2xx" not in said, f"wrk met errors: {said}")
        return int(requests[1])


class EveryLoad:
    """Transfers, silent and busy connections, requests and greetings at once, while one process after the other goes."""

    def __init__(self, lab):
        self.idle = rounds(20, 1000)
        size, rate = rounds((8 << 20, "3M"), (1 << 30, "20M"))
        self.echo, self.busy, self.speaker = Echo(lab, self.idle), Busy(lab, rounds(5, 50)), Speaker(lab)
        self.echo.all_answer(b"before")
        self.transfers, self.closers = Transfers(lab, size, rate), Closers(lab, rounds(2, 8))
        self.dropped = 0

    def meet(self, proxy, number, next_process):
        """The next process comes, at a random moment; returns what it returns."""
        time.sleep(random.uniform(0.2, 0.6))
        self.transfers.go_on()
        result = next_process()
        said = r"(\d+) connections go on, (\d+) records? w"  # after it has said that it is ready
        wait_for("the connections go on", lambda: proxy.said(said), 20)
        found = re.search(said, proxy.log())
        check(int(found[1]) >= self.idle, f"turn {number}: {proxy.log().strip()[-300:]}")
        self.dropped += int(found[2])
        self.echo.all_answer(b"after %d" % number, some=20)
        return result

    def end(self, proxy):
        """Nobody may have noticed. Returns what has been carried, and how long a busy end waited at most."""
        requests = self.closers.stop()
        self.busy.ends.stop()
        self.speaker.ends.stop()
        self.transfers.must_be_whole()
        self.echo.all_answer(b"at the end")
        equal(proxy.counters()["conn_unknown"], 0, "connections that the proxy did not know")
        for one in (self.echo, self.busy, self.speaker):
            one.close()
        return (f"{self.transfers.whole} transfers each way, {requests} requests, {self.speaker.ends.turns} greetings and "
                f"words, {self.dropped} records dropped; a busy end waited for {self.busy.ends.longest * 1e3:.0f} ms at most")
