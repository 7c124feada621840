# SPDX-License-Identifier: BSD-3-Clause
"""The guest: QEMU by software emulation, its NICs' other ends as TAPs in namespaces of a lab."""
import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess

from harness import Failed, check, wait_for

QEMU = "qemu-system-x86_64"
MEMORY_MB = 1088
CPUS = 3  # two for workers and one for everything else
# Emulated, an instruction that copies or clears memory is a loop over bytes, or words: nobody shall think it fast.
CPU = "max,-erms,-fsrm"
BOOT = ("console=ttyS0", "quiet", "panic=-1", "mitigations=off", "init_on_alloc=0", "clearcpuid=112",  # 112: rep_good
        # Devices that are not bound to VFIO keep their own addresses for DMA, as uio needs.
        "intel_iommu=on", "iommu=pt",
        # The kernel would find the clock that costs least to be unstable, and measure how fast it counts. On a loaded
        # host it would find that the timer does not work, and give up.
        "tsc=reliable", "clocksource=tsc", "lpj=10000000", "no_timer_check",
        # A program at the same addresses as the last time needs no new translation.
        "norandmaps")
TUNSETIFF, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D8
IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x0100, 0x1000, 0x4000
ROLES = ("client", "server")


def end_with_parent():
    """Runs in the child: a guest whose workers poll must not outlive the runner, however that ends."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def open_tap(lab, role, name, queues):
    """Descriptors of a TAP device in that namespace; it is gone when the last of them is closed."""
    flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (IFF_MULTI_QUEUE if queues > 1 else 0)
    descriptors = []
    with lab.sockets_in(role):
        for _ in range(queues):
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
            descriptors.append(fd)
    return descriptors


class Nic:
    """A pair of emulated NICs of one model, one for each namespace.

    `driver` is the kernel's driver that hands the device to userspace; `vlan` and the like are what the
    device can do, as its DPDK driver says.
    """

    def __init__(self, name, slot, device, driver, queues=1):
        self.name, self.slot, self.device, self.driver, self.queues = name, slot, device, driver, queues

    def address(self, role):
        return f"0000:00:{self.slot + ROLES.index(role):02x}.0"

    def tap(self, role):
        return f"{self.name}-{role[0]}"

    def ident(self, role):
        return f"{self.name}-{role}"


class Gone(Exception):
    """QEMU has closed the connection."""


class Channel:
    """A byte stream to QEMU."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.pending = b""

    def more(self, limit):
        self.socket.settimeout(limit)
        try:
            got = self.socket.recv(65536)
        except socket.timeout:
            raise Failed(f"the guest was silent for {limit} s") from None
        if not got:
            raise Gone
        self.pending += got

    def line(self, limit):
        while b"\n" not in self.pending:
            self.more(limit)
        line, self.pending = self.pending.split(b"\n", 1)
        return line.decode(errors="replace").strip()

    def take(self, count, limit):
        while len(self.pending) < count:
            self.more(limit)
        data, self.pending = self.pending[:count], self.pending[count:]
        return data

    def say(self, text):
        self.socket.sendall(text.encode() + b"\n")


class Guest:
    def __init__(self, kernel_files, initramfs, lab, nics, place):
        self.kernel, self.initramfs, self.lab, self.nics, self.place = kernel_files, initramfs, lab, nics, place
        self.process = self.control = self.monitor = None

    def command(self, taps):
        words = [QEMU, "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", CPU, "-smp", str(CPUS), "-m", str(MEMORY_MB),
                 "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                 "-kernel", os.path.join(self.kernel, "vmlinuz"), "-initrd", self.initramfs, "-append", " ".join(BOOT),
                 "-device", "intel-iommu",
                 "-serial", f"file:{self.place}/console",
                 "-chardev", f"socket,id=control,path={self.place}/control,server=on,wait=off",
                 # Over a serial port of the PC, the counters' way out would cost more than the program that prints them.
                 "-device", "virtio-serial-pci,bus=pcie.0,addr=3.0", "-device", "virtserialport,chardev=control",
                 "-qmp", f"unix:{self.place}/monitor,server=on,wait=off"]
        for nic in self.nics:
            for role in ROLES:
                fds = ":".join(map(str, taps[nic.ident(role)]))
                words += ["-netdev", f"tap,id={nic.ident(role)},vhost=off,fd{'s' if nic.queues > 1 else ''}={fds}",
                          # Without a ROM to boot from the network with.
                          "-device", f"{nic.device},netdev={nic.ident(role)},id=nic-{nic.ident(role)},romfile=,bus=pcie.0,"
                                     f"addr={nic.slot + ROLES.index(role):x}.0,"
                                     f"mac=52:54:00:00:{nic.slot:02x}:{ROLES.index(role):02x}"]
        return words

    def __enter__(self):
        for name in ("control", "monitor", "console"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.place}/{name}")
        taps = {nic.ident(role): open_tap(self.lab, role, nic.tap(role), nic.queues)
                for nic in self.nics for role in ROLES}
        descriptors = [fd for fds in taps.values() for fd in fds]
        try:
            with open(f"{self.place}/qemu", "wb") as log:
                self.process = subprocess.Popen(self.command(taps), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                pass_fds=descriptors, start_new_session=True,
                                                preexec_fn=end_with_parent)
        finally:
            for fd in descriptors:
                os.close(fd)
        try:
            self.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def connect(self):
        def there(name):
            check(self.process.poll() is None, f"QEMU ended: {self.read('qemu').strip()[-300:]}")
            return os.path.exists(f"{self.place}/{name}")

        for name in ("control", "monitor"):
            wait_for(f"QEMU makes its socket {name}", lambda name=name: there(name), 30)
        self.control = Channel(f"{self.place}/control")
        self.monitor = Channel(f"{self.place}/monitor")
        self.monitor.line(10)
        self.tell("qmp_capabilities")
        try:
            first = self.control.line(120)
        except Gone:
            raise Failed(self.obituary()) from None
        except Failed as why:
            raise Failed(f"{why}; its console: {self.read('console')[-600:]}") from None
        check(first == "up", f"the guest's first word is {first!r}")

    def __exit__(self, *_):
        for channel in (self.control, self.monitor):
            if channel:
                channel.socket.close()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
            self.process.kill()
            self.process.wait()

    def read(self, name):
        with contextlib.suppress(FileNotFoundError), \
                open(f"{self.place}/{name}", encoding="utf-8", errors="replace") as text:
            return text.read()
        return ""

    def running(self):
        return self.process is not None and self.process.poll() is None

    def obituary(self):
        return (f"QEMU ended with {self.process.wait(10)}; it said: {self.read('qemu').strip()[-300:] or 'nothing'}; "
                f"the guest's console: {self.read('console').strip()[-300:] or 'empty'}")

    def run(self, line, limit=60):
        """Runs a line of shell in the guest; returns its exit code and its output."""
        try:
            self.control.say(line)
            code, size = self.control.line(limit).split()
            return int(code), self.control.take(int(size), limit).decode(errors="replace")
        except (Gone, OSError):
            raise Failed(self.obituary()) from None

    def must(self, line, limit=60):
        code, out = self.run(line, limit)
        check(code == 0, f"in the guest, {line}: exit {code}: {out.strip()[-300:]}")
        return out

    def tell(self, command, **arguments):
        """A command to QEMU's monitor."""
        self.monitor.say(json.dumps({"execute": command, "arguments": arguments}))
        while True:
            answer = json.loads(self.monitor.line(20))
            check("error" not in answer, f"QEMU refuses {command}: {answer.get('error')}")
            if "return" in answer:
                return answer["return"]

    def set_link(self, nic, role, up):
        self.tell("set_link", name=f"nic-{nic.ident(role)}", up=up)

    def bind(self, nic, driver=None):
        """Binds both devices of the pair to that driver of the guest's kernel."""
        for role in ROLES:
            device = f"/sys/bus/pci/devices/{nic.address(role)}"
            self.must(f"[ ! -e {device}/driver ] || echo {nic.address(role)} >{device}/driver/unbind; "
                      f"echo {driver or nic.driver} >{device}/driver_override && "
                      f"echo {nic.address(role)} >/sys/bus/pci/drivers_probe && [ -e {device}/driver ]")

    def hugepages(self, count):
        self.must(f"echo {count} >/proc/sys/vm/nr_hugepages; "
                  f"[ $(cat /proc/sys/vm/nr_hugepages) = {count} ]")


