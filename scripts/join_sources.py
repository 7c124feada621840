#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes sources behind each other, many into each output: a compiler takes most of its time for the headers.

usage: join_sources.py OUTPUT... -- SOURCE...

What a source has in an unnamed namespace gets a number behind its name, if another one in the same output has or uses the
same name. Where that cannot be (macros, a test's fixture, main) they go into different outputs. #line keeps the files' names.
An output that would not change is left alone, so that nothing is compiled for nothing.
"""
import pathlib
import re
import sys

UNNAMED = re.compile(r"^namespace \{\n(.*?)^\}  // namespace$", re.S | re.M)
MACRO = re.compile(r"^# *define +(\w+).*$", re.M)
TYPE = re.compile(r"(?:template .*> )?(?:struct|class|union|enum(?: class)?) +(?:\w+\(.*\) )?(\w+)")
MATCHER = re.compile(r"MATCHER\w*\((\w+)")
NAME = re.compile(r"([\w:]*\w)\s*[(={;\[]")
TEMPLATE_ARGUMENTS = re.compile(r"<[^<>]*>")
# In a name of a test, or of a program.
FIXTURE = re.compile(r"^(?:TYPED_)?TEST(?:_F|_P|_SUITE)?\((\w+)", re.M)
ALONE = re.compile(r"^int (main)\(", re.M)
# Kernels are one text for each instruction set.
LANES = re.compile(r'^#include ".*lanes/.*"$', re.M)
OWN_HEADER = re.compile(r'^#include "(.*)"$', re.M)
# Raw strings first: their text may hold quotes. What stands behind a letter or digit parts the digits of a number.
COMMENT_OR_TEXT = re.compile(r'R"(?P<end>[^()\\\s]*)\([\s\S]*?\)(?P=end)"|/\*[\s\S]*?\*/|//.*|"(?:[^"\\\n]|\\.)*"'
                             r"|(?<!\w)'(?:[^'\\\n]|\\.)+'")
# A type, a constant, or a function that is called.
WORD = re.compile(r"(?<![\w.>:])(?:[A-Z]\w*|k[A-Z]\w*|[a-z]\w*(?=\())")
# Followed by a parenthesis like a function's name.
NO_NAMES = {"__attribute__", "alignas", "decltype", "noexcept", "operator", "requires", "sizeof", "static_assert", "target"}
NAMELESS = re.compile(r"[ }#/)]|using namespace|static_assert|(TYPED_)?TEST|INSTANTIATE_")
# May be said twice, if it is the same.
REPEATABLE = ("using ", "namespace ", "#")


def without_arguments(line):
    """A line without what stands between < and >."""
    while (shorter := TEMPLATE_ARGUMENTS.sub("", line)) != line:
        line = shorter
    return line


def names_of(text):
    """Name to the line that defines it. Relies on the format: what stands at the left margin is a definition."""
    found = {m[1]: m[0] for m in MACRO.finditer(text)}
    for part in UNNAMED.finditer(text):
        for line in part[1].splitlines():
            if not line or NAMELESS.match(line):
                continue
            match = TYPE.match(line) or MATCHER.match(line)
            names = [match[1]] if match else [n for n in NAME.findall(without_arguments(line)) if n not in NO_NAMES][:1]
            # Of a class that has a name itself.
            names = [name for name in names if "::" not in name or line.startswith("using ")]
            found.update((name.rpartition("::")[2], line) for name in names)
    return found


class Source:
    def __init__(self, path):
        self.path = pathlib.Path(path).resolve()
        self.text = self.path.read_text(encoding="utf-8")
        self.names = names_of(self.text)
        self.words = set(self.names) | set(WORD.findall(COMMENT_OR_TEXT.sub("", self.text)))
        if lanes := LANES.search(self.text):
            self.names["#lanes"] = lanes[0]
            self.words.add("#lanes")
        if ALONE.search(self.text):
            self.names["main"] = "int main"
            self.words.add("main")
        # They cannot get another name.
        self.fixed = {name for name, line in self.names.items() if line.startswith("#")} | {"main"}
        self.fixed |= set(FIXTURE.findall(self.text))

    def disturbs(self, other):
        """Names of this one that would be found in the other one, where they mean something else or hide it."""
        return {name for name, line in self.names.items()
                if name in other.words and not (line.startswith("using ") and "=" not in line)
                and not (other.names.get(name) == line and line.startswith(REPEATABLE))}

    def cannot_stand_with(self, other):
        return bool(self.disturbs(other) & self.fixed or other.disturbs(self) & other.fixed)

    def beside(self, others, number):
        """Its text, in which no name is taken for one of the others."""
        own = sorted(set().union(*(self.disturbs(other) for other in others)))
        # Headers beside it are found from anywhere.
        text = OWN_HEADER.sub(lambda m: f'#include "{self.path.parent / m[1]}"'
                              if (self.path.parent / m[1]).exists() else m[0], self.text)
        if not own:
            return text
        word = re.compile(rf"(?:^#.*|{COMMENT_OR_TEXT.pattern})|(?<![\w.>:])(?P<own>{'|'.join(own)})\b", re.M)
        return word.sub(lambda m: f"{m['own']}_{number}" if m["own"] else m[0], text)


def parted(sources, count):
    """So many lists of sources, of about the same length; ValueError if they are too few."""
    read = {source: Source(source) for source in sources}
    apart = {source: {other for other in sources if other != source and
                      read[source].cannot_stand_with(read[other])} for source in sources}
    groups = [set() for _ in range(count)]
    # Those with the least choice choose first.
    for source in sorted(sources, key=lambda source: -len(apart[source])):
        free = [group for group in groups if not group & apart[source]]
        if not free:
            raise ValueError(f"{source} has names in common with a source in each of the {count} outputs: "
                             "rename one, or ask for one more output")
        min(free, key=len).add(source)
    return [[source for source in sources if source in group] for group in groups]


def joined(group):
    """The text of these sources."""
    read = [Source(source) for source in group]
    return "".join(f'#line 1 "{source.path}"\n{source.beside([other for other in read if other is not source], number)}'
                   for number, source in enumerate(read))


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
        text = joined(members)
        if not output.exists() or output.read_text(encoding="utf-8") != text:
            output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
