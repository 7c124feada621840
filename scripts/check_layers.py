#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks that includes run one way: each folder may use only itself and those before it in its list.

Usage: check_layers.py [ROOT]. Prints each include that runs the wrong way, and exits with 1.
"""
import pathlib
import re
import sys

# The layers, lowest first. A folder of the core's public headers and the folder of its sources are one layer.
CORE = ["base", "wire", "lanes", "flow", "cookie", "policy", "proxy"]
PROGRAM = ["base", "dataplane", "control"]
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]', re.M)


def layer_of(path):
    """The layer of a file, as ('core', 'wire'), ('program', 'control') or ('program', 'main'); None: not checked."""
    parts = path.parts
    if parts[:2] == ("include", "synproxy") or parts[:2] == ("src", "core"):
        return "core", parts[2]
    if parts[0] == "src":
        return "program", parts[1] if len(parts) > 2 else "main"
    return None


def wrong(path, target):
    kind, layer = layer_of(path)
    first, _, rest = target.partition("/")
    if kind == "core":
        if first.startswith(("rte_", "cmdline")):
            return "the core knows no DPDK"
        if first == "synproxy":
            used = rest.partition("/")[0]
            if used not in CORE[: CORE.index(layer) + 1]:
                return f"{layer}/ may not use {used}/"
        elif first in PROGRAM:
            return "the core knows nothing of the program around it"
        return None
    if layer != "main" and first in PROGRAM and first not in PROGRAM[: PROGRAM.index(layer) + 1]:
        return f"{layer}/ may not use {first}/"
    if layer == "base" and first.startswith("rte_"):
        return "base/ knows no DPDK"
    return None


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    found = looked_at = 0
    for top in ("include", "src"):
        for file in sorted((root / top).rglob("*")):
            if file.suffix not in (".h", ".cc"):
                continue
            path = file.relative_to(root)
            looked_at += 1
            for target in INCLUDE.findall(file.read_text()):
                if reason := wrong(path, target):
                    print(f"{path}: includes {target}: {reason}")
                    found += 1
    if looked_at < 50:
        print(f"only {looked_at} files looked at: is this the project's root?")
        found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
