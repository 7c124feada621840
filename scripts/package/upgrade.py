#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Installs, upgrades, rolls back, removes and purges the package under a proxy that runs, as docs/operation.md says.

usage: upgrade.py DEB     in a system that is thrown away (throwaway.sh)
"""
import os
import re
import sys
import tempfile

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "debian", "tests")
sys.path.insert(0, TESTS)
from stand import Stand, check, must, run, wait_for  # noqa: E402  pylint: disable=wrong-import-position
from unit import CONF, UNIT, configure, serving, shown, systemctl  # noqa: E402  pylint: disable=wrong-import-position

HELD = 20
WANTED = f"/etc/systemd/system/multi-user.target.wants/{UNIT}.service"


def newer(deb, place):
    """The same package with a later version, and another description of its unit."""
    tree = os.path.join(place, "tree")
    must("dpkg-deb", "-R", deb, tree)
    for path, pattern, text in (("DEBIAN/control", r"(?m)^Version: .*", "Version: 99.0-1"),
                                ("usr/lib/systemd/system/synproxy@.service", "Description=SYN proxy", "Description=Newer")):
        with open(os.path.join(tree, path), "r+", encoding="utf-8") as file:
            changed, count = re.subn(pattern, text, file.read())
            check(count == 1, f"{path} has no {pattern}")
            file.seek(0)
            file.write(changed)
            file.truncate()
    made = os.path.join(place, "newer.deb")
    must("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, made)
    return made


def program():
    """What the proxy runs; ends in (deleted) when another file has taken its place."""
    return os.readlink(f"/proc/{shown('MainPID')}/exe")


def conf():
    with open(CONF, encoding="ascii") as text:
        return text.read(), os.stat(CONF).st_mtime_ns


def installs_beside_a_running_one(stand, deb, description):
    before, pid = conf(), shown("MainPID")
    must("dpkg", "-i", deb)
    check(shown("MainPID") == pid and program().endswith(" (deleted)"), "the old program goes on")
    check(stand.alive() == HELD, "connections after the installation")
    check(conf() == before, "the configuration is kept")
    check(shown("NeedDaemonReload") == "no" and shown("Description").startswith(description), "systemd knows the new unit")
    must("synproxy", "check", "--config", CONF)
    systemctl("restart", UNIT)
    check(program().endswith("/usr/bin/synproxy"), f"it runs {program()}")
    check(stand.alive() == HELD, "connections after the restart")


def removes(deb):
    must("dpkg", "-r", "synproxy")
    check(shown("ActiveState") == "inactive" and shown("MainPID") == "0", "it runs on after the removal")
    check(os.path.exists(CONF) and not os.path.exists("/usr/bin/synproxy"), "a removal leaves the configuration alone")
    must("dpkg", "-i", deb)
    check(os.path.exists(WANTED), "it is enabled no more")
    systemctl("start", UNIT)
    wait_for("the proxy", serving, 5)
    must("dpkg", "--purge", "synproxy")
    check(shown("ActiveState") == "inactive", "it runs on after the purge")
    for path in ("/etc/synproxy", "/run/synproxy", "/run/dpdk/pkgtest", "/usr/share/doc/synproxy"):
        check(not os.path.exists(path), f"{path} stays after the purge")
    left = must("find", "/etc", "/usr/bin", "/usr/lib/systemd", "/usr/lib/sysusers.d", "/usr/share", "/run", "/var/lib", "-xdev", "-name",
                "*synproxy*", "-not", "-path", "/run/systemd/*", "-not", "-path", "/run/dpdk/pkg[0-9]*")
    check(left == "", f"the purge leaves {left}")
    check(not os.path.lexists(WANTED), "it stays enabled after the purge")
    check(shown("LoadState") == "not-found", "systemd still knows the unit")
    must("getent", "passwd", "synproxy")


def main():
    deb = sys.argv[1]
    with Stand() as stand, tempfile.TemporaryDirectory() as place:
        later = newer(deb, place)
        must("dpkg", "-i", deb)
        check(run("systemctl", "list-units", "--no-legend", "synproxy*@*").stdout == "", "the installation starts something")
        configure()
        systemctl("enable", "--now", UNIT)
        stand.hold(HELD)
        installs_beside_a_running_one(stand, later, "Newer")
        installs_beside_a_running_one(stand, deb, "SYN proxy")
        print(f"upgrade: {HELD} connections go on over an upgrade and back", flush=True)
        removes(deb)
        print("upgrade: nothing stays after the purge", flush=True)
    print("upgrade: OK", flush=True)


if __name__ == "__main__":
    main()
