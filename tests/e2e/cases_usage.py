# SPDX-License-Identifier: BSD-3-Clause
"""Wrong input: one clear line on standard error and exit code 2."""
import os
import shutil
import tempfile

from harness import PROGRAM, Lab, case, check, own_stand

NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
# Without access to files, but allowed to open interfaces.
NETWORK_ONLY = [*NOBODY, "--inh-caps", "+net_raw,+net_admin", "--ambient-caps", "+net_raw,+net_admin"]
GOOD = {"client-port": "veth-a", "server-port": "veth-b", "protect": "10.0.0.2:80"}


def command(changed, *more):
    """The good command line with some flags changed; None takes a flag away."""
    words = [PROGRAM, "--name", f"usage-{os.getpid()}"]
    for flag, value in {**GOOD, **changed}.items():
        if value is not None:
            words += [f"--{flag}", value]
    return words + list(more)


def rows(files):
    """sentence, command, words that the line must hold"""
    one = {}
    yield "unknown flag", command(one, "--bogus", "1"), ["--bogus"]
    yield "unknown command", [PROGRAM, "status"], ["status"]
    yield "stray word", command(one, "stray"), ["stray"]
    yield "flag without its value", command(one, "--wscale"), ["--wscale"]
    yield "address out of range", command({"protect": "300.1.1.1:80"}), ["--protect", "300.1.1.1:80"]
    yield "name instead of an address", command({"protect": "www.example.org:80"}), ["--protect", "www.example.org"]
    yield "IPv6 address half written", command({"protect": "[fd00::1:80"}), ["--protect", "[fd00::1:80"]
    yield "prefix too long", command({"protect": "10.0.0.0/33:80"}), ["--protect", "/33"]
    yield "port range backwards", command({"protect": "10.0.0.2:90-80"}), ["--protect", "90-80"]
    yield "port range too high", command({"protect": "10.0.0.2:80-70000"}), ["--protect", "70000"]
    yield "port 0", command({"protect": "10.0.0.2:0"}), ["--protect", "10.0.0.2:0"]
    yield "port that is no number", command({"protect": "10.0.0.2:http"}), ["--protect", "http"]
    yield "nothing protected", command({"protect": None}), ["--protect"]
    yield "no client port", command({"client-port": None}), ["--client-port"]
    yield "no server port", command({"server-port": None}), ["--server-port"]
    yield "same port twice", command({"server-port": "veth-a"}), ["--server-port", "veth-a"]
    yield "no such interface", command({"client-port": "eth77"}), ["--client-port", "eth77"]
    yield "no such interface for AF_XDP", command({"server-port": "xdp:eth77"}), ["--server-port", "eth77"]
    yield "PCI address not bound", command({"client-port": "0000:ff:1f.7"}), ["--client-port", "0000:ff:1f.7"]
    yield "unknown DPDK driver", command({"server-port": "net_bogus0,x=1"}), ["--server-port", "net_bogus0"]
    yield "interface name too long", command({"client-port": "interface-name-too-long"}), ["--client-port"]
    yield "wscale 15", command(one, "--wscale", "15"), ["--wscale", "15"]
    yield "wscale negative", command(one, "--wscale", "-1"), ["--wscale", "-1"]
    yield "mss 0", command(one, "--mss", "0"), ["--mss", "0"]
    yield "mss 70000", command(one, "--mss", "70000"), ["--mss", "70000"]
    yield "mss that is no number", command(one, "--mss", "big"), ["--mss", "big"]
    yield "timestamp perhaps", command(one, "--timestamp", "perhaps"), ["--timestamp", "perhaps"]
    yield "server-timeout 0", command(one, "--server-timeout", "0"), ["--server-timeout", "0"]
    yield "max-flows 0", command(one, "--max-flows", "0"), ["--max-flows", "0"]
    yield "epoch 0", command(one, "--epoch", "0"), ["--epoch", "0"]
    yield "stats-interval that is no number", command(one, "--stats-interval", "1s"), ["--stats-interval", "1s"]
    yield "unknown log level", command(one, "--log-level", "loud"), ["--log-level", "loud"]
    yield "name with a slash", [PROGRAM, "--name", "../x", *command(one)[3:]], ["--name", "../x"]
    yield "secret file absent", command(one, "--secret-file", files["absent"]), ["--secret-file", files["absent"]]
    yield "secret file is a directory", command(one, "--secret-file", files["dir"]), ["--secret-file", files["dir"]]
    yield "secret file for all to read", command(one, "--secret-file", files["open"]), ["--secret-file", files["open"]]
    yield "secret file empty", command(one, "--secret-file", files["empty"]), ["--secret-file", files["empty"]]
    yield "more workers than CPUs", command(one, "--workers", f"0-{files['cpus']}"), ["--workers", str(files["cpus"])]
    yield "same CPU twice", command(one, "--workers", "0,0"), ["--workers"]
    yield "workers that are no list", command(one, "--workers", "all"), ["--workers", "all"]
    yield "config file absent", command(one, "--config", files["absent"]), ["--config", files["absent"]]
    yield "unknown key in the config file", command(one, "--config", files["config"]), ["bogus"]
    yield "deny file absent", command(one, "--deny-file", files["absent"]), ["--deny-file", files["absent"]]
    yield "allow file is a directory", command(one, "--allow-file", files["dir"]), ["--allow-file", files["dir"]]
    yield "line of a list is no prefix", command(one, "--deny-file", files["config"]), [f"{files['config']}:1: bogus = 1"]
    yield "line of a list with host bits", command(one, "--deny-file", files["list"]), [f"{files['list']}:2: 10.0.0.1/8"]
    yield "deny file without its value", command(one, "--deny-file"), ["--deny-file"]
    yield "bogons perhaps", command(one, "--bogons", "perhaps"), ["--bogons", "perhaps"]
    yield "min-ttl 256", command(one, "--min-ttl", "256"), ["--min-ttl", "256"]
    yield "strict-window auto", command(one, "--strict-window", "auto"), ["--strict-window", "auto"]
    yield "unknown perhaps", command(one, "--unknown", "perhaps"), ["--unknown", "perhaps"]
    yield "monitor no rule", command(one, "--monitor", "deny,what"), ["--monitor", "what"]
    program = files["program"]
    yield "no permission", [*NOBODY, program, *command(one)[1:]], ["permi"]
    yield "secret file of somebody else", [*NETWORK_ONLY, program, *command(one, "--secret-file", files["secret"])[1:]], [
        "--secret-file", files["secret"]]


def write(path, data, mode):
    with open(path, "wb") as out:
        out.write(data)
    os.chmod(path, mode)
    return path


def make_files(directory):
    os.chmod(directory, 0o755)
    program = os.path.join(directory, "synproxy")
    # The user `nobody` may have no access to the place of the tree.
    shutil.copy(PROGRAM, program)
    os.chmod(program, 0o755)
    return {
        "absent": os.path.join(directory, "absent"),
        "dir": directory,
        "open": write(os.path.join(directory, "open"), b"x" * 32, 0o644),
        "empty": write(os.path.join(directory, "empty"), b"", 0o600),
        "secret": write(os.path.join(directory, "secret"), b"x" * 32, 0o600),
        "config": write(os.path.join(directory, "config"), b"bogus = 1\n", 0o644),
        "list": write(os.path.join(directory, "list"), b"# two\n10.0.0.1/8\n", 0o644),
        "program": program,
        # One more than the last CPU that may exist.
        "cpus": os.cpu_count(),
    }


def why_wrong(result, words):
    lines = result.err.splitlines()
    if result.code != 2:
        return f"exit code {result.code}, not 2: {result.err.strip()[-200:]}"
    if len(lines) != 1 or not lines[0].strip():
        return f"{len(lines)} lines on standard error, not one: {lines}"
    if result.out:
        return f"wrote on standard output: {result.out[:100]}"
    missing = [word for word in words if word not in lines[0]]
    return f"the line does not name {missing}: {lines[0]}" if missing else None


@case(150)
def wrong_input_is_answered_with_one_line_and_exit_code_2(stand):
    wrong, count = [], 0
    with tempfile.TemporaryDirectory() as directory:
        for sentence, words, expected in rows(make_files(directory)):
            count += 1
            why = why_wrong(stand.lab.run("proxy", *words), expected)
            if why:
                wrong.append(f"{sentence}: {why}")
    check(not wrong, f"{len(wrong)} of {count} rows:\n     " + "\n     ".join(wrong))
    return f"{count} rows"


@case()
@own_stand
def af_xdp_is_refused_where_frames_do_not_fit(_):
    # The driver takes no frame larger than a page on a veth: better no start than lost packets.
    with Lab("--mtu", "9000", "--no-nginx") as lab:
        result = lab.run("proxy", *command({"client-port": "xdp:veth-a"}))
    why = why_wrong(result, ["--client-port", "xdp:veth-a"])
    check(why is None, why)
