# SPDX-License-Identifier: BSD-3-Clause
"""The commands to a running proxy: get, set, unset, reload, config, flows."""
import json
import os
import shutil
import socket
import tempfile

from cases_reload import Files, offered_scale
from cases_usage import why_wrong
from clients import must_get_page
from harness import PROGRAM, Lab, Proxy, case, check, equal, own_stand, wait_for

GROUP = 4711  # of nobody
OUTSIDERS = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
MEMBERS = ["setpriv", "--reuid", "65534", "--regid", str(GROUP), "--clear-groups"]


def control_socket(proxy):
    return f"/var/run/dpdk/{proxy.lab.name}/control.sock"


def command(proxy, *words, as_user=(), program=PROGRAM):
    return proxy.lab.run("proxy", *as_user, program, *words, "--name", proxy.lab.name, limit=20)


def must(proxy, *words, **how):
    result = command(proxy, *words, **how)
    check(result.code == 0 and not result.err, f"{words}: exit {result.code}: {result.err.strip()[-300:]}")
    return result.out.strip()


def must_refuse(proxy, words, said):
    wrong = why_wrong(command(proxy, *words), said)
    check(wrong is None, f"{words}: {wrong}")


@case()
@own_stand
def set_steers_the_running_proxy_until_the_restart(_):
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        files = Files(directory)
        files.write({"wscale": "5"})
        with Proxy(lab, "--config", files.path, offer=[], lives=["--epoch", "8"]) as proxy:
            must_get_page(lab, 4)
            equal(must(proxy, "get", "wscale"), "5", "get")
            check("until the restart" in must(proxy, "set", "wscale", "9"), "set does not say how long it lasts")
            equal(offered_scale(lab, 1), 9, "window scale after set")
            check("set: wscale 5 -> 9 (uid 0, pid " in proxy.log(), proxy.log()[-300:])
            must_refuse(proxy, ["set", "mss", "70000"], ["--mss 70000: is too large"])
            must_refuse(proxy, ["set", "max-flows", "2048"], ["--max-flows", "restart"])
            must_refuse(proxy, ["set", "whatever", "1"], ["whatever", "unknown key"])
            must_refuse(proxy, ["set", "wscale"], ["synproxy set", "KEY VALUE"])
            must_refuse(proxy, ["get", "--bogus"], ["--bogus"])
            equal(offered_scale(lab, 2), 9, "window scale after what was refused")
            files.write({"wscale": "3", "mss": "1400"})
            line = must(proxy, "reload")
            check("mss auto -> 1400" in line and "still set: wscale 9" in line, line)
            equal(offered_scale(lab, 3), 9, "window scale after a reload")
            origins = {entry["key"]: entry["from"] for entry in json.loads(must(proxy, "config", "--json"))}
            equal([origins[key] for key in ("wscale", "mss", "epoch", "ecn")], ["set", "file", "flag", "default"], "origins")
            # What `config` prints is a file for --config that means the same.
            text = must(proxy, "config")
            check("# set, until the restart" in text and f"# file {files.path}:2" in text, text)
            check("wscale 9 -> 3" in must(proxy, "unset", "wscale"), "unset")
            equal(offered_scale(lab, 4), 3, "window scale after unset")
            files.write({"wscale": "99"})
            must_refuse(proxy, ["reload"], ["not reloaded", "synproxy.conf:1: wscale 99"])
            must_get_page(lab, 4)
            equal(proxy.stop(), 0, "exit code")
            check(not os.path.exists(control_socket(proxy)), "the socket is left after a clean stop")
            result = command(proxy, "get", "wscale")
            check(result.code == 1 and "not running" in result.err, f"exit {result.code}: {result.err}")


@case()
@own_stand
def control_group_may_read_and_others_nothing(_):
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        program = shutil.copy(PROGRAM, directory)
        with Proxy(lab, "--control-group", str(GROUP)) as proxy:
            equal(must(proxy, "get", "wscale", as_user=MEMBERS, program=program), "7", "get by a member of the group")
            for words, user, said in ((["get", "wscale"], OUTSIDERS, "permission"),
                                      (["set", "wscale", "3"], MEMBERS, "permission to change"),
                                      (["reload"], MEMBERS, "permission to change"),
                                      # Also where nothing is there to be deleted.
                                      (["flows", "--delete", "--dport", "1"], MEMBERS, "permission to change")):
                result = command(proxy, *words, as_user=user, program=program)
                check(result.code == 1 and len(result.err.splitlines()) == 1 and said in result.err,
                      f"{words}: exit {result.code}: {result.err}")
            # Idle clients, more than there are places, and one that sends garbage without an end.
            crowd = []
            try:
                for _ in range(100):
                    crowd.append(socket.socket(socket.AF_UNIX))
                    crowd[-1].connect(control_socket(proxy))
                crowd[-1].sendall(os.urandom(15000).replace(b"\n", b" "))
                equal(must(proxy, "get", "wscale"), "7", "get in a crowd")
                must_get_page(lab, 4)
            finally:
                for one in crowd:
                    one.close()
            proxy.process.process.kill()
            proxy.process.process.wait()
            check(os.path.exists(control_socket(proxy)), "a killed proxy cannot remove its socket")
        with Proxy(lab) as proxy:
            equal(must(proxy, "get", "wscale"), "7", "get after a kill and a start")
            result = command(proxy, "get", "wscale", as_user=MEMBERS, program=program)
            check(result.code == 1 and "permission" in result.err, f"exit {result.code}: {result.err}")


@case()
@own_stand
def unknown_control_group_is_refused(_):
    with Lab() as lab:
        flags = Proxy(lab).flags
        result = lab.run("proxy", PROGRAM, "--name", lab.name, *flags, "--control-group", "no-such-group", limit=20)
        wrong = why_wrong(result, ["--control-group no-such-group", "no such group"])
        check(wrong is None, wrong)


@case()
@own_stand
def flows_are_listed_counted_and_deleted(_):
    with Lab() as lab, Proxy(lab, lives=["--epoch", "8", "--close-timeout", "60"]) as proxy:
        def are_finished(count):
            """A client may have ended before the server's FIN came."""
            wait_for(f"{count} flows are finished",
                     lambda: must(proxy, "flows", "--state", "finished", "--count") == str(count), 20)

        must_get_page(lab, 4)
        must_get_page(lab, 6)
        are_finished(2)
        # A connection that stays: curl takes a page of 20 MB at 200 KB a second.
        lab.page_file("slow", 20 << 20)
        curl = lab.start("client", "curl", "-sS", "--limit-rate", "200k", "-o", "/dev/null", "http://10.0.0.2/slow")
        with curl:
            wait_for("the slow page is on its way", lambda: any(
                flow["bytes_from_server"] > 10_000
                for flow in json.loads(must(proxy, "flows", "--json", "--state", "established"))), 20)
            flows = json.loads(must(proxy, "flows", "--json"))
            equal(len(flows), 3, "flows")
            live = next(flow for flow in flows if flow["state"] == "established")
            equal([live[key] for key in ("client", "server", "dport", "service")],
                  ["10.0.0.1", "10.0.0.2", 80, "10.0.0.2:80"], "ends of the flow")
            check("timestamps" in live["options"] and live["server_scale"] > 0, f"{live}")
            check(live["idle_seconds"] < 60, f"{live}")
            for words, count in ((["--src", "10.0.0.0/24"], 2), (["--dst", "fd00::/64"], 1), (["--older", "1h"], 0),
                                 (["--idle", "1h"], 0), (["--service", "10.0.0.2:80"], 2), (["--service", "10.0.0.2:81"], 0),
                                 (["--sport", str(live["sport"])], 1), (["--dport", "81"], 0),
                                 (["--state", "finished"], 2), (["--state", "finished", "--dst", "10.0.0.2"], 1)):
                equal(must(proxy, "flows", "--count", *words), str(count), f"flows {words}")
            table = must(proxy, "flows", "--src", "10.0.0.1").splitlines()
            check(len(table) == 3 and table[0].startswith("STATE "), f"{table}")
            top = json.loads(must(proxy, "flows", "--top-sources=1", "--json"))
            equal(top, [{"source": "10.0.0.1", "flows": 2, "established": 1}], "top sources")
            must_refuse(proxy, ["flows", "--delete"], ["--delete", "give a filter"])
            must_refuse(proxy, ["flows", "--src", "10.0.0.256"], ["--src 10.0.0.256"])
            must_refuse(proxy, ["flows", "--service", "10.0.0.2:"], ["--service 10.0.0.2:"])
            # It goes on, so it is old and not idle.
            old = ["flows", "--older", "1s", "--state", "established"]
            wait_for("the slow page is old", lambda: must(proxy, *old, "--count") == "1", 10)
            check(1 <= json.loads(must(proxy, *old, "--json"))[0]["age_seconds"] < 60, "age")
            with proxy.counting() as grown:
                equal(must(proxy, "flows", "--delete", "--sport", str(live["sport"])), "1 deleted", "delete")
                wait_for("curl sees the reset", lambda: not curl.running(), 20)
            equal(curl.process.returncode, 56, "exit of curl: connection reset by peer")
            equal([grown[name] for name in ("conn_deleted", "rst_to_client", "rst_to_server")], [1, 1, 1], "counters")
            check("deleted 1 flow (uid 0, pid " in proxy.log(), proxy.log()[-300:])
        equal(must(proxy, "flows", "--state", "established", "--count"), "0", "flows after the deletion")
        must_get_page(lab, 4)
        are_finished(3)
        check("4 deleted" == must(proxy, "flows", "--delete", "--all"), "delete all")
        equal(must(proxy, "flows"), must(proxy, "flows", "--dport", "1"), "nothing is left but the heading")
