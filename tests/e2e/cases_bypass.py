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
        result = ask(lab, "on", *PORTS[:2], "--server-port", "veth-x")
        check(result.code == 1 and result.err.startswith("synproxy: bypass: `tc "), result.err)
        equal(ask(lab, "status", *PORTS).out, off, "after a bypass that failed")


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
            equal(lab.run("server", "ss", "-Htn", "state", "established", "sport", "=", ":8003").out, "",
                  "translated connections that the server still has")
            echo.all_answer_at_once(b"after the death")
            talking.ends.stop()
            for one in (echo, talking, spliced):
                one.close()
            equal(proxy.stop(), 0, "exit code")
            return f"{talking.ends.turns} answers on {busy - 2} busy connections"
