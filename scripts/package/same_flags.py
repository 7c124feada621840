#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Whether two build directories compile the program to the same code.

usage: same_flags.py DIRECTORY DIRECTORY
"""
import json
import os
import shlex
import sys

# What decides the code. Paths, warnings, debug information and places of files do not.
DECIDES = ("-O", "-D", "-U", "-f", "-m", "-std")
ELSE = ("-fdiagnostics-color", "-ffile-prefix-map", "-fdebug-prefix-map", "-fpch-")
MAKERS = ("ccache",)


def flags_of(directory):
    """Compiler and flags of each object of the program."""
    found = {}
    with open(os.path.join(directory, "compile_commands.json"), encoding="utf-8") as commands:
        for entry in json.load(commands):
            name = entry["output"]
            if not name.startswith(("src/", "synproxy.p/")):
                continue
            words = [word for word in shlex.split(entry["command"]) if word not in MAKERS]
            found[name] = (words[0], sorted({word for word in words[1:]
                                             if word.startswith(DECIDES) and not word.startswith(ELSE)}))
    return found


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    have, want = map(flags_of, sys.argv[1:])
    for name in sorted(want):
        if have.get(name) != want[name]:
            sys.exit(f"{sys.argv[1]} cannot stand in for a build: {name} is compiled with {have.get(name)}, "
                     f"and would be with {want[name]}")


if __name__ == "__main__":
    main()
