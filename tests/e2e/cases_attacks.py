# SPDX-License-Identifier: BSD-3-Clause
"""Each example of docs/policy.md, as it stands there, against the attack that it is for; a visitor is served meanwhile."""
import contextlib
import pathlib
import re
import select
import socket
import tempfile
import time

from cases_backlog import CROWD
from cases_reload import Files
from clients import must_get_page
from harness import SERVER4, Lab, Proxy, case, check, equal, own_stand, wait_for

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "policy.md"
BOTS = 12


def examples(title):
    """The examples of a section, as lines of a configuration file."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [block.split("\n") for block in re.findall(r"```ini\n(.*?)\n```", section, re.DOTALL)]


def at_the_server(lab, sources=""):
    return int(lab.must("server", "sh", "-c", f"ss -Htn state established 'sport = :80' {sources} | wc -l"))


@contextlib.contextmanager
def half_said(lab, count):
    """So many connections of one address that begin a request and do not end it."""
    with contextlib.ExitStack() as stack:
        sockets = []
        with lab.sockets_in("client"):
            for _ in range(count):
                sockets.append(stack.enter_context(socket.socket()))
        for s in sockets:
            s.settimeout(20)
            with contextlib.suppress(OSError):  # it may be reset at once
                s.connect((SERVER4, 80))
                s.send(b"GET / HTTP/1.1\r\nHost: ")
        yield sockets


def was_reset(s):
    poll = select.poll()
    poll.register(s, 0)
    return bool(poll.poll(0))


@case(240)
@own_stand
def every_example_of_the_policy_page_ends_its_attack(_):
    notes = []
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        equal(lab.command("crowd").code, 0, "lab.sh crowd")
        files = Files(directory)
        files.write({})

        def hping(*flags):
            return lab.start("client", "hping3", "-q", "-p", "80", *flags, SERVER4)

        with Proxy(lab, "--config", files.path) as proxy:
            def use(lines):
                files.write({}, *lines)
                check("not reloaded" not in files.reload(proxy), proxy.log()[-300:])

            def refused():
                """By either rule: bots that are fast are above the rate before they hold too many."""
                counters = proxy.counters()
                return counters["limit_conns"] + counters["limit_rate"]

            def nobody():
                """The connections of the last attack are gone."""
                wait_for("all connections are closed", lambda: at_the_server(lab) == 0, 40)
                time.sleep(0.5)

            def stands(count):
                wait_for(f"{count} connections stand at the server", lambda: at_the_server(lab) == count, 20)
                time.sleep(1)
                equal(at_the_server(lab), count, "connections at the server a second later")

            equal(examples("SYN flood"), [], "examples for a SYN flood: nothing has to be set")
            def page_during(name):
                """While packets of the attack are counted under that name."""
                def counted():
                    return proxy.counters()[name]

                before = counted()
                wait_for(f"{name}: the attack goes on", lambda: counted() > before + 10, 10)
                must_get_page(lab, 4)

            with hping("-S", "-i", "u300", "--rand-source"):
                page_during("syn_received")

            (lines,) = examples("ACK flood")
            use(lines)
            with hping("-A", "-i", "u300", "--rand-source"):
                page_during("cookie_invalid")

            narrow, wide = examples("A botnet opens connections")
            for lines, most in ((narrow, 60 * BOTS), (wide, 500)):
                use(lines)
                bots = lab.start("client", "/usr/bin/python3", CROWD, "hold", SERVER4, "80", str(BOTS), "60", "3000")
                before = refused()
                with bots, proxy.counting() as grown:
                    wait_for("the bots are refused", lambda before=before: refused() > before + 50, 30)
                    must_get_page(lab, 4)
                    held = at_the_server(lab, "dst 10.77.0.0/16")
                check(held <= most, f"{held} connections at the server, {most} may be")
                notes.append(f"botnet: {held} connections, {grown['limit_conns'] + grown['limit_rate']} refused")
                nobody()

            (lines,) = examples("Slow loris")
            use(lines)
            with half_said(lab, 60), proxy.counting() as grown:
                stands(30)
                must_get_page(lab, 6)
            check(grown["limit_conns"] >= 30, f"{grown['limit_conns']} refused")
            nobody()

            (lines,) = examples("One greedy crawler")
            use(lines)
            begun = time.monotonic()
            with half_said(lab, 60) as sockets:
                wait_for("each connection stands or was reset",
                         lambda: at_the_server(lab) + sum(map(was_reset, sockets)) == 60, 20)
                held = at_the_server(lab)
                check(20 <= held <= 21 + 5 * (time.monotonic() - begun), f"{held} connections of a crawler at the server")
                must_get_page(lab, 6)
            nobody()

            (lines,) = examples("A NAT full of customers")
            use(lines)
            with proxy.counting() as grown, half_said(lab, 100):
                stands(100)
            check(grown["limit_conns_monitored"] >= 40 and grown["limit_rate_monitored"] > 0, f"{grown}")
            nobody()

            (lines,) = examples("Somebody uses the proxy as a reflector")
            use(lines)
            begun = time.monotonic()
            with hping("-S", "--flood", "-a", "10.77.0.9"), proxy.counting() as grown, proxy.growing("reply_capped", 1000):
                must_get_page(lab, 4)
            seconds = time.monotonic() - begun
            sent = grown["synack_sent"] + grown["synack_repeated"]
            check(sent <= 500 + 1000 * seconds, f"{sent} SYN-ACKs to the victim in {seconds:.1f} s")
            notes.append(f"reflection: {sent} SYN-ACKs for {grown['syn_received']} SYNs")
    return "; ".join(notes)
