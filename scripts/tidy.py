#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""clang-tidy over the sources of the program, many at a time.

usage: tidy.py BUILD-DIRECTORY [FOLDER...]      all of src/ without a folder

Prints PASS for each file, or FAIL for those that were looked at together, after what clang-tidy says. Most of the time of
clang-tidy goes into the headers, so files of one part of the program are written behind each other, as join_sources.py does
it, and looked at together; what is said of a line names its file. Those that cannot stand in one all the same the compiler
names.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

from join_sources import joined, parted

TOGETHER = 36
# The analyzer's budget for a function, in nodes of its graph; 225,000 without it, and then two thirds of all time go into
# what the library's templates do.
BUDGET = ("-Xclang", "-analyzer-config", "-Xclang", "max-nodes=25000")
# GCC has warnings and parameters that clang does not know.
OPTIONS = ["--quiet", "--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wno-unused-command-line-argument",
           "--extra-arg=-Wreserved-identifier", "--extra-arg=-Wreserved-macro-identifier",
           "--extra-arg=-Wzero-as-null-pointer-constant",
           *(f"--extra-arg={a}" for a in BUDGET)]


def without_precompiled(arguments):
    """GCC's precompiled header is none to clang. Without it, each file must include what it needs."""
    return [a for a, before in zip(arguments, [""] + arguments)
            if "-include" not in (a, before) and a not in ("-fpch-preprocess", "-Winvalid-pch")]


def compiled_by(entry, build):
    """The sources of a compile command: many, if join_sources.py has written the one that it names."""
    source = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
    if build not in source.parents:
        return [source]
    if not source.exists():
        sys.exit(f"no {source}: build the program first")
    return [pathlib.Path(name) for name in re.findall(r'^#line 1 "(.*)"$', source.read_text(encoding="utf-8"), re.M)]


def commands_of(build, folders):
    """Source to its compile command, as (directory, arguments). Some sources are compiled once more for a test."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if entry["output"].startswith(("tests/", "bench/")):
            continue
        arguments = without_precompiled(shlex.split(entry["command"]))
        for source in compiled_by(entry, build):
            if source.suffix == ".cc" and any(folder in source.parents for folder in folders):
                found[source] = (entry["directory"], [str(source) if a == entry["file"] else a for a in arguments])
    return found


def part_of(source):
    """Files of one part include the same headers. What is neither of the core nor of the dataplane is for control."""
    return next((part for part in ("core", "dataplane") if part in source.parts), "control")


def with_flags_of_all(commands):
    """The same for each part: its files differ in how they are optimised and hardened, and in where they look for headers."""
    flags = {}
    for source, (_, arguments) in commands.items():
        flags.setdefault(part_of(source), {}).update(
            (a, None) for a in arguments if a.startswith(("-m", "-D", "-I", "-isystem")))
    return {source: (directory, arguments + [a for a in flags[part_of(source)] if a not in arguments])
            for source, (directory, arguments) in commands.items()}


def groups_of(commands):
    """Lists of sources of one part that may stand in one."""
    alike = {}
    for source in sorted(commands):
        alike.setdefault(part_of(source), []).append(source)
    for sources in alike.values():
        count = -(-len(sources) // TOGETHER)
        while True:
            try:
                yield from parted(sources, count)
                break
            except ValueError:
                count += 1


def clang_tidy(*arguments):
    run = subprocess.run(["clang-tidy", *OPTIONS, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    return run.returncode == 0, run.stdout


def together(group, commands, work):
    """One source that includes them all, and its compile command as (directory, source, arguments)."""
    directory, arguments = commands[group[0]]
    base = tempfile.mkdtemp(dir=work)
    # Below the folders whose names the header filter of .clang-tidy takes.
    unit = pathlib.Path(base) / "src" / "together.cc"
    unit.parent.mkdir()
    unit.write_text(joined(group), encoding="utf-8")
    return directory, unit, [str(unit) if a == str(group[0]) else a for a in arguments]


def at_odds(group, directory, arguments):
    """Those of the group in which clang finds errors when they stand behind each other; None if it finds none."""
    at = arguments.index("-o")
    compiler = [a for a in arguments[:at] + arguments[at + 2:] if a not in ("ccache", "c++", "g++", "clang++", "-c")]
    run = subprocess.run(["clang++", "-fsyntax-only", "-fno-color-diagnostics", "-ferror-limit=0", "-w", *compiler],
                         cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         text=True, check=False)
    if run.returncode == 0:
        return None
    named = {line.split(":")[0] for line in run.stderr.splitlines() if ": error: " in line}
    return [source for source in group if str(source) in named]


def with_own_places(said, unit):
    """What is said of the source of many files, with the name of the file and its line."""
    places = []
    for line in unit.read_text(encoding="utf-8").splitlines():
        begin = re.fullmatch(r'#line 1 "(.*)"', line)
        file, number = (begin[1], 0) if begin else (places[-1][0], places[-1][1] + 1)
        places.append((file, number))
    return re.sub(rf"^{re.escape(str(unit))}:(\d+)", lambda m: "{}:{}".format(*places[int(m[1]) - 1]), said, flags=re.M)


def look_at(group, commands, root, work):
    """Lines of what clang-tidy says."""
    names = [str(source.relative_to(root)) for source in group]
    if len(group) == 1:
        good, said = clang_tidy("-p", work, str(group[0]))
    else:
        directory, unit, arguments = together(group, commands, work)
        base = unit.parent.parent
        (base / "compile_commands.json").write_text(
            json.dumps([{"directory": directory, "file": str(unit), "command": shlex.join(arguments)}]))
        good, said = clang_tidy(f"--config-file={root / '.clang-tidy'}", "-p", str(base), str(unit))
        said = with_own_places(said, unit)
        odd = at_odds(group, directory, arguments) if "[clang-diagnostic-error" in said else None
        if odd is not None:
            # If the errors do not tell the files apart, each half is tried.
            odd = odd if 0 < len(odd) < len(group) else group[len(group) // 2:]
            even = [source for source in group if source not in odd]
            return "".join(look_at(part, commands, root, work) for part in (even, odd))
    if good:
        return "".join(f"PASS clang-tidy: {name}\n" for name in names)
    return f"{said}\nFAIL clang-tidy: {', '.join(names)}\n"


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    folders = [pathlib.Path(f).resolve() for f in sys.argv[2:]] or [root / "src"]
    commands = with_flags_of_all(commands_of(pathlib.Path(sys.argv[1]).resolve(), folders))
    missing = [str(p) for f in folders for p in f.rglob("*.cc") if p.resolve() not in commands]
    if missing or not commands:
        sys.exit("no compile command: " + " ".join(missing))
    with tempfile.TemporaryDirectory() as work, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        pathlib.Path(work, "compile_commands.json").write_text(json.dumps(
            [{"directory": d, "file": str(source), "command": shlex.join(a)} for source, (d, a) in commands.items()]))
        said = list(pool.map(lambda group: look_at(group, commands, root, work), groups_of(commands)))
    print("".join(said), end="")
    sys.exit(any("\nFAIL clang-tidy: " in s for s in said))


if __name__ == "__main__":
    main()
