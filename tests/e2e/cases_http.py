# SPDX-License-Identifier: BSD-3-Clause
"""Pages, files and other whole connections through the proxy."""
import contextlib
import os
import socket
import time

from clients import (MB, RESET, download, few_source_ports, iperf, listens, must_get_page, must_log_client,
                     must_run_wrk, upload)
from harness import SERVERS, Stand, alone, case, check, own_stand


@case()
def page_over_ipv4(stand):
    with stand.proxy.counting() as grown:
        got = must_get_page(stand.lab, 4)
    check(grown["conn_established"] == 1, f"the page did not go through the proxy: {grown}")
    return f"connected in {got['connect_ms']:.1f} ms"


@case()
def page_over_ipv6(stand):
    with stand.proxy.counting() as grown:
        got = must_get_page(stand.lab, 6)
    check(grown["conn_established"] == 1, f"the page did not go through the proxy: {grown}")
    return f"connected in {got['connect_ms']:.1f} ms"


@case()
def log_of_nginx_holds_the_clients_own_address(stand):
    log = os.path.join(stand.lab.nginx, "access.log")
    for family in (4, 6):
        with open(log, "w", encoding="utf-8"):
            pass
        must_get_page(stand.lab, family)
        must_log_client(stand.lab, family)


@case()
@alone
def wrk_with_keep_alive(stand):
    got = must_run_wrk(stand.lab, 4, 1, close=False)
    return f"{got['rate']:.0f} requests/s"


@case()
@alone
def wrk_with_keep_alive_over_ipv6(stand):
    got = must_run_wrk(stand.lab, 6, 1, close=False)
    return f"{got['rate']:.0f} requests/s"


def reuse_ports(stand, family):
    # Longer than the proxy keeps a connection that has ended. Paced, a port comes again after a second or so; a loaded
    # machine takes longer until each has come twice.
    with few_source_ports(stand.lab), stand.proxy.counting() as grown:
        requests = 0
        while requests <= 4000:
            got = must_run_wrk(stand.lab, family, 5, pause=20)
            requests += got["requests"]
    check(grown["conn_timed_out"] == 0, f"connections timed out: {grown['conn_timed_out']}")
    # A client whose SYN is not answered sends it again. Where the machine stands still, each of the 50 does so once.
    unanswered = grown["syn_received"] - grown["conn_established"]
    check(unanswered < requests / 10, f"{unanswered} SYNs of {requests} connections came again")
    return (f"{got['rate']:.0f} conn/s, worst answer {got['worst']}, "
            f"{grown['conn_reopened']} reopened on a live record")


@case(90)
@alone
def wrk_with_connection_close_reuses_every_source_port(stand):
    return reuse_ports(stand, 4)


@case(90)
@alone
def wrk_with_connection_close_reuses_every_source_port_over_ipv6(stand):
    return reuse_ports(stand, 6)


def four_streams(stand, family, *flags):
    got = iperf(stand.lab, family, "-P", "4", "-t", "1", *flags)
    check(got["streams"] == 4 and got["received"] > MB, f"iperf3: {got}")
    return f"{got['mbit']:.0f} Mbit/s"


@case()
@alone
def iperf3_four_streams_to_the_server(stand):
    return four_streams(stand, 4)


@case()
@alone
def iperf3_four_streams_from_the_server(stand):
    return four_streams(stand, 4, "-R")


@case()
@alone
def iperf3_four_streams_both_ways_over_ipv6(stand):
    return f"{four_streams(stand, 6)} to, {four_streams(stand, 6, '-R')} from the server"


@case(120)
@alone
def download_of_100_mb_is_whole(stand):
    for family in (4, 6):
        download(stand.lab, family, 100 * MB)


@case(120)
@alone
def upload_of_100_mb_is_whole(stand):
    for family in (4, 6):
        upload(stand.lab, family, 100 * MB)


@contextlib.contextmanager
def line_server(lab, family, port, script):
    address = "TCP6-LISTEN" if family == 6 else "TCP4-LISTEN"
    with lab.start("server", "socat", "-t", "10", f"{address}:{port},fork,reuseaddr", f"SYSTEM:{script}"):
        listens(lab, port)
        yield


@case()
def server_that_speaks_first_is_heard(stand):
    notes = []
    for family in (4, 6):
        with line_server(stand.lab, family, 8002, "echo 220 banner"), stand.lab.sockets_in("client"):
            with connect(family, 8002) as client:
                begin = time.monotonic()
                banner = client.recv(100)
                notes.append(f"{(time.monotonic() - begin) * 1e3:.1f} ms over IPv{family}")
        check(banner == b"220 banner\n", f"heard {banner!r} over IPv{family}")
    return "heard after " + ", ".join(notes)


@case()
def client_that_waits_before_it_speaks_is_answered(stand):
    for family in (4, 6):
        with line_server(stand.lab, family, 8003, "read x; echo got $x"), stand.lab.sockets_in("client"):
            with connect(family, 8003) as client:
                time.sleep(1)
                client.sendall(b"late\n")
                answer = client.recv(100)
        check(answer == b"got late\n", f"answer {answer!r} over IPv{family}")


@case()
def half_closed_connection_still_carries_the_answer(stand):
    # The client's FIN comes before the server's first byte: socat answers after it has seen the end.
    for family in (4, 6):
        with line_server(stand.lab, family, 8004, "x=$(cat); sleep 1; echo whole $x"), \
                stand.lab.sockets_in("client"):
            with connect(family, 8004) as client:
                client.sendall(b"question")
                client.shutdown(1)
                answer = client.recv(100)
        check(answer == b"whole question\n", f"answer {answer!r} over IPv{family}")


def connect(family, port):
    """A TCP connection of this process; call it inside sockets_in("client")."""
    return socket.create_connection((SERVERS[family], port), timeout=30)


def lossy(stand):
    return stand.lab.filter("client", "meta l4proto tcp numgen random mod 100 < 5 drop"), \
        stand.lab.filter("server", "meta l4proto tcp numgen random mod 100 < 5 drop")


@case(240)
@alone
def five_percent_loss_on_each_side(stand):
    at_client, at_server = lossy(stand)
    worst = 0.0
    with at_client, at_server:
        for number in range(60):
            worst = max(worst, must_get_page(stand.lab, 4 if number % 2 else 6, limit=30)["total_ms"])
        download(stand.lab, 4, 4 * MB)
        upload(stand.lab, 6, 4 * MB)
    return f"60 pages, worst {worst:.0f} ms; 4 MB each way"


def without(stand, role, **sysctls):
    with stand.lab.sysctl(role, **sysctls):
        for family in (4, 6):
            must_get_page(stand.lab, family)
        download(stand.lab, 4, 10 * MB)
        upload(stand.lab, 4, 10 * MB)
        download(stand.lab, 6, 10 * MB)


@case()
def client_without_timestamps(stand):
    without(stand, "client", tcp_timestamps=0)


@case()
def client_without_window_scaling(stand):
    without(stand, "client", tcp_window_scaling=0)


@case()
def client_without_sack(stand):
    without(stand, "client", tcp_sack=0)


@case()
def client_without_any_option_but_mss(stand):
    without(stand, "client", tcp_sack=0, tcp_timestamps=0, tcp_window_scaling=0)


@case()
def server_without_window_scaling(stand):
    without(stand, "server", tcp_window_scaling=0)


@case(90)
@alone
def server_without_sack_under_loss(stand):
    # The proxy cannot keep the promise of SACK: it blanks the client's blocks, and the server resends more.
    with stand.lab.sysctl("server", tcp_sack=0):
        at_client, at_server = lossy(stand)
        with at_client, at_server, stand.proxy.counting() as grown:
            download(stand.lab, 4, 2 * MB)
    check(grown["server_no_sack"] >= 1, "the server's missing SACK was not noticed")


@case()
def server_without_promised_timestamps_resets_both(stand):
    with stand.lab.sysctl("server", tcp_timestamps=0), stand.proxy.counting() as grown:
        result = stand.lab.run("client", "curl", "-s", "-m", "8", f"http://{SERVERS[4]}/")
    check(result.code in RESET, f"curl ended with {result.code}, not with one of {RESET}")
    check(grown["server_no_timestamps"] >= 1, "not counted as server_no_timestamps")


@case(120)
@own_stand
def server_without_options_behind_a_proxy_that_promises_none(_):
    with Stand(offer=["--sack-perm", "off", "--timestamp", "off", "--wscale", "7", "--mss", "1460"]) as stand:
        without(stand, "server", tcp_timestamps=0, tcp_sack=0)
        without(stand, "client", tcp_timestamps=1)
        return stand.proxy.returns_to_start()


@case(60)
@own_stand
def nothing_but_defaults_serves_pages(_):
    with Stand(offer=[], lives=[]) as stand:
        for family in (4, 6):
            must_get_page(stand.lab, family)
        download(stand.lab, 4, 10 * MB)


def size_of_frames(mtu, *flags, offer=None):
    with Stand(*flags, up=["--mtu", str(mtu)], offer=offer) as stand:
        for family in (4, 6):
            must_get_page(stand.lab, family)
            download(stand.lab, family, 10 * MB)
            upload(stand.lab, family, 10 * MB)
        return stand.proxy.returns_to_start()


@case()
@own_stand
def mtu_1280(_):
    return size_of_frames(1280)


@case()
@own_stand
def mtu_9000(_):
    return size_of_frames(9000, offer=["--sack-perm", "--timestamp", "--wscale", "7", "--mss", "8940"])


def tagged(tags):
    with Stand(up=["--vlan", tags]) as stand:
        for family in (4, 6):
            with stand.proxy.counting() as grown:
                must_get_page(stand.lab, family)
            check(grown["conn_established"] == 1, "the tagged connection was not proxied")
            download(stand.lab, family, 4 * MB)
            upload(stand.lab, family, 4 * MB)
        return stand.proxy.returns_to_start()


@case()
@own_stand
def frames_tagged_802_1q(_):
    return tagged("5")


@case()
@own_stand
def frames_tagged_qinq(_):
    return tagged("7.5")


@case(120)
@own_stand
def two_workers_on_raw_sockets(_):
    with Stand("--workers", "0-1") as stand:
        with stand.proxy.counting() as grown:
            for family in (4, 6):
                for _ in range(10):
                    must_get_page(stand.lab, family)
            must_run_wrk(stand.lab, 4, 1, close=False)
            with few_source_ports(stand.lab):
                must_run_wrk(stand.lab, 4, 1)
            download(stand.lab, 4, 20 * MB)
            upload(stand.lab, 6, 20 * MB)
        workers = stand.proxy.stat()["workers"]
        check(len(workers) == 2, f"{len(workers)} workers instead of 2")
        check(grown["handed_over"] > 0, "no packet was handed over: one worker did everything")
        return stand.proxy.returns_to_start()


def other_ports(*ports, driver_keeps=0):
    with Stand(ports=ports) as stand:
        for family in (4, 6):
            must_get_page(stand.lab, family)
            download(stand.lab, family, 10 * MB)
            upload(stand.lab, family, 10 * MB)
        must_run_wrk(stand.lab, 4, 1)
        return stand.proxy.returns_to_start(driver_keeps=driver_keeps)


@case()
@alone
@own_stand
def af_xdp_ports(_):
    return other_ports("xdp:veth-a", "xdp:veth-b")


@case()
@alone
@own_stand
def ports_named_as_dpdk_devices(_):
    return other_ports("net_pcap0,rx_iface_in=veth-a,tx_iface=veth-a", "net_af_packet0,iface=veth-b,qdisc_bypass=1")


def cpu_share(pid, seconds):
    """The share of one CPU that all threads of the process took over that time."""

    def used():
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before, begin = used(), time.monotonic()
    time.sleep(seconds)
    return (used() - before) / (time.monotonic() - begin)


def idle_on_pcap(*flags):
    """The CPU that a proxy takes while nothing comes, on devices that cannot wake it; it answers all the same."""
    ports = "net_pcap0,rx_iface_in=veth-a,tx_iface=veth-a", "net_pcap1,rx_iface_in=veth-b,tx_iface=veth-b"
    with Stand(*flags, ports=ports) as stand:
        must_get_page(stand.lab, 4)
        with stand.proxy.counting() as grown:
            share = cpu_share(stand.proxy.process.process.pid, 1)
        for family in (4, 6):
            must_get_page(stand.lab, family)
        return share, grown


@case()
@alone
@own_stand
def idle_proxy_on_dpdk_devices_leaves_its_cpu_to_others(_):
    share, grown = idle_on_pcap()
    check(grown["idle_sleeps"] > 20 and grown["idle_us"] > 10 * grown["idle_sleeps"], f"it does not sleep: {grown}")
    longer, _ = idle_on_pcap("--idle-sleep", "1000")
    check(longer < 0.5, f"sleeping for a millisecond at a time it takes {longer:.2f} of a CPU")
    _, polling = idle_on_pcap("--idle-sleep", "0")
    check(polling["idle_sleeps"] == 0 and polling["idle_us"] == 0, f"told to poll, it sleeps: {polling}")
    return f"takes {share:.2f} of a CPU, with --idle-sleep 1000 {longer:.2f}"


@case()
@alone
@own_stand
def two_ports_of_different_kinds(_):
    return other_ports("veth-a", "xdp:veth-b")
