#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""clang-tidy over the sources of the program, many of a folder at a time.

usage: tidy.py BUILD-DIRECTORY [FOLDER...]      all of src/ without a folder

Prints a line for each group of files: PASS or FAIL, after what clang-tidy says. Most of the time of clang-tidy goes into the
headers, so files of one folder that are compiled with the same flags are written behind each other and looked
at together; #line keeps their names. Files that cannot stand in one (two have a name of their own in common) are parted: the
compiler names those that clash with one before them.
"""
import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

TOGETHER = 24
# The analyzer's budget for a function, in nodes of its graph; 225,000 without it, and then two thirds of all time go into
# what the library's templates do.
BUDGET = ("-Xclang", "-analyzer-config", "-Xclang", "max-nodes=25000")
# GCC has warnings that clang does not know.
OPTIONS = ["--quiet", "--extra-arg=-Wno-unknown-warning-option", *(f"--extra-arg={a}" for a in BUDGET)]


def without_precompiled(arguments):
    """GCC's precompiled header is none to clang. Without it, each file must include what it needs."""
    return [a for a, before in zip(arguments, [""] + arguments)
            if "-include" not in (a, before) and a not in ("-fpch-preprocess", "-Winvalid-pch")]


def commands_of(build, folders):
    """Source to its compile command, as (directory, arguments). Some sources are compiled once more for a test."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        if entry["output"].startswith(("tests/", "bench/")) or not any(f in source.parents for f in folders):
            continue
        found[source] = (entry["directory"], without_precompiled(shlex.split(entry["command"])), entry["file"])
    return found


def groups_of(commands):
    """Lists of sources of one folder with the same flags."""
    alike = {}
    for source, (_, arguments, _) in sorted(commands.items()):
        flags = tuple(a for a in arguments if a.startswith(("-m", "-D", "-I", "-f", "-O", "-std", "-isystem")))
        alike.setdefault((source.parent, flags), []).append(source)
    for group in alike.values():
        for at in range(0, len(group), TOGETHER):
            yield group[at:at + TOGETHER]


def clang_tidy(*arguments):
    run = subprocess.run(["clang-tidy", *OPTIONS, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    return run.returncode == 0, run.stdout


def together(group, commands, work):
    """One source that includes them all, and its compile command as (directory, source, arguments)."""
    directory, arguments, file = commands[group[0]]
    base = tempfile.mkdtemp(dir=work)
    # Below the folders whose names the header filter of .clang-tidy takes.
    unit = pathlib.Path(base) / "src" / "together.cc"
    unit.parent.mkdir()
    unit.write_text("".join(f'#line 1 "{s}"\n{s.read_text()}' for s in group))
    return directory, unit, [str(unit) if a == file else a for a in arguments] + [f"-I{group[0].parent}"]


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


def look_at(group, commands, root, work):
    """Lines of what clang-tidy says."""
    if len(group) == 1:
        name = str(group[0].relative_to(root))
        good, said = clang_tidy("-p", work, str(group[0]))
    else:
        directory, unit, arguments = together(group, commands, work)
        odd = at_odds(group, directory, arguments)
        if odd is not None:
            # If the errors do not tell the files apart, each half is tried.
            odd = odd if 0 < len(odd) < len(group) else group[len(group) // 2:]
            even = [source for source in group if source not in odd]
            return "".join(look_at(part, commands, root, work) for part in (even, odd))
        name = f"{group[0].parent.relative_to(root)}: {', '.join(s.stem for s in group)}"
        base = unit.parent.parent
        (base / "compile_commands.json").write_text(
            json.dumps([{"directory": directory, "file": str(unit), "command": shlex.join(arguments)}]))
        good, said = clang_tidy(f"--config-file={root / '.clang-tidy'}", "-p", str(base), str(unit))
    return f"PASS clang-tidy: {name}\n" if good else f"{said}\nFAIL clang-tidy: {name}\n"


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    folders = [pathlib.Path(f).resolve() for f in sys.argv[2:]] or [root / "src"]
    commands = commands_of(pathlib.Path(sys.argv[1]), folders)
    missing = [str(p) for f in folders for p in f.rglob("*.cc") if p.resolve() not in commands]
    if missing or not commands:
        sys.exit("no compile command: " + " ".join(missing))
    with tempfile.TemporaryDirectory() as work, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        pathlib.Path(work, "compile_commands.json").write_text(json.dumps(
            [{"directory": d, "file": str(source), "command": shlex.join(a)} for source, (d, a, _) in commands.items()]))
        said = list(pool.map(lambda group: look_at(group, commands, root, work), groups_of(commands)))
    print("".join(said), end="")
    sys.exit(any("\nFAIL clang-tidy: " in s for s in said))


main()
