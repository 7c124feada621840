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

    def groups(self, *texts):
        sources = self.write(*texts)
        return [len(group) for group in tidy.groups_of(dict.fromkeys(sources))]

    def test_files_of_one_part_stand_together(self):
        self.assertEqual(self.groups("int a;\n", "int b;\n"), [2])
        self.assertEqual(self.groups("#define A 1\n", "#define A 2\n"), [1, 1])

    def test_a_line_is_named_by_its_file(self):
        unit = self.directory / "together.cc"
        unit.write_text('#line 1 "/a.cc"\nint a;\nint b;\n#line 1 "/b.cc"\nint c;\n', encoding="utf-8")
        said = tidy.with_own_places(f"{unit}:3:5: error: x\n{unit}:5:1: note: y\n/h.h:5:1: error: z", unit)
        self.assertEqual(said, "/a.cc:2:5: error: x\n/b.cc:1:1: note: y\n/h.h:5:1: error: z")


if __name__ == "__main__":
    unittest.main()
