# SPDX-License-Identifier: BSD-3-Clause
"""One guest for all cases: a lab of two namespaces, one model of NIC between them at a time, the proxy inside."""
import contextlib
import json
import os
import re
import tempfile

from guest import ROLES, Guest, Nic
from harness import (CLIENT4, CLIENT6, OTHER_PORTS, SERVER4, SERVER6, SHORT_LIVES, TUTORIAL_FLAGS, Counting, Failed, Lab,
                     check, equal, wait_for)
from image import initramfs, kernel

ADDRESSES = {"client": (CLIENT4, CLIENT6), "server": (SERVER4, SERVER6)}
MODELS = {nic.name: nic for nic in (
    # Every offload, two queues, RSS whose key can be set; behind the guest's IOMMU. The rings are the longest possible:
    # QEMU does this RSS in software, and a queue that has overflowed may never be served again.
    Nic("virtio", 4, "virtio-net-pci,mq=on,vectors=8,rss=on,iommu_platform=on,disable-legacy=on,rx_queue_size=1024",
        "vfio-pci", queues=2),
    # The same without RSS: the host's kernel spreads flows over the queues as it likes.
    Nic("virtio-mq", 14, "virtio-net-pci,mq=on,vectors=8,iommu_platform=on,disable-legacy=on", "vfio-pci", queues=2),
    Nic("e1000e", 6, "e1000e", "vfio-pci"),
    Nic("vmxnet3", 8, "vmxnet3", "vfio-pci"),
    Nic("e1000", 10, "e1000", "uio_pci_generic"),
    # This device lacks what a device can lack: queues, RSS, checksums, VLAN filters, a link state, the modern
    # interface, the IOMMU.
    Nic("plain", 12, "virtio-net-pci,disable-modern=on,csum=off,guest_csum=off,gso=off,guest_tso4=off,guest_tso6=off,"
                     "guest_ecn=off,guest_ufo=off,ctrl_vlan=off,status=off", "uio_pci_generic"),
)}
HUGEPAGES = 200  # of 2 MB: two workers' buffers, and a reserve
DOZE_NS = 4_000_000  # a worker without packets may sleep for so much longer than it asks for
PAUSE = 0.25  # between two looks: each starts a program, which in an emulated machine is dear


class GuestProxy(Counting):
    """The program inside the guest; the counterpart of the end-to-end tests' Proxy."""

    def __init__(self, guest, nics, flags):
        self.guest, self.nics, self.pid = guest, nics, None
        # The longest sleep: waking is dear in an emulated machine, and tests that run beside this one need the cores.
        self.flags = ["--client-port", nics[0].address("client"), "--server-port", nics[1].address("server"),
                      *TUTORIAL_FLAGS, *SHORT_LIVES, "--max-flows", "65536", "--idle-sleep", "1000", *flags]
        for address in (SERVER4, f"[{SERVER6}]"):
            self.flags += ["--protect", f"{address}:80", "--protect", f"{address}:{OTHER_PORTS}"]

    def start(self):
        self.pid = self.guest.must(f"synproxy {' '.join(self.flags)} >/tmp/log 2>&1 & echo $!").strip()
        self.await_ready("the proxy")
        # Cards first negotiate with the other end of their cable.
        wait_for("both links are up", self.links_up, 60, PAUSE)

    def await_ready(self, who):
        wait_for(f"{who} says ready", lambda: self.guest.run(f"grep -q ready /tmp/log || ! kill -0 {self.pid}")[0] == 0,
                 60, PAUSE)
        check(self.running(), f"{who} ended at its start: {self.log().strip()[-400:]}")
        # The start itself may not doze: some drivers wait for their device in many short sleeps.
        self.guest.must(f"for task in /proc/{self.pid}/task/*; do read -r name <$task/comm; case $name in "
                        f"synproxy-w*) echo {DOZE_NS} >/proc/${{task##*/}}/timerslack_ns ;; esac; done")

    def links_up(self):
        """The log is read first: it costs a tenth of what the counters do."""
        log = self.log()
        return log.count("link is down") == log.count("link is up") and all(port["link_up"] for port in self.ports().values())

    def take_over(self):
        """Another process goes on. Returns for how many microseconds nobody forwarded, as both have printed."""
        former = self.pid
        self.guest.must("mv /tmp/log /tmp/log.former")
        self.pid = self.guest.must(f"synproxy {' '.join(self.flags)} --take-over >/tmp/log 2>&1 & echo $!").strip()
        self.await_ready("the next proxy")
        equal(self.guest.run(f"wait {former}")[0], 0, "exit code of the predecessor")
        outages = [re.search(r"nobody forwarded for (\d+) us", text)
                   for text in (self.log(), self.guest.must("cat /tmp/log.former"))]
        check(all(outages), f"it said: {self.log().strip()[-400:]}")
        equal(outages[0][1], outages[1][1], "outage, as both say")
        return int(outages[0][1])

    def stop(self):
        """Its exit code; None if it was stopped before."""
        pid, self.pid = self.pid, None
        return self.guest.run(f"kill {pid}; wait {pid}")[0] if pid else None

    def running(self):
        return self.pid is not None and self.guest.run(f"kill -0 {self.pid}")[0] == 0

    def log(self):
        return self.guest.run("cat /tmp/log")[1]

    def said(self, pattern):
        return re.search(pattern, self.log()) is not None

    def stat(self):
        return json.loads(self.guest.must("synproxy stat --json"))

    def ports(self):
        return self.stat()["ports"]


class VmStand:
    def __init__(self):
        self.lab = Lab("--bare")
        self.place = tempfile.TemporaryDirectory(prefix="synproxy-vm.")
        self.guest = self.proxy = self.wanted = self.kernel = self.image = None
        self.bound = {}
        self.cleanup = contextlib.ExitStack()

    def __enter__(self):
        self.kernel = kernel()
        with contextlib.ExitStack() as stack:
            self.image = initramfs(self.kernel, os.path.join(stack.enter_context(self.place), "initramfs"))
            stack.enter_context(self.lab)
            stack.callback(self.end_guest)
            self.new_guest()
            self.cleanup = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.cleanup.close()

    def new_guest(self):
        self.end_guest()
        guest = Guest(self.kernel, self.image, self.lab, list(MODELS.values()), self.place.name)
        try:
            self.guest = guest.__enter__()
        except Failed as why:
            # One boot of hundreds stood still: that is the kernel or the emulator, and nothing of ours runs yet.
            print(f"the guest did not come up, and is started again: {why}", flush=True)
            self.guest = guest.__enter__()
        self.guest.hugepages(HUGEPAGES)

    def end_guest(self):
        """Its devices, their TAPs and the proxy end with it."""
        guest, self.guest = self.guest, None
        self.proxy = self.wanted = None
        self.bound = {}
        if guest is not None:
            guest.__exit__()

    def wire(self, nics, mtu):
        """The namespaces' ends of these NICs become eth0 and get the lab's addresses."""
        for role, nic in zip(ROLES, nics):
            for command in (f"ip link set {nic.tap(role)} name eth0", f"ip link set eth0 mtu {mtu} up",
                            f"ip address add {ADDRESSES[role][0]}/24 dev eth0",
                            f"ip address add {ADDRESSES[role][1]}/64 dev eth0 nodad"):
                self.lab.must(role, *command.split())
        # The way back to spoofed addresses: without it the server drops their SYNs and shows no SYN_RECV.
        self.lab.must("server", "ip", "route", "add", "default", "via", CLIENT4)

    def unwire(self, nics):
        for role, nic in zip(ROLES, nics):
            for command in ("ip address flush dev eth0", "ip link set eth0 down",
                            f"ip link set eth0 name {nic.tap(role)}"):
                self.lab.run(role, *command.split())

    def bind(self, nic, driver=None):
        driver = driver or nic.driver
        if self.bound.get(nic.name) != driver:
            self.guest.bind(nic, driver)
            self.bound[nic.name] = driver

    def proxy_on(self, client, *flags, server=None, mtu=1500):
        """The proxy on these models, with links up; one that runs already with the same flags goes on."""
        wanted = (client, server, mtu, flags)
        if self.wanted == wanted and self.proxy.running():
            return self.proxy
        self.end_proxy()
        nics = MODELS[client], MODELS[server or client]
        for nic in nics:
            self.bind(nic)
        self.wire(nics, mtu)
        self.wanted, self.proxy = wanted, GuestProxy(self.guest, nics, flags)
        self.proxy.start()
        return self.proxy

    def end_proxy(self):
        """Does nothing if none runs. A stop must be clean."""
        proxy, self.proxy, self.wanted = self.proxy, None, None
        if proxy is None:
            return
        code = proxy.stop()
        self.unwire(proxy.nics)
        check(code == 0, f"the proxy's exit code is {code}: {proxy.log().strip()[-300:]}")
