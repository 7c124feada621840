# SPDX-License-Identifier: BSD-3-Clause
"""Servers that speak first, and clients that only listen, over a lossy link."""
import contextlib
import selectors
import socket
import statistics
import threading
import time

from harness import SERVERS, Lab, case, check, own_stand, rounds
from ways import bridge, has_kernel_synproxy, kernel_synproxy, link, synproxy

BANNER = b"220 banner\r\n"
CONNECTIONS, LIMIT = 40, 30  # seconds: a few repeats of any timer on the way; twice as many where none may be missing
PORT = 80  # the port that the rules of the kernel's SYNPROXY protect: no nginx here


@contextlib.contextmanager
def greeter(lab):
    """Greets whoever connects, and keeps the connection."""
    with lab.sockets_in("server"):
        server = socket.create_server((SERVERS[4], PORT), backlog=256)
    greeted = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection = server.accept()[0]
                greeted.append(connection)
                with contextlib.suppress(OSError):
                    connection.sendall(BANNER)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)
        for connection in greeted:
            connection.close()


def listen_only(lab, first_port, limit):
    """Seconds until the banner came, for every connection that got one; all connect at the same time."""
    heard, clients = [], []
    with selectors.DefaultSelector() as waiting:
        begin = time.monotonic()
        for number in range(CONNECTIONS):
            with lab.sockets_in("client"):
                client = socket.socket()
            client.setblocking(False)
            client.bind(("", first_port + number))
            client.connect_ex((SERVERS[4], PORT))
            waiting.register(client, selectors.EVENT_READ)
            clients.append(client)
        while waiting.get_map() and (left := begin + limit - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                waiting.unregister(key.fileobj)
                with contextlib.suppress(OSError):
                    if key.fileobj.recv(100) == BANNER:
                        heard.append(time.monotonic() - begin)
    for client in clients:
        client.close()
    return heard


@case(300)
@own_stand
def every_banner_arrives_though_one_segment_in_ten_is_lost(_):
    # Some handshake ACKs are lost. The server never hears of these clients, and they have nothing to send: the proxy in
    # front of the server must ask them again.
    ways = {"direct (kernel bridge)": bridge, "kernel SYNPROXY": kernel_synproxy,
            "synproxy": synproxy("--server-timeout", "20")}
    heard = {name: [] for name in ways}
    with Lab("--between", "both", "--no-nginx") as lab:
        if not has_kernel_synproxy(lab):
            heard.pop("kernel SYNPROXY")
        count, first_port = rounds(1, 5), 20000
        for seed in range(1, count + 1):
            with link(lab, "relay-a", loss=10, seed=seed), link(lab, "relay-b", loss=10, seed=seed + 100), greeter(lab):
                for name in heard:
                    with ways[name](lab) as proxy:
                        before = proxy.counters() if proxy else {}
                        heard[name].append(listen_only(lab, first_port, LIMIT * 2 if proxy else LIMIT))
                        repeated = (proxy.counters().get("synack_repeated", 0) -
                                    before.get("synack_repeated", 0)) if proxy else 0
                    first_port += CONNECTIONS
    for name, runs in heard.items():
        print(f"     {name:24} {', '.join(str(len(run)) for run in runs)} of {CONNECTIONS} banners; of these the median "
              f"after {statistics.median(sum(runs, [])):.1f} s, the last after {max(sum(runs, [])):.1f} s", flush=True)
    for run in heard["synproxy"]:
        check(len(run) == CONNECTIONS, f"{len(run)} of {CONNECTIONS} banners")
    return f"{repeated} SYN-ACKs repeated"
