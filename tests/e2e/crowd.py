#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A server that takes its time, or a crowd in front of one.

usage: crowd.py serve ADDRESS PORT BACKLOG RATE
       crowd.py ask ADDRESS PORT BOTS BEGIN SECONDS GAP
       crowd.py hold ADDRESS PORT BOTS SECONDS MOST

serve: accepts RATE connections a second and answers each request with a line.
ask: BOTS clients, each with an address of its own in 10.77.0.0/16, open one connection after the other as fast as
they can. After BEGIN seconds, every GAP of SECONDS, a visitor comes, each from another address in 10.78.0.0/16. All
these addresses have to be local. Prints a JSON object: for each visitor how long its connect and its first byte took,
in ms, null if there was none within PATIENCE seconds; and how many bots were served.
hold: BOTS clients open connections as fast as they can, begin a request and hold them, MOST together. What is refused is
opened again. After SECONDS or at SIGTERM they are dropped. Prints how many were opened, refused, lost and held.
"""
import collections
import json
import resource
import select
import signal
import socket
import sys
import time

PATIENCE = 10
BOT_PATIENCE = 5


def listener(address, port, backlog):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.listen(backlog)
    return s


def serve(address, port, backlog, rate):
    door = listener(address, port, backlog)
    door.setblocking(False)
    poll = select.epoll()
    guests = {}
    due = time.monotonic()
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        if now >= due:
            due = max(due + 1 / rate, now - 0.1)  # a late turn is made good, a long absence is not
            try:
                guest, _ = door.accept()
            except BlockingIOError:
                due = max(due, now)
            else:
                guest.setblocking(False)
                guests[guest.fileno()] = guest
                poll.register(guest, select.EPOLLIN | select.EPOLLONESHOT)
        for fd, _ in poll.poll(max(0, due - time.monotonic())):
            guest = guests.pop(fd)
            try:
                if guest.recv(4096):
                    guest.send(b"welcome\n")
            except OSError:
                pass
            guest.close()


class Client:
    """One connection after the other, or one alone."""

    def __init__(self, crowd, address, patience):
        self.crowd, self.address, self.patience = crowd, address, patience
        self.socket = None

    def start(self):
        s = self.socket = socket.socket()
        s.setblocking(False)
        s.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        s.bind((self.address, 0))
        self.began, self.connected, self.first = time.monotonic(), None, None
        s.connect_ex(self.crowd.server)
        self.crowd.add(self)

    def ready(self):
        """True: it is over."""
        if self.connected is None:
            if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return True
            self.connected = time.monotonic()
            self.socket.send(b"GET\n")
            self.crowd.poll.modify(self.socket, select.EPOLLIN)
            return False
        try:
            if self.socket.recv(100):
                self.first = time.monotonic()
        except OSError:
            pass
        return True


class Crowd:
    def __init__(self, server):
        self.server, self.poll, self.open, self.served, self.visits = server, select.epoll(), {}, 0, []
        self.closing = []

    def add(self, client):
        self.open[client.socket.fileno()] = client
        self.poll.register(client.socket, select.EPOLLOUT)

    def end(self, client):
        del self.open[client.socket.fileno()]
        self.poll.unregister(client.socket)
        client.socket.close()

    def over(self, client):
        self.end(client)
        if client.patience == BOT_PATIENCE:
            self.served += client.first is not None
            client.start()
        else:
            self.visits.append([client.connected and 1000 * (client.connected - client.began),
                                client.first and 1000 * (client.first - client.began)])

    def run(self, bots, begin, seconds, gap):
        began = looked = time.monotonic()
        for n in range(bots):
            Client(self, f"10.77.{n // 250}.{n % 250 + 1}", BOT_PATIENCE).start()
        came = 0
        visitors = int(seconds / gap)
        while len(self.visits) < visitors:
            now = time.monotonic()
            if came < visitors and now >= began + begin + came * gap:
                Client(self, f"10.78.{came // 250}.{came % 250 + 1}", PATIENCE).start()
                came += 1
            for fd, _ in self.poll.poll(0.02):
                client = self.open.get(fd)
                try:
                    if client and client.ready():
                        self.over(client)
                except OSError:
                    self.over(client)
            if now - looked > 0.2:
                looked = now
                for client in [c for c in self.open.values() if now - c.began > c.patience]:
                    self.over(client)
        return {"visits": self.visits, "served": self.served, "seconds": time.monotonic() - began}


def hold(server, bots, seconds, most):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    files = most + 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, max(files, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    poll, opening, held, count = select.epoll(), {}, {}, collections.Counter()
    # One attempt at a time each: whoever gets no answer keeps nobody else from trying.
    free, end = collections.deque(range(bots)), time.monotonic() + seconds
    while time.monotonic() < end:
        while free and len(opening) + len(held) < most:
            bot = free.popleft()
            s = socket.socket()
            s.setblocking(False)
            s.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            s.bind((f"10.77.{bot // 250}.{bot % 250 + 1}", 0))
            s.connect_ex(server)
            opening[s.fileno()] = s, bot
            poll.register(s, select.EPOLLOUT)
        for fd, what in poll.poll(0.05):
            if fd in opening:
                s, bot = opening.pop(fd)
                free.append(bot)
                if s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    count["refused"] += 1
                    s.close()
                    continue
                count["opened"] += 1
                held[fd] = s
                # A server that is full drops connections that have asked for nothing.
                s.send(b"GET / HTTP/1.1\r\nHost: ")
                poll.modify(s, select.EPOLLRDHUP)
            elif what & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
                held.pop(fd).close()
                count["lost"] += 1
    return {**count, "held": len(held)}


def main():
    what, address, port, *rest = sys.argv[1:]
    if what == "serve":
        serve(address, int(port), int(rest[0]), float(rest[1]))
    if what == "hold":
        print(json.dumps(hold((address, int(port)), int(rest[0]), float(rest[1]), int(rest[2]))))
        return
    print(json.dumps(Crowd((address, int(port))).run(int(rest[0]), *map(float, rest[1:]))))


if __name__ == "__main__":
    main()
