# SPDX-License-Identifier: BSD-3-Clause
"""`synproxy bypass`: when the proxy stays down, traffic passes in the kernel, until a start takes that away. With
`--adopt` that start cuts no connection."""
import signal

from clients import must_get_page
from harness import PROGRAM, SERVERS, Lab, Proxy, case, check, equal, own_stand, wait_for
from restart_loads import Busy, Echo, Transfers

PORTS = ["--client-port", "veth-a", "--server-port", "veth-b"]


def ask(lab, *words):
    return lab.run("proxy", PROGRAM, "bypass", *words)


def page_fails(lab):
    return lab.run("client", "curl", "-s", "-m", "1", f"http://{SERVERS[4]}/").code != 0


@case(120)
@own_stand
def traffic_passes_by_the_bypass_until_the_start(_):
    off = "bypass veth-a veth-b: off\n"
    with Lab() as lab, Proxy(lab) as proxy:
        name = ["--name", lab.name]
        result = ask(lab, "on", *PORTS, *name)
        check(result.code == 1 and "runs" in result.err, f"beside a proxy that runs: {result.out}{result.err}")
        # Whoever forgets the name of the one that runs does not get two on the same wire.
        for result in (ask(lab, "on", *PORTS),
                       lab.run("proxy", PROGRAM, "--name", f"{lab.name}-too", *proxy.flags, limit=20)):
            equal((result.code, result.err.count("\n")), (2, 1), f"a second one: {result.err}")
            check("--client-port veth-a: a proxy of another --name forwards on this interface" in result.err, result.err)
        equal(ask(lab, "status", *PORTS).out, off, "status beside a proxy")
        must_get_page(lab, 4)
        proxy.stop(signal.SIGKILL)
        check(page_fails(lab), "a page without proxy and without bypass")
        equal(ask(lab, "status", *PORTS).out, off, "status")
        for _ in range(2):  # it may be on already
            result = ask(lab, "on", *PORTS, *name)
            equal((result.code, result.err), (0, ""), "bypass on")
            check("on, traffic passes unprotected" in result.out, result.out)
        for family in (4, 6):
            must_get_page(lab, family)
        proxy.start()
        check(proxy.said("the bypass between these ports is off"), proxy.log())
        equal(ask(lab, "status", *PORTS).out, off, "status after the start")
        with proxy.counting() as grown:
            must_get_page(lab, 4)
        check(grown["conn_established"] == 1, f"{grown['conn_established']} connections by the proxy")
        equal(proxy.stop(), 0, "exit code")
        ask(lab, "on", *PORTS)
        must_get_page(lab, 4)
        # What others have put there stays.
        lab.must("proxy", "tc", "filter", "add", "dev", "veth-b", "egress", "pref", "7", "protocol", "all", "u32",
                 "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", "lo")
        for _ in range(2):
            equal(ask(lab, "off", *PORTS).out, off, "bypass off")
        check(page_fails(lab), "a page after bypass off")
        check("pref 7" in lab.must("proxy", "tc", "filter", "show", "dev", "veth-b", "egress"), "another's filter")
        check("clsact" not in lab.must("proxy", "tc", "qdisc", "show", "dev", "veth-a"), "a qdisc stays")
        lab.must("proxy", "tc", "qdisc", "add", "dev", "veth-a", "clsact")
        ask(lab, "on", *PORTS)
        lab.must("proxy", "tc", "filter", "del", "dev", "veth-a", "ingress")
        check("one direction" in ask(lab, "status", *PORTS).out, "half a bypass")
        equal(ask(lab, "off", *PORTS).out, off, "off after half")
        for words, text in ((["on", "--client-port", "0000:3b:00.0", *PORTS[2:]], "is no Linux interface"),
                            (["on", *PORTS[:2]], "--server-port: is missing"), (["of", *PORTS], "'of'"), ([], "''"),
                            (["on", *PORTS, "--what"], "--what: unknown flag")):
            result = ask(lab, *words)
            equal((result.code, result.out, result.err.count("\n")), (2, "", 1), f"{words}")
            check(text in result.err, result.err)
        for ports, text in ((("veth-a", "veth-x"), "--server-port veth-x: there is no network interface"),
                            (("veth-a", "veth-a"), "--server-port veth-a: is the device of --client-port veth-a"),
                            (("lo", "veth-b"), "--client-port lo: is the loopback interface")):
            result = ask(lab, "on", "--client-port", ports[0], "--server-port", ports[1])
            equal((result.code, result.err.count("\n")), (2, 1), f"{ports}: {result.err}")
            check(text in result.err, result.err)
        result = lab.run("proxy", "env", "PATH=/nonexistent", PROGRAM, "bypass", "on", *PORTS)
        check(result.code == 1 and result.err.startswith("synproxy: bypass: `tc "), result.err)
        equal(ask(lab, "status", *PORTS).out, off, "after a bypass that failed")


@case(60)
@own_stand
def a_bypass_that_was_not_finished_is_finished_by_the_next(_):
    """Whoever was killed in the middle, or named other interfaces, leaves nothing that the next one does not mend."""
    def flags(device):
        return lab.must("proxy", "ip", "-o", "link", "show", device).split("<")[1].split(">")[0].split(",")

    with Lab() as lab:
        equal(ask(lab, "on", *PORTS).code, 0, "bypass on")
        # Killed after the redirect, before the link.
        lab.must("proxy", "ip", "link", "set", "veth-a", "promisc", "off")
        lab.must("proxy", "ip", "link", "set", "veth-b", "down")
        equal(ask(lab, "on", *PORTS).code, 0, "bypass on again")
        for device in ("veth-a", "veth-b"):
            check({"UP", "PROMISC"} <= set(flags(device)), f"{device}: {flags(device)}")
        must_get_page(lab, 4)
        # One port with an interface that was the wrong one.
        lab.must("proxy", "ip", "link", "add", "spare-a", "type", "veth", "peer", "name", "spare-b")
        equal(ask(lab, "off", *PORTS).code, 0, "bypass off")
        equal(ask(lab, "on", *PORTS[:2], "--server-port", "spare-a").code, 0, "the wrong bypass")
        check("with another interface" in ask(lab, "status", *PORTS).out, "status beside the wrong bypass")
        equal(ask(lab, "on", *PORTS).code, 0, "the right one")
        must_get_page(lab, 4)
        equal(ask(lab, "off", *PORTS[:2], "--server-port", "spare-a").code, 0, "the wrong one off")
        check("in one direction only" in ask(lab, "status", *PORTS).out, "status of what is left")
        equal(ask(lab, "off", *PORTS).code, 0, "the right one off")
        check("clsact" not in lab.must("proxy", "tc", "qdisc", "show"), "a qdisc stays")
        check(page_fails(lab), "a page after bypass off")


@case(120)
@own_stand
def connections_of_the_bypass_live_on_when_a_proxy_takes_its_place(_):
    """1,000 idle and 20 busy ones; then the proxy dies, and what it has translated is reset at both ends."""
    idle, busy = 1000, 20
    with Lab() as lab:
        equal(ask(lab, "on", *PORTS).code, 0, "bypass on")
        echo, talking = Echo(lab, idle), Busy(lab, busy - 2)
        transfers = Transfers(lab, 6 << 20, "3M")  # a download and an upload
        with Proxy(lab, "--adopt", "30", "--workers", "0-1") as proxy:
            check(proxy.said("the bypass between these ports is off"), proxy.log())
            echo.all_answer_at_once(b"after the bypass")
            transfers.must_be_whole()
            # Between bypass and proxy segments were lost, and busy ends wait for their timers. Where a start takes long,
            # the transfers end before it.
            wait_for("all are adopted", lambda: proxy.counters()["conn_adopted"] >= idle + busy - 2, 20)
            counters = proxy.counters()
            for name in ("conn_contradicted", "conn_unknown", "adopt_shed", "rst_to_client", "rst_to_server"):
                equal(counters[name], 0, name)
            spliced = Echo(lab, 3, port=8003)
            spliced.all_answer(b"before the death")
            proxy.stop(signal.SIGKILL)
            proxy.start()
            for client in spliced.clients:
                client.settimeout(10)
                try:
                    client.sendall(b"?")
                    equal(client.recv(100), None, "what an end of a translated connection got")
                except ConnectionResetError:
                    pass
            counters = proxy.counters()
            equal(counters["conn_contradicted"], 3, "translated connections that were reset")
            wait_for("the server has no translated connection either", lambda: not lab.run(
                "server", "ss", "-Htn", "state", "established", "sport", "=", ":8003").out, 10)
            echo.all_answer_at_once(b"after the death")
            talking.ends.stop()
            for one in (echo, talking, spliced):
                one.close()
            equal(proxy.stop(), 0, "exit code")
            return f"{talking.ends.turns} answers on {busy - 2} busy connections"
