#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes sources that include others, many each: a compiler takes most of its time for the headers.

usage: join_sources.py OUTPUT... -- SOURCE...

A source that has a name of its own (in an unnamed namespace, or a macro) and one that has or uses the same name go into
different outputs. So none has to care for the others. An output that would not change is left alone, so that nothing is
compiled for nothing.
"""
import pathlib
import re
import sys

UNNAMED = re.compile(r"^namespace \{\n(.*?)^\}  // namespace$", re.S | re.M)
MACRO = re.compile(r"^# *define +(\w+).*$", re.M)
TYPE = re.compile(r"(?:template .*> )?(?:struct|class|union|enum(?: class)?) +(?:\w+\(.*\) )?(\w+)")
MATCHER = re.compile(r"MATCHER\w*\((\w+)")
NAME = re.compile(r"(\w+)\s*[(={;\[]")
COMMENT_OR_TEXT = re.compile(r'//.*|"(?:[^"\\\n]|\\.)*"')
# A type, a constant, or a function that is called.
WORD = re.compile(r"(?<![\w.>:])(?:[A-Z]\w*|k[A-Z]\w*|[a-z]\w*(?=\())")
# Followed by a parenthesis like a function's name.
NO_NAMES = {"__attribute__", "alignas", "decltype", "noexcept", "operator", "requires", "sizeof", "static_assert", "target"}
NAMELESS = re.compile(r"[ }#/)]|using namespace|(TYPED_)?TEST|INSTANTIATE_")
# May be said twice, if it is the same.
REPEATABLE = ("using ", "namespace ", "#")


def names_of(text):
    """Name to the line that defines it. Relies on the format: what stands at the left margin is a definition."""
    found = {m[1]: m[0] for m in MACRO.finditer(text)}
    for part in UNNAMED.finditer(text):
        for line in part[1].splitlines():
            if not line or NAMELESS.match(line):
                continue
            match = TYPE.match(line) or MATCHER.match(line)
            names = [match[1]] if match else [n for n in NAME.findall(line) if n not in NO_NAMES][:1]
            found.update((name, line) for name in names)
    return found


class Source:
    def __init__(self, path):
        text = pathlib.Path(path).read_text(encoding="utf-8")
        self.names = names_of(text)
        self.words = set(self.names) | set(WORD.findall(COMMENT_OR_TEXT.sub("", text)))

    def disturbs(self, other):
        """Names of this one that would be found in the other one, where they mean something else or hide it."""
        return [name for name, line in self.names.items()
                if name in other.words and not (other.names.get(name) == line and line.startswith(REPEATABLE))]


def parted(sources, count, read=Source):
    """So many lists of sources, of about the same length; ValueError if they are too few. A change of a source that brings
    no new name changes none."""
    read = {source: read(source) for source in sources}
    clashes = {source: {other for other in sources if other != source and
                        (read[source].disturbs(read[other]) or read[other].disturbs(read[source]))} for source in sources}
    groups = [set() for _ in range(count)]
    # Those with the least choice choose first.
    for source in sorted(sources, key=lambda source: -len(clashes[source])):
        free = [group for group in groups if not group & clashes[source]]
        if not free:
            raise ValueError(f"{source} has names in common with a source in each of the {count} outputs: "
                             "rename one, or ask for one more output")
        min(free, key=len).add(source)
    return [[source for source in sources if source in group] for group in groups]


def main():
    if "--" not in sys.argv:
        sys.exit(__doc__)
    at = sys.argv.index("--")
    outputs, sources = sys.argv[1:at], sys.argv[at + 1:]
    try:
        lists = parted(sources, len(outputs))
    except ValueError as why:
        sys.exit(f"join_sources.py: {why}")
    for output, members in zip(map(pathlib.Path, outputs), lists):
        text = "".join(f'#include "{pathlib.Path(source).resolve()}"\n' for source in members)
        if not output.exists() or output.read_text(encoding="utf-8") != text:
            output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
