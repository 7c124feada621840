# SPDX-License-Identifier: BSD-3-Clause
"""What every model of NIC must carry, and what each can or cannot do."""
import functools
import socket
import time

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from cases_flood import SynRecv
from cases_packets import both_directions
from cases_tcp import open_connection
from clients import MB, download, must_get_page, page, upload
from harness import SERVERS, check, equal, wait_for
from stand import HUGEPAGES, MODELS, PAUSE
from wire import FULL_OPTIONS, RawPort, ScriptedClient, checksums_hold

CASES = {}
TWO_WORKERS = ("--workers", "0-1")
FLOOD_FRAMES = 4000
WITHOUT_LINK_STATE = ("plain",)
PADS_TO_60 = ("e1000e", "vmxnet3", "e1000")
# The nature of DPDK's drivers and these devices: counters show who verifies checksums and who leaves them undone.
EXPECTED = {
    model: {"driver": driver, "rx_queues": rx, "syn_queues": 0, "tx_queues": tx, "rss": rss, "rss_owner": rss,
            "rx_checksum": checksum}
    for model, driver, rx, tx, rss, checksum in (
        ("virtio", "net_virtio", 2, 2, True, True),
        ("virtio-mq", "net_virtio", 2, 2, False, True),
        ("e1000e", "net_e1000_em", 1, 1, False, True),
        ("vmxnet3", "net_vmxnet3", 1, 2, False, True),
        ("e1000", "net_e1000_em", 1, 1, False, True),
        ("plain", "net_virtio", 1, 1, False, False),
    )
}


def register(name, function, limit=60):
    CASES[name] = (function, limit)


def case(limit=60):
    def add(function):
        register(function.__name__, function, limit)
        return function

    return add


def for_each_model(limit=60):
    """A case per model, which runs the proxy with two workers; its name begins with the model's."""

    def add(function):
        EACH.append((function, limit))
        return function

    return add


EACH = []


@for_each_model()
def has_the_queues_and_offloads_that_it_should(stand, proxy, model):
    ports = proxy.ports()
    for side, port in ports.items():
        equal({key: port[key] for key in EXPECTED[model]}, EXPECTED[model], f"the {side} port")
        check(port["mtu"] >= 1500, f"the {side} port's MTU is {port['mtu']}")
    return str(ports["client"])


@for_each_model(90)
def serves_pages_and_whole_files(stand, proxy, model):
    with proxy.counting() as grown:
        begin = time.monotonic()
        for _ in range(4):
            must_get_page(stand.lab, 4)
            must_get_page(stand.lab, 6)
        download(stand.lab, 4, 4 * MB)
        upload(stand.lab, 6, 4 * MB)
        took = time.monotonic() - begin
    equal(grown["conn_established"], 10, "connections")
    equal(grown["bad_checksum"], 0, "bad_checksum")
    verified = grown["rx_checksum_good_client"], grown["rx_checksum_good_server"]
    missing = grown["rx_checksum_missing_client"], grown["rx_checksum_missing_server"]
    # vmxnet3 says of each packet that its checksum is good. virtio passes on checksums that the kernel at the other end
    # of its TAP left undone. em reports only bad ones.
    equal(min(verified) > 1000, model == "vmxnet3", f"checksums verified by the device ({verified})")
    equal(min(missing) > 1000, model.startswith("virtio"), f"checksums completed ({missing})")
    # Ports decide whose a connection is: of ten, all may be one worker's.
    for _ in range(40):
        idle = [worker["worker"] for worker in proxy.stat()["workers"] if not worker["counters"]["conn_established"]]
        if not idle:
            break
        must_get_page(stand.lab, 4)
    check(not idle, f"workers without a connection: {idle}")
    return f"{took:.1f} s; verified {verified}, completed {missing}, handed over {grown['handed_over']}"


@for_each_model()
def receives_on_the_queues_that_it_has(stand, proxy, model):
    # Pages from many source ports; a device with two queues brings some of them to each worker. Ports decide which: of
    # twelve, one queue may get hardly any.
    before = after = proxy.stat()["workers"]

    def grown(name):
        return [now["io"][name] - then["io"][name] for now, then in zip(after, before)]

    two = EXPECTED[model]["rx_queues"] > 1
    for _ in range(5):
        for _ in range(12):
            must_get_page(stand.lab, 4)
        after = proxy.stat()["workers"]
        if not two or min(grown("rx_packets_client") + grown("rx_packets_server")) > 10:
            break
    for side, first in (("client", 0), ("server", 1)):
        got = grown(f"rx_packets_{side}")
        if two:
            check(min(got) > 10, f"packets of the {side} by worker, two queues: {got}")
        else:
            check(got[first] > 30 and got[1 - first] == 0, f"packets of the {side} by worker, one queue: {got}")
    equal(sum(grown("hand_over_full")), 0, "hand_over_full")
    return f"handed over {sum(grown('handed_over'))} of {sum(grown('rx_packets_client') + grown('rx_packets_server'))}"


@for_each_model()
def sends_right_checksums_and_knows_wrong_ones(stand, proxy, model):
    bad = [proxy.counters()["bad_checksum"]]
    for family in (4, 6):
        with ScriptedClient(stand.lab, family) as client:
            reply = open_connection(client, 70000, payload=b"GET / HTTP/1.0\r\n\r\n")
            check(checksums_hold(reply), "a checksum of the SYN-ACK is wrong")
            data = client.answer(wanted=lambda tcp: bytes(tcp.payload).startswith(b"HTTP/1.1 200"), what="the page")
            check(checksums_hold(data), "a checksum of the page's segment is wrong")
            client.send("R", seq=70000 + 1 + 18)
            client.raw.drain()
            client.source_port += 1
            client.send("S", seq=1, options=FULL_OPTIONS, chksum=0x1234)
            client.silence()
            bad.append(proxy.counters()["bad_checksum"])
            equal(bad[-1] - bad[-2], 1, f"bad_checksum over IPv{family}")


class TaggedClient(ScriptedClient):
    """Sends under tags, and receives only frames with exactly these tags."""

    def __init__(self, lab, family, tags):
        super().__init__(lab, family)
        self.tags = tags

    def send(self, *arguments, **fields):
        self.send_frame(bytes(self.frame(*arguments, **fields)))

    def send_frame(self, frame):
        self.raw.send(frame[:12] + self.tags + frame[12:])

    def answers(self, seconds):
        return self.heard(self.raw, seconds, self.source_port)

    def heard(self, port, seconds, number):
        for frame in port.frames(seconds):
            if frame[12:12 + len(self.tags)] == self.tags:
                packet = Ether(frame[:12] + frame[12 + len(self.tags):])
                if TCP in packet and packet[TCP].dport == number:
                    yield packet


def exchange(stand, family, tags):
    """A connection written out by hand on both sides of the proxy, with each frame under these tags."""
    with TaggedClient(stand.lab, family, tags) as client, RawPort(stand.lab, "server") as server:
        def at_server(what, wanted):
            for packet in client.heard(server, 20, 80):
                if packet[TCP].sport == client.source_port and wanted(packet):
                    check(checksums_hold(packet), f"{what}: a checksum is wrong")
                    return packet
            check(False, f"{what} did not reach the server")
            return None

        def from_server(flags, seq, ack, payload=b""):
            ip = IPv6(src=SERVERS[6], dst=client.ip().src) if family == 6 else IP(src=SERVERS[4], dst=client.ip().src)
            frame = (Ether(src=client.server_mac, dst=client.client_mac) / ip /
                     TCP(sport=80, dport=client.source_port, flags=flags, seq=seq, ack=ack, window=64240,
                         options=[("MSS", 1400)] if "S" in flags else []) / payload)
            frame = bytes(frame)
            server.send(frame[:12] + tags + frame[12:])

        reply = client.syn(1000, [("MSS", 1400)])
        client.send("PA", seq=1001, ack=reply[TCP].seq + 1, payload=b"question")
        syn = at_server("the SYN", lambda p: p[TCP].flags == "S")
        equal(syn[TCP].seq, 1000, "the SYN's number")
        from_server("SA", 5000, 1001)
        at_server("the question", lambda p: bytes(p[TCP].payload) == b"question")
        from_server("PA", 5001, 1009, b"answer")
        data = client.answer(wanted=lambda tcp: bytes(tcp.payload) == b"answer", what="the answer")
        check(checksums_hold(data), "the answer: a checksum is wrong")
        equal(data[TCP].seq, (reply[TCP].seq + 1) % 2**32, "the answer's number")
        client.send("R", seq=1009)
        at_server("the reset", lambda p: "R" in p[TCP].flags)


@for_each_model()
def carries_connections_under_vlan_tags(stand, proxy, model):
    with proxy.counting() as grown:
        for tags in (b"\x81\x00\x60\x05", b"\x88\xa8\x00\x07\x81\x00\x00\x05", b"\x88\xa8\x0f\xa0"):
            for family in (4, 6):
                exchange(stand, family, tags)
    equal(grown["conn_established"], 6, "connections")
    # Stripping is off: the tags came in the frames, and nothing had to be put back.
    equal((grown["rx_tag_restored_client"], grown["rx_tag_restored_server"]), (0, 0), "tags put back")


@for_each_model()
def forwards_everything_else_untouched(stand, proxy, model):
    return both_directions(stand.lab, 1500, 60 if model in PADS_TO_60 else 0)


@for_each_model(90)
def serves_pages_under_a_flood(stand, proxy, model):
    # No faster than an emulated machine can take: above that, the result depends on the host's load.
    lab = stand.lab
    must_get_page(lab, 4)  # the neighbours are known before the flood begins
    with proxy.counting() as grown, SynRecv(lab) as half_open:
        with lab.start("client", "hping3", "-i", "u150", "-c", str(FLOOD_FRAMES), "-q", "-S", "--rand-source", "-p", "80",
                       SERVERS[4]) as sender:
            fetched = []
            while sender.running():
                fetched.append(must_get_page(lab, 4, limit=20)["total_ms"])
                time.sleep(0.05)
    check(fetched, "no page was asked for during the flood")
    # On a loaded host the guest is slow: it may shed, and say so in this counter, and its NIC loses frames.
    seen = grown["synack_sent"] + grown["syn_shed"]
    check(seen > FLOOD_FRAMES / 8, f"{seen} of {FLOOD_FRAMES} SYNs were answered or shed")
    check(grown["synack_sent"] > 2 * len(fetched), f"{grown['synack_sent']} SYNs were answered")
    equal(half_open.spoofed, 0, "half-open connections of spoofed addresses on the server")
    return (f"{len(fetched)} pages, worst {max(fetched):.0f} ms; {grown['synack_sent']} SYNs answered; "
            f"SYN_RECV 0 in {half_open.samples} samples")


@for_each_model(120)
def link_goes_down_and_comes_back(stand, proxy, model):
    if model in WITHOUT_LINK_STATE:
        return link_that_cannot_be_seen(stand, proxy, model)

    def lines(what):
        return proxy.log().count(what)

    begin = proxy.ports()
    for role in ("client", "server"):
        said = {what: lines(what) for what in ("link is down", "link is up")}
        stand.guest.set_link(MODELS[model], role, False)
        wait_for("the proxy sees the link down", lambda: lines("link is down") > said["link is down"], 20, PAUSE)
        check(not proxy.ports()[role]["link_up"], "the link is down by the log, and not by the counters")
        equal(lines("link is down"), said["link is down"] + 1, "lines that say that the link is down")
        address = MODELS[model].address(role)
        check(proxy.said(f"--{role}-port {address}: link is down"), "the line does not name the port")
        got = page(stand.lab, 4, limit=0.5)
        equal(got["code"], "000", "the page's code while the link is down")
        stand.guest.set_link(MODELS[model], role, True)
        wait_for("the proxy sees the link up", lambda: lines("link is up") > said["link is up"], 30, PAUSE)
        end = proxy.ports()[role]
        check(end["link_up"], "the link is up by the log, and not by the counters")
        equal(end["link_changes"], begin[role]["link_changes"] + 2, "link_changes")
        wait_for("a page arrives again", lambda: page(stand.lab, 4, limit=2)["code"] == "200", 30)
    must_get_page(stand.lab, 6)
    return None


def link_that_cannot_be_seen(stand, proxy, model):
    """The link is taken to be up, no line is printed, and traffic goes on as soon as there is a wire again."""
    before = {role: proxy.ports()[role]["link_changes"] for role in ("client", "server")}
    said = proxy.log().count("link is")
    for role in ("client", "server"):
        stand.guest.set_link(MODELS[model], role, False)
        # Control looks once a second.
        for _ in range(2):
            equal(page(stand.lab, 4, limit=1)["code"], "000", "the page's code while the link is down")
        check(proxy.ports()[role]["link_up"], f"the {role} port's link is not taken to be up")
        stand.guest.set_link(MODELS[model], role, True)
        wait_for("a page arrives again", lambda: page(stand.lab, 4, limit=2)["code"] == "200", 30)
    equal({role: proxy.ports()[role]["link_changes"] for role in before}, before, "link_changes")
    equal(proxy.log().count("link is"), said, "lines about the link")
    return "no link state: taken to be up"


def on_model(function, model):
    @functools.wraps(function)
    def run(stand):
        return function(stand, stand.proxy_on(model, *TWO_WORKERS), model)

    return run


def rss_decides_and_nothing_is_handed_over(stand):
    """Both directions of a connection come by the queue of the same worker, over IPv4 and IPv6."""
    proxy = stand.proxy_on("virtio", *TWO_WORKERS)
    with proxy.counting() as grown:
        before = [worker["counters"]["conn_established"] for worker in proxy.stat()["workers"]]
        for _ in range(12):
            must_get_page(stand.lab, 4)
            must_get_page(stand.lab, 6)
        download(stand.lab, 6, MB)
        upload(stand.lab, 4, MB)
        after = [worker["counters"]["conn_established"] for worker in proxy.stat()["workers"]]
    shares = [now - then for now, then in zip(after, before)]
    equal(sum(shares), 26, "connections")
    check(min(shares) > 0, f"connections by worker: {shares}")
    equal(grown["handed_over"], 0, "handed_over")
    # The owner gets a tagged frame from whatever queue the device puts it in.
    with proxy.counting() as tagged:
        for tags in (b"\x81\x00\x60\x05", b"\x88\xa8\x00\x07\x81\x00\x00\x05"):
            for family in (4, 6):
                exchange(stand, family, tags)
    equal(tagged["conn_established"], 4, "connections under tags")
    frames = grown["rx_packets_client"] + grown["rx_packets_server"]
    return (f"0 of {frames} frames handed over, {tagged['handed_over']} of those under tags; connections by worker "
            f"{shares}")


for one in MODELS:
    for each, each_limit in EACH:
        # The first of a model binds its devices and starts the proxy.
        register(f"{one.replace('-', '_')}_{each.__name__}", on_model(each, one), each_limit + 60)
    if one == "virtio":  # its proxy runs
        register(rss_decides_and_nothing_is_handed_over.__name__, rss_decides_and_nothing_is_handed_over, 120)


@case(120)
def one_worker_polls_both_ports(stand):
    proxy = stand.proxy_on("virtio", "--workers", "1")
    equal([port["rx_queues"] for port in proxy.ports().values()], [1, 1], "receive queues")
    download(stand.lab, 4, 4 * MB)
    upload(stand.lab, 6, 4 * MB)
    equal(proxy.counters()["handed_over"], 0, "handed_over")


@case(120)
def a_nic_changes_hands(stand):
    """--take-over: the device is reset, and the connections go on. One worker: there are hugepages for two processes."""
    proxy = stand.proxy_on("virtio", "--workers", "1")
    with stand.lab.sockets_in("server"):
        listener = socket.create_server((SERVERS[4], 8000))
    with stand.lab.sockets_in("client"):
        client = socket.create_connection((SERVERS[4], 8000), timeout=30)
    with listener, client, listener.accept()[0] as server:
        server.settimeout(30)
        client.sendall(b"before")
        equal(server.recv(100), b"before", "over the first process")
        outage = proxy.take_over()
        client.sendall(b"after")
        equal(server.recv(100), b"after", "over the second one")
    must_get_page(stand.lab, 6)
    return f"nobody forwarded for {outage} us"


@case(120)
def two_models_in_one_proxy(stand):
    proxy = stand.proxy_on("e1000e", *TWO_WORKERS, server="virtio")
    download(stand.lab, 4, 4 * MB)
    upload(stand.lab, 6, 4 * MB)
    must_get_page(stand.lab, 4)
    return both_directions(stand.lab, 1500, 60) + f"; {proxy.counters()['handed_over']} handed over"


@case(120)
def frames_of_9000_bytes_pass(stand):
    for model in ("virtio", "e1000e", "vmxnet3"):
        stand.proxy_on(model, *TWO_WORKERS, mtu=9000)
        both_directions(stand.lab, 9000, 60)
        download(stand.lab, 4, 2 * MB)


def refusal(stand, device, other, words, named="--client-port"):
    """Returns what the program prints on standard error if it does not start; its exit code must be 2."""
    second = "--client-port" if named == "--server-port" else "--server-port"
    code, out = stand.guest.run(f"synproxy {named} {device} {second} {other} --protect 10.0.0.2:80")
    equal(code, 2, f"exit code; it said {out.strip()}")
    lines = out.strip().splitlines()
    equal(len(lines), 1, f"lines: {out}")
    for word in (named, device, *words):
        check(word in lines[0], f"{word!r} is not in: {lines[0]}")


@case()
def device_that_is_absent_unbound_or_the_kernels_is_refused_in_one_line(stand):
    stand.end_proxy()
    nic = MODELS["vmxnet3"]
    other = nic.address("server")
    refusal(stand, "0000:00:1a.0", other, ("no PCI device",))
    stand.guest.must("insmod /lib/modules/vmxnet3.ko")
    stand.bind(nic, "vmxnet3")
    refusal(stand, nic.address("client"), other, ("the kernel driver vmxnet3", "dpdk-devbind.py"))
    stand.guest.must(f"echo {nic.address('client')} >/sys/bus/pci/drivers/vmxnet3/unbind")
    refusal(stand, nic.address("client"), other, ("bound to no driver", "dpdk-devbind.py"))


@case()
def hugepages_are_asked_for_where_a_driver_cannot_do_without(stand):
    stand.end_proxy()
    stand.guest.hugepages(0)
    try:
        nic = MODELS["plain"]
        stand.bind(nic)
        refusal(stand, nic.address("server"), nic.address("client"), ("hugepages", "vfio-pci"), named="--server-port")
        # Behind an IOMMU, ordinary memory is enough.
        proxy = stand.proxy_on("virtio", "--workers", "1")
        check(proxy.said("packet buffers are in ordinary memory"), "nothing says where the buffers are")
        download(stand.lab, 4, MB)
        stand.end_proxy()
    finally:
        stand.guest.hugepages(HUGEPAGES)
