#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tests how scripts/tidy.py writes sources behind each other; clang-tidy itself is not run."""
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import tidy  # noqa: E402  pylint: disable=wrong-import-position


def source(own, rest=""):
    """A source with these lines in its unnamed namespace, and others behind it."""
    return f"namespace {{\n\n{own}\n\n}}  // namespace\n{rest}\n"


class Together(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def write(self, *texts):
        sources = [self.directory / f"{i}.cc" for i in range(len(texts))]
        for path, text in zip(sources, texts):
            path.write_text(text, encoding="utf-8")
        return sources

    def texts(self, *texts):
        return [text for _, text in tidy.texts_of(self.write(*texts))]

    def test_a_name_of_two_is_told_apart(self):
        use = "int a = take(1) + b.take(2) + std::take(3);  // take(4)\nint c = f(\"take(5)\");"
        first, second = self.texts(source("int take(int n) {", use), source("int take(long n) {"))
        self.assertIn("int take_0(int n) {", first)
        self.assertIn("int a = take_0(1) + b.take(2) + std::take(3);  // take(4)\nint c = f(\"take(5)\");", first)
        self.assertIn("int take_1(long n) {", second)

    def test_a_name_that_another_uses_is_told_apart(self):
        first, second = self.texts(source("struct Row {\n};"), "Row row;\n")
        self.assertIn("struct Row_0 {", first)
        self.assertEqual(second, "Row row;\n")

    def test_a_name_of_one_stays(self):
        own = source("int take(int n) {")
        self.assertEqual(self.texts(own, source("int give(int n) {"))[0], own)
        alias = source("namespace po = boost::program_options;")
        self.assertEqual(self.texts(alias, alias), [alias, alias])

    def groups(self, *texts):
        sources = self.write(*texts)
        return [len(group) for group in tidy.groups_of(dict.fromkeys(sources))]

    def test_macros_kernels_and_programs_are_parted(self):
        self.assertEqual(self.groups(source("int f() {"), source("int f() {")), [2])
        self.assertEqual(self.groups("#define A 1\n", "#define A 2\n"), [1, 1])
        self.assertEqual(self.groups("int main() {\n", "int main() {\n"), [1, 1])
        one, other = '#include "../lanes/one.h"\n', '#include "../lanes/other.h"\n'
        self.assertEqual(self.groups(one, other), [1, 1])
        self.assertEqual(self.groups(one, one), [2])

    def test_a_line_is_named_by_its_file(self):
        unit = self.directory / "together.cc"
        unit.write_text('#line 1 "/a.cc"\nint a;\nint b;\n#line 1 "/b.cc"\nint c;\n', encoding="utf-8")
        said = tidy.with_own_places(f"{unit}:3:5: error: x\n{unit}:5:1: note: y\n/h.h:5:1: error: z", unit)
        self.assertEqual(said, "/a.cc:2:5: error: x\n/b.cc:1:1: note: y\n/h.h:5:1: error: z")


if __name__ == "__main__":
    unittest.main()
