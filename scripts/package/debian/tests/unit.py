# SPDX-License-Identifier: BSD-3-Clause
"""One instance of the unit, as an operator handles it."""
import contextlib
import os

from stand import PORTS, SERVER, must, run

NAME = "pkgtest"
UNIT = f"synproxy@{NAME}"
CONF = f"/etc/synproxy/{NAME}.conf"
LINES = {"client-port": PORTS[0], "server-port": PORTS[1], "max-flows": "4096", "wscale": "7"}


def configure(**lines):
    os.makedirs(os.path.dirname(CONF), exist_ok=True)
    with open(CONF, "w", encoding="ascii") as conf:
        for key, value in {**LINES, **lines}.items():
            conf.write(f"{key} = {value}\n")
        if "protect" not in lines:
            conf.write(f"protect = {SERVER}:80\nprotect = {SERVER}:7000\n")


def drop_in(name, text):
    """Writes it, or removes it if there is no text."""
    path = f"/etc/systemd/system/{UNIT}.service.d/{name}.conf"
    if text is None:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as out:
            out.write(text)
    systemctl("daemon-reload")


def systemctl(*words):
    return must("systemctl", *words)


def shown(name, unit=UNIT):
    return must("systemctl", "show", "--value", "-p", name, unit).strip()


def journal(*words):
    must("journalctl", "--sync")
    return must("journalctl", "-q", "--no-pager", "-o", "cat", "-u", UNIT, *words)


def live():
    return run("synproxy", "check", "--live", "--name", NAME)


def serving():
    return live().returncode == 0
