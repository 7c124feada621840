#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks that what stands in quotes is the same in joined sources (join_sources.py) as in each source by itself.

join_sources.py gives names numbers by their spelling alone. Literals are read here character by character, unlike there, so
that one mistake does not hide the other.
"""
import pathlib
import re
import sys

from join_sources import joined, parted

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Each as many in one as can be, which is more than any build joins.
TREES = ("src/core", "src/dataplane", "src/control", "tests/unit", "tests/scenario", "tests/dataplane", "bench")
BEGIN = re.compile(r'^#line 1 "(.*)"\n', re.M)
# Paths of headers become whole ones.
INCLUDE = re.compile(r'^#include ".*\n', re.M)
NEXT = re.compile(r'//|/\*|"|\'')


def end_of_raw(text, at):
    """Where the raw string ends whose first quotation mark is there."""
    mark = f'){text[at + 1:text.index("(", at)]}"'
    return text.index(mark, at) + len(mark)


def end_of_quoted(text, at):
    end = at + 1
    while text[end] != text[at]:
        end += 2 if text[end] == "\\" else 1
    return end + 1


def literals(text):
    """Each string and character of the text, as it is written."""
    found, at = [], 0
    while following := NEXT.search(text, at):
        at = following.start()
        before = text[at - 1:at]
        if following[0] == "//":
            at = text.index("\n", at)
        elif following[0] == "/*":
            at = text.index("*/", at) + 2
        elif following[0] == "'" and before.isalnum():  # parts the digits of a number
            at += 1
        else:
            end = end_of_raw(text, at) if following[0] == '"' and before == "R" else end_of_quoted(text, at)
            found.append(text[at:end])
            at = end
    return found


def in_few(sources):
    """Lists of sources that may stand in one."""
    for count in range(1, len(sources) + 1):
        try:
            return parted(sources, count)
        except ValueError:
            pass
    raise AssertionError("each may stand by itself")


def differences(sources):
    """Lines about what has changed, and how many literals were compared."""
    lines, compared = [], 0
    for group in in_few(sources):
        _, *parts = BEGIN.split(joined(group))
        for path, text in zip(parts[::2], parts[1::2]):
            own = literals(INCLUDE.sub("", pathlib.Path(path).read_text(encoding="utf-8")))
            there = literals(INCLUDE.sub("", text))
            compared += len(own)
            lines += [f"{path}: {a} has become {b}" for a, b in zip(own, there) if a != b]
            if len(own) != len(there):
                lines.append(f"{path}: {len(own)} literals, and {len(there)} where it is joined")
    return lines, compared


def main():
    found, compared = [], 0
    for tree in TREES:
        lines, count = differences(sorted((ROOT / tree).rglob("*.cc")))
        found += lines
        compared += count
    print("".join(f"error: {line}\n" for line in found), end="")
    if compared == 0:
        sys.exit("error: no literal was seen")
    print(f"{compared} literals")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
