#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tests which sources scripts/join_sources.py puts together."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "scripts" / "join_sources.py"


def source(own, rest=""):
    """A source with these lines in its unnamed namespace, and others behind it."""
    return f"namespace {{\n\n{own}\n\n}}  // namespace\n{rest}\n"


class JoinSources(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.outputs = []

    def join(self, count, *texts):
        """For each of so many outputs the numbers of the sources in it. None: they are too few."""
        sources = [self.directory / f"{i}.cc" for i in range(len(texts))]
        for path, text in zip(sources, texts):
            path.write_text(text, encoding="utf-8")
        self.outputs = [self.directory / f"joined_{i}.cc" for i in range(count)]
        run = subprocess.run([sys.executable, SCRIPT, *self.outputs, "--", *sources], capture_output=True, check=False)
        if run.returncode != 0:
            self.assertIn(b"in common", run.stderr)
            return None
        return [[i for i, path in enumerate(sources) if f'"{path.resolve()}"' in out.read_text(encoding="utf-8")]
                for out in self.outputs]

    def test_each_stands_in_one_and_they_are_shared_out(self):
        lists = self.join(2, *(source(f"int f{i}() {{ return {i}; }}") for i in range(6)))
        self.assertEqual([len(members) for members in lists], [3, 3])
        self.assertEqual(sorted(lists[0] + lists[1]), list(range(6)))

    def test_the_same_name_twice_is_parted(self):
        for own in ("constexpr int kOne = 1;", "void run(int a) {\n}", "struct Row {\n};", "template <int n>\nint f() {",
                    "[[nodiscard]] bool is_it(int a) {", "enum class Way : char { kIn };"):
            self.assertIsNone(self.join(1, source(own), source(own)), own)
            self.assertEqual(len(self.join(2, source(own), source(own))[0]), 1, own)
        self.assertIsNone(self.join(1, "#define A 1\n", "#define A 2\n"))

    def test_an_alias_that_says_the_same_is_not(self):
        self.assertEqual(self.join(1, source("using A = int;"), source("using A = int;")), [[0, 1]])
        self.assertIsNone(self.join(1, source("using A = int;"), source("using A = long;")))

    def test_who_uses_a_name_of_another_is_parted_from_it(self):
        own = source("struct Bytes {\n};\nvoid number(int a) {\n}\nconstexpr int kOne = 1;")
        for use in ("Bytes b;", "int a = number(2);", "constexpr int kOne = 2;"):
            self.assertIsNone(self.join(1, own, use), use)
        for other in ("// Bytes", 'f("number(1)");', "a.number(1);", "std::number(1);", "int number = 3;"):
            self.assertEqual(self.join(1, own, other), [[0, 1]], other)

    def test_what_would_not_change_is_left_alone(self):
        self.join(1, source("int f() {"))
        before = self.outputs[0].stat().st_mtime_ns
        self.join(1, source("int f() {  // changed"))
        self.assertEqual(self.outputs[0].stat().st_mtime_ns, before)


if __name__ == "__main__":
    unittest.main()
