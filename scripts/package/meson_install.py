#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""`meson install` without a package, as docs/operation.md says.

usage: meson_install.py BUILD-DIRECTORY     in a system that is thrown away (throwaway.sh)
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "debian", "tests"))
from stand import Stand, check, must  # noqa: E402  pylint: disable=wrong-import-position
from unit import UNIT, configure, shown, systemctl  # noqa: E402  pylint: disable=wrong-import-position


def main():
    with open(os.path.join(sys.argv[1], "meson-info", "intro-buildoptions.json"), encoding="utf-8") as options:
        prefix = next(option["value"] for option in json.load(options) if option["name"] == "prefix")
    must("meson", "install", "-C", sys.argv[1], "--no-rebuild")
    must("systemd-sysusers")
    systemctl("daemon-reload")
    with Stand() as stand:
        configure()
        systemctl("start", UNIT)
        check(stand.page(), "no page")
        check(shown("FragmentPath") == f"{prefix}/lib/systemd/system/synproxy@.service", shown("FragmentPath"))
        for page in ("man8/synproxy.8", "man5/synproxy.conf.5"):
            check(os.path.exists(f"{prefix}/share/man/{page}"), f"no {page}")
        systemctl("stop", UNIT)
    print("meson install: OK", flush=True)


if __name__ == "__main__":
    main()
