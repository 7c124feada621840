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

    def text(self, *texts):
        """What comes out where all of them stand in one."""
        self.assertIsNotNone(self.join(1, *texts))
        return self.outputs[0].read_text(encoding="utf-8")

    def test_what_stands_in_quotes_or_comments_stays(self):
        quoted = ('auto a = R"js(\nrun "quoted run\nrun()\n)js";', 'auto b = R"x(run "(y)" run)x";', 'auto c = "run \\" run";',
                  "auto d = '\"'; auto e = \"run\"; int f = 10'000;", "/* run\n   run */", "// run 'run")
        rest = "\n".join((*quoted, "int g = run(1);"))
        text = self.text(source("int run(int a) {\n}", rest), source("int run(int b) {\n}"))
        for each in quoted:
            self.assertIn(each, text)
        self.assertIn("int g = run_0(1);", text)

    def test_a_name_of_two_is_told_apart(self):
        for own, first, second in (
                ("constexpr int kOne = 1;", "int kOne_0 = 1;", "int kOne_1 = 1;"),
                ("void run(int a) {\n}", "void run_0(int a) {", "void run_1(int a) {"),
                ("struct Row {\n};", "struct Row_0 {", "struct Row_1 {"),
                ("template <int n>\nint f() {", "int f_0() {", "int f_1() {"),
                ("[[nodiscard]] bool is_it(int a) {", "bool is_it_0(int a) {", "bool is_it_1(int a) {"),
                ("std::function<void(int)> said(int a) {", "<void(int)> said_0(", "<void(int)> said_1("),
                ("enum class Way : char { kIn };", "enum class Way_0 :", "enum class Way_1 :")):
            text = self.text(source(own), source(own))
            self.assertIn(first, text)
            self.assertIn(second, text)

    def test_only_the_uses_of_the_name_change(self):
        use = 'int a = take(1) + b.take(2) + std::take(3);  // take(4)\nint c = f("take(5)");'
        text = self.text(source("int take(int n) {", use), source("int take(long n) {"))
        self.assertIn(use.replace("= take(1)", "= take_0(1)"), text)

    def test_a_name_that_another_uses_is_told_apart(self):
        own = source("struct Bytes {\n};\nvoid number(int a) {\n}\nconstexpr int kOne = 1;")
        for use, name in (("Bytes b;", "Bytes_0"), ("int a = number(2);", "number_0"), ("int a = F(kOne);", "kOne_0")):
            text = self.text(own, use)
            self.assertIn(name, text, use)
            self.assertIn(use, text)
        for other in ("// Bytes", 'f("number(1)");', "a.number(1);", "std::number(1);", "int number = 3;"):
            self.assertIn(own, self.text(own, other), other)

    def test_what_says_the_same_stays(self):
        for own in ("using A = int;", "using test::A;", "namespace po = boost::program_options;"):
            self.assertEqual(self.text(source(own), source(own)).count(own), 2)
        text = self.text(source("using A = int;"), source("using A = long;"))
        self.assertIn("using A_0 = int;", text)
        self.assertIn("using A_1 = long;", text)

    def test_a_name_of_a_class_is_none_of_the_file(self):
        own = source("const int Row::kOne = 1;")
        self.assertIn(own, self.text(own, "int a = F(kOne);"))

    def test_what_cannot_be_renamed_is_parted(self):
        fixture = source("class Case : public Test {\n};", "TEST_F(Case, Holds) {\n}")
        lanes = [f'#include "../lanes/{name}.h"\n' for name in ("one", "other")]
        for one, other in (("#define A 1\n", "#define A 2\n"), (fixture, source("struct Case {\n};")),
                           ("int main() {\n", "int main() {\n"), lanes):
            self.assertIsNone(self.join(1, one, other), one)
            self.assertEqual(self.join(2, one, other), [[0], [1]], one)
        self.assertEqual(self.join(1, lanes[0], lanes[0]), [[0, 1]])

    def test_lines_keep_their_file_and_headers_beside_it_are_found(self):
        (self.directory / "beside.h").write_text("", encoding="utf-8")
        text = self.text('#include "beside.h"\n#include "control/far.h"\n')
        place = self.directory.resolve()
        self.assertEqual(text, f'#line 1 "{place}/0.cc"\n#include "{place}/beside.h"\n#include "control/far.h"\n')

    def test_what_would_not_change_is_left_alone(self):
        self.join(1, source("int f() {"))
        before = self.outputs[0].stat().st_mtime_ns
        self.join(1, source("int f() {"))
        self.assertEqual(self.outputs[0].stat().st_mtime_ns, before)


if __name__ == "__main__":
    unittest.main()
