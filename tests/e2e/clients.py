# SPDX-License-Identifier: BSD-3-Clause
"""Real clients, as the cases use them."""
import hashlib
import json
import os
import re

from harness import CLIENTS, Failed, check, equal, host, wait_for

MB = 1 << 20
PACED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "paced.lua")
RESET = (7, 55, 56)  # exit codes of curl: reset before it spoke, while it sent, while it received


def url(family, path="/", port=80):
    return f"http://{host(family)}:{port}{path}"


def page(lab, family, port=80, limit=8):
    """The status of the answer as curl sees it (000: none), curl's exit code, and its times in ms."""
    result = lab.run("client", "curl", "-s", "-o", "/dev/null", "-m", str(limit), "-w",
                     "%{http_code} %{time_connect} %{time_total}", url(family, port=port), limit=limit + 10)
    code, connect, total = result.out.split()
    return {"code": code, "exit": result.code, "connect_ms": float(connect) * 1e3, "total_ms": float(total) * 1e3}


def must_get_page(lab, family, port=80, limit=8):
    got = page(lab, family, port, limit)
    equal((got["code"], got["exit"]), ("200", 0), f"page over IPv{family} from port {port}")
    return got


def sha_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as data:
        while block := data.read(MB):
            digest.update(block)
    return digest.hexdigest()


def download(lab, family, size, limit=120):
    """A file of random bytes from nginx, compared by SHA-256."""
    path = lab.page_file("file.bin", size)
    copy = os.path.join(lab.nginx, "copy.bin")
    try:
        lab.must("client", "curl", "-sS", "-f", "-m", str(limit), "-o", copy, url(family, "/file.bin"),
                 limit=limit + 10)
        equal(sha_of(copy), sha_of(path), f"SHA-256 of {size} bytes downloaded over IPv{family}")
    finally:
        for name in (path, copy):
            if os.path.exists(name):
                os.unlink(name)


def upload(lab, family, size, limit=120):
    path = lab.page_file("file.bin", size)
    copy = os.path.join(lab.nginx, "www", "upload", "copy.bin")
    try:
        lab.must("client", "curl", "-sS", "-f", "-m", str(limit), "-T", path, url(family, "/upload/copy.bin"),
                 limit=limit + 10)
        equal(sha_of(copy), sha_of(path), f"SHA-256 of {size} bytes uploaded over IPv{family}")
    finally:
        for name in (path, copy):
            if os.path.exists(name):
                os.unlink(name)


def wrk(lab, family, seconds, connections=50, close=True, pause=None):
    """The report of wrk. To it a response that takes more than 8 s is an error; in 2 s, its own limit, a loaded machine may
    not get to it. `pause`: milliseconds that a connection waits before each request; none: the load is as much as the
    machine carries."""
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "8s", "--latency"]
    if close:
        command += ["-H", "Connection: close"]
    words = []
    if pause:
        command += ["-s", PACED]
        words = ["--", str(pause)]
    out = lab.must("client", *command, url(family), *words, limit=seconds + 20)
    requests = re.search(r"(\d+) requests in", out)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    check(requests and rate, f"wrk printed no result: {out}")
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    worst = re.search(r"Latency\s+\S+\s+\S+\s+(\S+)", out)
    return {
        "requests": int(requests.group(1)),
        "rate": float(rate.group(1)),
        "errors": dict(zip(("connect", "read", "write", "timeout"), map(int, errors.groups()))) if errors else {},
        "refused": int(refused.group(1)) if refused else 0,
        "worst": worst.group(1) if worst else "?",
    }


def must_run_wrk(lab, family, seconds, **options):
    for _ in range(10):  # a loaded machine may give one run nothing
        got = wrk(lab, family, seconds, **options)
        check(not got["errors"] and not got["refused"], f"wrk met errors: {got}")
        if got["requests"] > 0:
            return got
    raise Failed(f"wrk got no answer: {got}")


def few_source_ports(lab):
    """2,000 of them: at any rate worth the name every 4-tuple comes again within a second or two."""
    return lab.sysctl("client", ip_local_port_range="20000 21999")


def listens(lab, port):
    """Waits until somebody on the server does, at that port."""
    wait_for(f"a server at port {port}", lambda: lab.must("server", "ss", "-Hltn", f"sport = :{port}").strip(), 30)


def iperf(lab, family, *flags, port=8001):
    with lab.start("server", "iperf3", "-s", "-1", "-p", str(port)):
        listens(lab, port)
        out = lab.must("client", "iperf3", "-J", "-c", host(family).strip("[]"), "-p", str(port), *flags, limit=40)
    try:
        end = json.loads(out)["end"]
        return {"sent": end["sum_sent"]["bytes"], "received": end["sum_received"]["bytes"],
                "mbit": end["sum_received"]["bits_per_second"] / 1e6, "streams": len(end["streams"])}
    except (KeyError, ValueError):
        raise Failed(f"iperf3 printed no result: {out[-300:]}") from None


def logged_addresses(lab):
    with open(os.path.join(lab.nginx, "access.log"), encoding="utf-8") as log:
        return {line.split()[0] for line in log}


def must_log_client(lab, family):
    # nginx writes after it has answered.
    seen = wait_for("a line in nginx's log", lambda: logged_addresses(lab) - {CLIENTS[10 - family]}, 20)
    equal(seen, {CLIENTS[family]}, "addresses in nginx's log")
