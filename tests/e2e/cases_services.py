# SPDX-License-Identifier: BSD-3-Clause
"""Services with names: [service NAME] in the file of --config."""
import json
import os
import re
import tempfile

from cases_control import must, must_refuse
from cases_reload import Files
from cases_usage import why_wrong
from clients import must_get_page, page
from harness import CLIENTS, OTHER_PORTS, PROGRAM, SERVER4, SERVER6, Lab, Proxy, case, check, equal, own_stand, wait_for

WEB = ["[service web]", f"protect = {SERVER4}:80", f"protect = [{SERVER6}]:80"]
OTHER = ["[service other]", f"protect = {SERVER4}:{OTHER_PORTS}"]


def row_of(proxy, name):
    """What `synproxy top` shows of a service: its numbers, without units."""
    found = re.search(rf"^{name} +(.*)$", must(proxy, "top", "--once"), re.MULTILINE)
    return found.group(1).split() if found else None


@case()
@own_stand
def services_with_names_are_counted_and_shown_apart(_):
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        files = Files(directory)
        files.write({"wscale": "5"}, *WEB, *OTHER)
        # The rules that are typed protect the same, without a name.
        # With usual lives, so that flows that are over stay for a minute.
        with Proxy(lab, "--config", files.path, offer=[], lives=[]) as proxy:
            must_get_page(lab, 4)
            must_get_page(lab, 6)
            services = proxy.stat()["services"]
            equal(list(services), ["web", "other"], "services in the order of the file")
            web, other = (services[name]["counters"] for name in ("web", "other"))
            for name in ("cookie_valid", "conn_established"):
                equal([web[name], other[name]], [2, 0], name)
            for name in ("syn_received", "synack_sent"):  # a client may send its SYN again
                check(web[name] >= 2 and other[name] == 0, f"{name}: {web[name]}, {other[name]}")
            # Of two looks at the total, since the last segments of a connection may still come.
            before, web, after = (look["counters"]["translated"] for look in (
                proxy.stat()["total"], proxy.stat()["services"]["web"], proxy.stat()["total"]))
            check(before <= web <= after, f"all that was translated was of the web server: {before}, {web}, {after}")
            equal(services["web"]["gauges"]["flows_embryonic"], 0, "embryonic flows")
            wait_for("top shows the services", lambda: row_of(proxy, "other"), 20)
            equal(len(row_of(proxy, "web")), 6, "columns of a service")

            flows = json.loads(must(proxy, "flows", "--json"))
            equal({flow["service"] for flow in flows}, {"web"}, "services of the flows")
            equal([must(proxy, "flows", "--service", name, "--count") for name in ("web", "other")],
                  [str(len(flows)), "0"], "flows of a service")
            must_refuse(proxy, ["flows", "--service", "shop", "--count"], ["--service shop", "give one of web, other"])
            must_refuse(proxy, ["capture", "--service", "shop", "--write", "/dev/null"],
                        ["--service shop", "give one of web, other"])
            captured = lab.start("proxy", PROGRAM, "capture", "--service", "web", "--limit", "1", "--write", "/dev/null",
                                 "--name", lab.name)
            with captured:
                wait_for("a frame of the service is captured",
                         lambda: must_get_page(lab, 6) and not captured.running(), 20)

            equal(must(proxy, "get", "web.protect").split("\n"), [f"{SERVER4}:80", f"[{SERVER6}]:80"], "web.protect")
            must_refuse(proxy, ["get", "shop.protect"], ["there is no service 'shop'"])
            must_refuse(proxy, ["set", "web.protect", SERVER4], ["web.protect", "needs a restart"])
            config = must(proxy, "config")
            check("\n\n[service web]\nprotect = " in config and f"# file {files.path}:3" in config, config[-600:])

            check("web.server-backlog off -> 64," in must(proxy, "set", "web.server-backlog", "64"), "set")
            equal([must(proxy, "get", key) for key in ("web.server-backlog", "server-backlog")], ["64,mask4=32,mask6=64", "off"], "backlogs")
            must_refuse(proxy, ["set", "web.mode", "never"], ["web.mode never", "is not a setting of this flag"])
            must_refuse(proxy, ["set", "web.max-flows", "9"], ["web.max-flows", "not for one service alone"])
            # A limit of one service: the second connection within the minute is refused, there alone.
            must(proxy, "set", "web.limit-action", "reset")
            must(proxy, "set", "web.limit-rate", "1/minute,burst=1")
            equal(must(proxy, "get", "limit-rate"), "", "limits of all")
            must_get_page(lab, 4)
            with proxy.counting() as grown:
                check(page(lab, 4)["exit"] != 0, "a second page within the minute")
            check(grown["limit_rate"] > 0, "the limit bites")
            check(proxy.stat()["services"]["web"]["counters"]["limit_rate"] > 0, "and is counted for the service")
            for key in ("web.limit-rate", "web.limit-action"):
                must(proxy, "unset", key)
            # What is of the server alone has its connections passed and watched.
            must(proxy, "set", "web.mode", "off")
            with proxy.counting() as grown:
                must_get_page(lab, 4)
            equal([grown.get(name, 0) for name in ("conn_watched", "synack_sent")], [1, 0], "mode off for one service")
            equal(must(proxy, "get", "mode"), "always", "mode of all")
            check("web.mode off -> always" in must(proxy, "unset", "web.mode"), "unset")

            files.write({"wscale": "7"}, *WEB, *OTHER, "min-ttl = 3")
            line = files.reload(proxy)
            check("wscale 5 -> 7, other.min-ttl 0 -> 3; still set: web.server-backlog 64" in line, line)
            files.write({"wscale": "7"}, *WEB, *OTHER)
            must(proxy, "unset", "web.server-backlog")
            check("other.min-ttl 3 -> 0" in files.reload(proxy), "a setting less")
            files.write({"wscale": "7"}, *WEB)
            check("services web: needs a restart, it runs with web, other" in files.reload(proxy), "a service less")
            # What is printed is read again, and means the same.
            files.write({}, *re.sub(r"^(client-port|server-port|name|workers) .*", "", must(proxy, "get"), flags=re.M).split("\n"))
            check(files.reload(proxy).endswith("reloaded: nothing changed"), proxy.log()[-300:])
        for lines, said in (
                ([*WEB, "[service shop]", f"protect = {SERVER4}:80-81"],
                 [f":6: protect {SERVER4}:80-81", "in the service shop and", "in the service web"]),
                ([*WEB, *WEB[:1]], [":5: [service web]", "given before"]),
                (["[service web]"], [":2: [service web]", "protects nothing"]),
                (["[web]"], [":2: '[web]'", "[service NAME]"]),
                ([*WEB, "max-flows = 5"], [":5: max-flows 5", "not for one service alone"])):
            files.write({"wscale": "5"}, *lines)
            result = lab.run("proxy", PROGRAM, "--name", lab.name, "--config", files.path, "--client-port", "veth-a",
                             "--server-port", "veth-b")
            wrong = why_wrong(result, said)
            check(wrong is None, f"{lines}: {wrong}")


@case(90)
@own_stand
def a_service_has_lists_and_watches_rules_of_its_own(_):
    four, six = ["[service four]", f"protect = {SERVER4}:80"], ["[service six]", f"protect = [{SERVER6}]:80"]
    with Lab() as lab, tempfile.TemporaryDirectory() as directory:
        files = Files(directory)
        deny, allow = os.path.join(directory, "deny"), os.path.join(directory, "allow")

        def write(path, *lines):
            with open(path, "w", encoding="ascii") as out:
                out.write("".join(f"{line}\n" for line in lines))

        def refused(what):
            equal(page(lab, 4, limit=2)["code"], "000", what)

        write(deny, CLIENTS[4], CLIENTS[6])
        write(allow, CLIENTS[4])
        files.write({}, *four, f"deny-file = {deny}", *six)
        with Proxy(lab, "--config", files.path) as proxy:
            refused("a page of the service that denies the client")
            must_get_page(lab, 6)
            services = proxy.stat()["services"]
            check(services["four"]["counters"]["denied"] > 0 and services["six"]["counters"]["denied"] == 0, "denied")

            must(proxy, "set", "four.monitor", "deny,limit-conns")
            must_get_page(lab, 4)
            check(proxy.stat()["services"]["four"]["counters"]["deny_monitored"] > 0, "deny_monitored of the service")
            must(proxy, "unset", "four.monitor")
            refused("a page once the rule is meant again")
            must_refuse(proxy, ["set", "four.monitor", "reply-rate"], ["four.monitor reply-rate", "for all services together"])
            must_refuse(proxy, ["set", "four.monitor", "denny"], ["four.monitor denny", "no such rule"])
            must_refuse(proxy, ["set", "four.deny-file", deny + ".x"], ["four.deny-file", "cannot be read"])
            must_refuse(proxy, ["set", "four.deny-file", deny, "off"], ["four.deny-file off", "leave one of them out"])
            refused("a page after what was refused")
            equal(must(proxy, "get", "four.deny-file"), deny, "the list")
            equal(must(proxy, "get", "deny-file"), "", "the list of all")

            # The list goes away, and comes back with others in it.
            os.unlink(deny)
            line = files.reload(proxy)
            check(f"not reloaded: four.deny-file {deny}: cannot be read" in line, line)
            refused("a page while the list before is in force")
            write(deny, "192.0.2.1")
            line = files.reload(proxy)
            check("four.deny-file of 1 prefixes, before 2" in line, line)
            must_get_page(lab, 4)

            # Whom one service allows, it allows alone.
            files.write({"limit-rate": "1/hour,burst=1"}, *four, f"allow-file = {allow}", *six)
            line = files.reload(proxy)
            check("limit-rate none -> 1/hour" in line and f"four.allow-file none -> {allow}" in line, line)
            for _ in range(3):
                must_get_page(lab, 4)
            must_get_page(lab, 6)
            equal(page(lab, 6, limit=2)["code"], "000", "a second page of the service that allows nobody")
            check(proxy.stat()["services"]["four"]["counters"]["limit_allowed"] >= 3, "limit_allowed")
            must(proxy, "set", "six.limit-rate", "off")
            must_get_page(lab, 6)
            equal(must(proxy, "get", "six.limit-rate"), "off", "the limit of the service")
