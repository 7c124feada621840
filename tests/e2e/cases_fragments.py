# SPDX-License-Identifier: BSD-3-Clause
"""TCP that comes in IP fragments, from a router or from the ends themselves."""
from cases_path import NARROW, make_router
from clients import download, upload
from harness import SERVER4, Lab, case, check, equal, own_stand, wait_for
from ways import link, synproxy

SIZE = 300 << 10


def fragments_made(lab):
    line = lab.must("relay-a", "nstat", "-asz", "IpFragCreates")
    return int(line.split("IpFragCreates")[1].split()[0])


@case(60)
@own_stand
def upload_past_a_router_that_fragments(_):
    """A client that clears DF, as with path MTU discovery switched off, behind a narrow link."""
    with Lab("--between", "client") as lab:
        make_router(lab)
        # Only this way is narrow. The router's interface keeps its MTU: veth would drop what comes in longer.
        lab.must("relay-a", "ip", "route", "replace", f"{SERVER4}/32", "dev", "inner", "mtu", "lock", str(NARROW))
        with lab.sysctl("client", ip_no_pmtu_disc=1), synproxy()(lab) as proxy, proxy.counting() as grown:
            before = proxy.counters()
            upload(lab, 4, SIZE, limit=20)

            def taken():
                now = proxy.counters()
                return sum(now[name] - before[name] for name in ("fragment_held", "fragment_duplicate"))

            # What was sent again without need may still be under way.
            wait_for("the proxy takes the router's fragments", lambda: taken() >= fragments_made(lab), 10)
            made = fragments_made(lab)
        check(made > SIZE // 1460, f"the router made only {made} fragments")
        equal(grown["fragment_held"] + grown["fragment_duplicate"], made, "fragments of the router, and fragments taken")
        equal((grown["fragments_lost"], grown["fragment"]), (0, 0), "packets lost and fragments dropped")
        return f"{made} fragments, {grown['fragments_joined']} packets"


@case(90)
@own_stand
def both_ends_in_fragments(_):
    """Every longer segment of both ends comes to the proxy in fragments, half of them the last one first."""
    said = []
    with Lab("--between", "both") as lab, link(lab, "relay-a", fragment=NARROW), link(lab, "relay-b", fragment=NARROW):
        for workers in ("0", "0,1"):
            with synproxy("--workers", workers)(lab) as proxy:
                with proxy.counting() as grown:
                    for family in (4, 6):
                        upload(lab, family, SIZE, limit=20)
                        download(lab, family, SIZE, limit=20)
                joined = grown["fragments_joined"]
                check(joined > 4 * SIZE // 1460, f"only {joined} packets were put together: {grown}")
                equal(grown["fragment_overlap"] + grown["fragment_bad"], 0, "fragments refused")
                proxy_is_clean(proxy)
            said.append(f"--workers {workers}: {grown['fragment_held']} fragments, {joined} packets")
    return "; ".join(said)


def proxy_is_clean(proxy):
    wait_for("no buffer is out", lambda: proxy.gauges()["mbufs in use"] <= proxy.level["mbufs in use"], 10)
