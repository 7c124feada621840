# SPDX-License-Identifier: BSD-3-Clause
"""The guest's boot files: Debian's kernel, unpacked and not installed, and an initramfs of a few files."""
import glob
import lzma
import os
import re
import shutil
import tempfile

from harness import BUILD, PROGRAM, check, run

HERE = os.path.dirname(os.path.abspath(__file__))
STORE = os.path.join(BUILD, "vm")
# The kernel for clouds is small: it is unpacked and started in half the time of the one for every machine.
KERNEL = "linux-image-cloud-amd64"
# Each module comes after those that it needs. The kernel's own NIC drivers stay out, so that devices are free to be
# bound.
MODULES = ("drivers/uio/uio", "drivers/uio/uio_pci_generic", "virt/lib/irqbypass", "drivers/vfio/vfio_virqfd",
           "drivers/vfio/vfio", "drivers/vfio/vfio_iommu_type1", "drivers/vfio/pci/vfio-pci-core",
           "drivers/vfio/pci/vfio-pci", "drivers/virtio/virtio_ring", "drivers/virtio/virtio",
           "drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci",
           "drivers/char/virtio_console", "drivers/net/vmxnet3/vmxnet3")
BOUND_BY_US = "vmxnet3"  # loaded only by the case that needs a device with its kernel driver
DRIVERS = ("bus_pci", "bus_vdev", "mempool_ring", "net_virtio", "net_e1000", "net_vmxnet3")
BUSYBOX = "/bin/busybox"


class Unavailable(Exception):
    """This machine cannot run a guest; the text says why."""


def kernel():
    """The directory with vmlinuz and the modules, fetched once."""
    for attempt in ("with the lists as they are", "with new ones"):
        listed = run(["apt-cache", "depends", KERNEL])
        found = re.search(r"Depends: (linux-image-\S+)", listed.out)
        if found:
            place = os.path.join(STORE, found.group(1))
            # An earlier version kept a kernel of Debian 13 without its modules.
            if os.path.exists(f"{place}/vfio-pci.ko") or unpack(found.group(1), place):
                return place
        if attempt == "with the lists as they are":
            run(["apt-get", "-qq", "update"], limit=120)
    raise Unavailable(f"apt cannot download the package that {KERNEL} names")


def unpack(package, place):
    """False: apt cannot fetch it."""
    os.makedirs(STORE, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STORE) as work:
        # As its sandbox user apt could not write here.
        fetch = f"cd '{work}' && exec apt-get -qq -o APT::Sandbox::User=root download {package}"
        fetched = run(["sh", "-c", fetch], limit=300)
        archives = glob.glob(os.path.join(work, "*.deb"))
        if fetched.code != 0 or not archives:
            return False
        unpacked, keep = os.path.join(work, "all"), os.path.join(work, "keep")
        check(run(["dpkg-deb", "-x", archives[0], unpacked], limit=300).code == 0, f"dpkg-deb cannot unpack {package}")
        os.mkdir(keep)
        shutil.copy(glob.glob(f"{unpacked}/boot/vmlinuz-*")[0], os.path.join(keep, "vmlinuz"))
        for module in MODULES:
            copy_module(unpacked, module, os.path.join(keep, os.path.basename(module) + ".ko"))
        shutil.rmtree(place, ignore_errors=True)
        os.rename(keep, place)
    return True


def copy_module(unpacked, module, path):
    """Debian 13 has modules in another place, and compressed. What a kernel lacks it may have built in."""
    for root in (unpacked, f"{unpacked}/usr"):
        for suffix, opener in ((".ko", open), (".ko.xz", lzma.open)):
            for found in glob.glob(f"{root}/lib/modules/*/kernel/{module}{suffix}"):
                with opener(found, "rb") as source, open(path, "wb") as out:
                    shutil.copyfileobj(source, out)


def libraries(files):
    """The shared libraries that the files need, loader included."""
    needed = set()
    for line in run(["ldd", *files]).out.splitlines():
        path = re.search(r"(/\S+) \(0x", line)
        if path:
            needed.add(path.group(1))
    return needed


def plugins():
    """DPDK's drivers for the guest's devices, at the path where EAL looks for them."""
    folders = sorted(glob.glob("/usr/lib/*/dpdk/pmds-*"))
    if not folders:
        raise Unavailable("DPDK's drivers are not installed")
    found = [path for name in DRIVERS for path in glob.glob(f"{folders[-1]}/librte_{name}.so.*")
             if not os.path.islink(path)]
    if len(found) != len(DRIVERS):
        raise Unavailable(f"of DPDK's drivers {' '.join(DRIVERS)} some are not installed")
    return found


class Archive:
    """A cpio archive of the kind that the kernel unpacks (newc)."""

    def __init__(self, out):
        self.out, self.made, self.inode = out, set(), 0

    def entry(self, name, mode, data=b""):
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        self.out.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))

    def folders(self, name):
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder not in self.made:
                self.made.add(folder)
                self.entry(folder, 0o040755)

    def file(self, name, data, mode=0o100755):
        if name not in self.made:
            self.made.add(name)
            self.folders(name)
            self.entry(name, mode, data)

    def copy(self, source, name):
        with open(source, "rb") as data:
            self.file(name, data.read())

    def library(self, path):
        """The file at its real path, and a link at its own: a driver loaded from two files would register twice."""
        real = os.path.realpath(path)
        self.copy(real, real.lstrip("/"))
        if path != real:
            self.file(path.lstrip("/"), real.encode(), 0o120777)


def initramfs(kernel_files, path):
    drivers = plugins()
    modules = [os.path.basename(module) + ".ko" for module in MODULES]
    # Kernels differ in what they build as modules; the drivers that bind devices must be there.
    modules = [name for name in modules if os.path.exists(os.path.join(kernel_files, name))]
    check({"uio_pci_generic.ko", "vfio-pci.ko"} <= set(modules), "the kernel package lacks modules")
    with open(path, "wb") as out:
        archive = Archive(out)
        for folder in ("proc/", "sys/", "dev/", "tmp/", "run/", "var/"):
            archive.folders(folder)
        archive.copy(BUSYBOX, "bin/busybox")
        archive.copy(os.path.join(HERE, "guest_init.sh"), "init")
        archive.copy(PROGRAM, "bin/synproxy")
        for one in sorted({*drivers, *libraries([PROGRAM, *drivers])}):
            archive.library(one)
        for name in modules:
            archive.copy(os.path.join(kernel_files, name), f"lib/modules/{name}")
        loaded = [f"/lib/modules/{name}\n" for name in modules if name != BOUND_BY_US + ".ko"]
        archive.file("modules", "".join(loaded).encode(), 0o100644)
        archive.entry("TRAILER!!!", 0)
    return path
