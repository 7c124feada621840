#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The installed unit under systemd: what docs/operation.md says of it."""
import glob
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from stand import ENDS, PORTS, Stand, check, must, run, wait_for  # noqa: E402
from unit import CONF, NAME, UNIT, configure, drop_in, journal, serving, shown, systemctl  # noqa: E402

BYPASS = f"synproxy-bypass@{NAME}"
HELD = 20


def say(text):
    print(f"service: {text}", flush=True)


def pid():
    main = int(shown("MainPID"))
    check(main > 0, "it has no process")
    return main


def kill():
    """A failure: the process dies, and the next one serves, or there is none."""
    before = pid()
    os.kill(before, signal.SIGKILL)
    wait_for("what follows", lambda: shown("ActiveState") == "failed" or
             shown("ActiveState") == "active" and int(shown("MainPID")) not in (0, before), 10)


def restarts():
    return int(shown("NRestarts"))


def starts_when_frames_move(stand):
    configure()
    systemctl("start", UNIT)
    check(stand.page(), "no page right after systemctl start")
    with open(f"/proc/{pid()}/status", encoding="ascii") as status:
        of = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    user = must("id", "-u", "synproxy").strip()
    check(set(of["Uid"].split()) == {user}, f"Uid {of['Uid']}")
    kept = 1 << 12 | 1 << 13
    # CAP_BPF has been given up. No exec could bring it back: no-new-privileges is set.
    check(int(of["CapPrm"], 16) == int(of["CapEff"], 16) == kept and int(of["CapBnd"], 16) == kept | 1 << 39,
          f"capabilities {of['CapPrm']} {of['CapEff']} {of['CapBnd']}")
    check((of["NoNewPrivs"], of["Seccomp"]) == ("1", "2"), "no-new-privileges and the filter of system calls")
    wait_for("check --live", serving, 5)
    check('"conn_established": 1' in must("synproxy", "stat", "--json", "--name", NAME), "stat does not count the page")
    wait_for("rates in systemctl status", lambda: "SYN/s" in shown("StatusText"), 5)
    check("ready: " in journal("-p", "info") and "ready: " not in journal("-p", "warning"), "priorities of the journal")
    say("serves when systemctl start returns, with no more than two capabilities")


def reloads():
    before = pid()
    configure(wscale="8")
    systemctl("reload", UNIT)
    wait_for("the reload's line", lambda: "reloaded: wscale 7 -> 8" in journal(), 5)
    configure(wscale="99")
    run("systemctl", "reload", UNIT)
    wait_for("the refusal", lambda: "not reloaded: " in journal("-p", "err"), 5)
    configure(wscale="8")
    check(pid() == before and shown("ActiveState") == "active", "it goes on")
    say("reloads, and refuses a wrong file")


def connections_outlive(stand):
    stand.hold(HELD)
    os.kill(pid(), signal.SIGKILL)
    took = wait_for("the restart", lambda: restarts() == 1 and shown("ActiveState") == "active" and serving(), 10)
    check(stand.alive() == HELD, "connections after kill -9")
    # The page's connection may still be closing.
    resumed = re.findall(r"(\d+) connections go on, 0 records were dropped", journal())
    check(len(resumed) == 1 and int(resumed[0]) >= HELD, f"its line: {resumed}")
    # What an upgrade of systemd does.
    systemctl("daemon-reexec")
    systemctl("restart", UNIT)
    check(stand.alive() == HELD, "connections after daemon-reexec and systemctl restart")
    say(f"{HELD} connections go on after kill -9 ({took:.1f} s until it served again) and systemctl restart")
    systemctl("stop", UNIT)
    systemctl("start", UNIT)
    check(stand.alive() == 0, "connections after systemctl stop")
    check(stand.page(), "no page after stop and start")


def hangs(stand):
    stand.hold(HELD)
    before = restarts()
    begin = time.time()
    os.kill(pid(), signal.SIGSTOP)
    took = wait_for("the restart", lambda: restarts() > before and serving(), 20)
    # By the manager's own word: how long this takes to ask depends on what else the machine does.
    lines = must("journalctl", "-q", "--no-pager", "-o", "short-unix", "-u", UNIT, "--since", f"@{int(begin)}").splitlines()
    noticed = [float(line.split()[0]) - begin for line in lines if "Watchdog timeout" in line]
    check(len(noticed) == 1 and 0 < noticed[0] < 2, f"noticed after {noticed} s")
    check(stand.alive() == HELD, "connections after a process that hung")
    say(f"a process that hangs is noticed after {noticed[0]:.1f} s, served again after {took:.1f} s, with its connections")


def fail_for_good():
    """Five starts within a minute are allowed; those before do not count here."""
    systemctl("reset-failed", UNIT)
    begin, failures = time.monotonic(), 0
    while shown("ActiveState") != "failed":
        kill()
        failures += 1
        check(failures < 7 or time.monotonic() - begin > 60, "not given up after five starts within a minute")
    check(failures > 5, f"given up after failure {failures}")


def passes_by_the_bypass(stand):
    fail_for_good()
    wait_for("the bypass", lambda: shown("Result", BYPASS) == "success" and shown("ExecMainExitTimestamp", BYPASS) != "", 10)
    check("on" in must("synproxy", "bypass", "status", "--config", CONF), "bypass status")
    check(stand.page(), "no page by the bypass")
    systemctl("reset-failed", UNIT)
    systemctl("start", UNIT)
    check("on" not in must("synproxy", "bypass", "status", "--config", CONF).split(), "the start takes the bypass away")
    check(stand.page() and '"conn_established": 1' in must("synproxy", "stat", "--json", "--name", NAME), "no page by the proxy")
    say("after five starts within a minute traffic passes by the bypass, until the next start")


def a_wrong_file_is_named():
    configure(wscale="99")
    # The next try would hide the status of the first.
    drop_in("still", "[Service]\nRestart=no\n")
    begin = int(time.time())
    check(run("systemctl", "start", UNIT).returncode != 0, "it starts with a wrong file")
    check(shown("ExecMainStatus") == "2", f"exit status {shown('ExecMainStatus')}")
    check(any(line.startswith(f"{CONF}:4: wscale 99: ") for line in journal("-p", "err", "--since", f"@{begin}").splitlines()),
          "the journal names file, line and flag")
    drop_in("still", None)
    run("systemctl", "reset-failed", UNIT)


def outlive_a_stop_with_a_file(stand):
    configure(**{"state-dir": "/run/synproxy"})
    systemctl("restart", UNIT)
    stand.hold(HELD)
    systemctl("stop", UNIT)
    systemctl("start", UNIT)
    check(stand.alive() == HELD, "connections after a stop with state-dir")
    configure()


def forgets_if_told(stand):
    drop_in("forget", "[Service]\nFileDescriptorStoreMax=0\nEnvironment=FDSTORE=0\n")
    systemctl("restart", UNIT)
    stand.hold(HELD)
    systemctl("restart", UNIT)
    check(stand.alive() == 0, "connections although nothing is to be kept")
    systemctl("stop", UNIT)
    drop_in("forget", None)


def is_user_now():
    with open(f"/proc/{pid()}/status", encoding="ascii") as status:
        check(f"Uid:\t{must('id', '-u', 'synproxy').strip()}\t" in status.read(), "it stays root")


def example(name):
    with open(f"/usr/share/doc/synproxy/examples/{name}", encoding="ascii") as text:
        return text.read()


def starts_as_root_for_nics(stand):
    """Without a NIC for DPDK: that the sandbox is open where one is, and that the program starts in it."""
    if os.statvfs("/sys").f_flag & os.ST_RDONLY:
        must("mount", "-o", "remount,rw", "/sys")
    registers = glob.glob("/sys/bus/pci/devices/*/config") or ["/sys/devices/virtual/net/lo/ifalias"]
    drop_in("ports", example("drop-in-nic.conf"))
    drop_in("probe", f"[Service]\nExecStartPre=/usr/bin/test -w {registers[0]}\n")
    configure()
    systemctl("start", UNIT)
    check(stand.page(), "no page with the drop-in for NICs")
    is_user_now()
    systemctl("stop", UNIT)
    drop_in("ports", None)
    drop_in("probe", None)


def opens_af_xdp_as_root(stand):
    drop_in("ports", example("drop-in-afxdp.conf"))
    # Where even root raises no limit, as in some containers, LimitMEMLOCK of the unit says nothing.
    if run("prlimit", "--memlock=unlimited", "true").returncode != 0:
        drop_in("unlimited", "[Service]\nCapabilityBoundingSet=CAP_IPC_LOCK\n")
    configure(**{"client-port": "xdp:" + PORTS[0], "server-port": "xdp:" + PORTS[1]})
    # AF_XDP sees checksums that the other end of a veth pair leaves to a NIC.
    for role in ENDS:
        stand.must_in(role, "ethtool", "-K", "eth0", "tx", "off")
    systemctl("start", UNIT)
    check("xdp" in must("ip", "link", "show", PORTS[0]), "no XDP program")
    check(stand.page(), "no page over AF_XDP")
    is_user_now()
    kill()
    check(stand.page(), "no page over AF_XDP after kill -9")
    systemctl("stop", UNIT)
    check("xdp" not in must("ip", "link", "show", PORTS[0]), "the XDP program stays")
    drop_in("ports", None)
    drop_in("unlimited", None)
    say("the drop-in for AF_XDP opens its ports as root, and is the user synproxy afterwards")


def stands_still_if_the_bypass_is_masked(stand):
    drop_in("once", "[Unit]\nStartLimitBurst=1\n")
    systemctl("mask", BYPASS)
    systemctl("start", UNIT)
    kill()
    if shown("ActiveState") != "failed":
        kill()
    check(shown("ActiveState") == "failed", "not given up after one start")
    check(not stand.page(limit=1), "traffic passes although the bypass is masked")
    systemctl("unmask", BYPASS)
    systemctl("reset-failed", UNIT)
    drop_in("once", None)
    say("with the bypass masked, traffic stands still")


def protects_the_host_itself(stand):
    address = "10.9.0.3"
    must("ip", "address", "add", f"{address}/24", "dev", PORTS[0])
    here = stand.serve_here(address)
    try:
        configure(**{"server-port": "host", "protect": f"{address}:80"})
        systemctl("start", UNIT)
        check(f"syn-{PORTS[0]}" in must("ip", "-br", "address", "show", "to", address), "the address is moved")
        check(stand.page(address=address), "no page of this machine")
        kill()
        check(stand.page(address=address), "no page of this machine after kill -9")
        fail_for_good()
        wait_for("the address", lambda: must("ip", "-br", "address", "show", "dev", PORTS[0], "to", address), 10)
        check(stand.page(address=address), "no page of this machine when the proxy is given up")
        systemctl("reset-failed", UNIT)
        systemctl("start", UNIT)
        check(stand.page(address=address), "no page of this machine after the next start")
        systemctl("stop", UNIT)
        check(must("ip", "-br", "address", "show", "dev", PORTS[0], "to", address), "the address does not come back")
        check(stand.page(address=address), "no page of this machine after the stop")
    finally:
        here.kill()
        run("ip", "address", "del", f"{address}/24", "dev", PORTS[0])
    say("on the web server itself: addresses move, outlive kill -9, and come back at the stop and when it is given up")


def main():
    with Stand() as stand:
        try:
            starts_when_frames_move(stand)
            reloads()
            connections_outlive(stand)
            hangs(stand)
            passes_by_the_bypass(stand)
            outlive_a_stop_with_a_file(stand)
            forgets_if_told(stand)
            stands_still_if_the_bypass_is_masked(stand)
            a_wrong_file_is_named()
            protects_the_host_itself(stand)
            starts_as_root_for_nics(stand)
            opens_af_xdp_as_root(stand)
        except SystemExit:
            print(run("systemctl", "status", "--no-pager", "-l", UNIT).stdout)
            print("\n".join(journal().splitlines()[-40:]))
            raise
        finally:
            run("systemctl", "stop", UNIT)
            if os.path.exists(CONF):
                os.remove(CONF)
    say("OK")


if __name__ == "__main__":
    main()
