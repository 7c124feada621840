#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tests what turns figures into a verdict: conversion, budgets, comparison, the page and the README's table.

usage: report_test.py [DATAPATH]     DATAPATH: the bench, whose cases must be those that have a budget
"""
import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from paths import ROOT
import budgets
import page
import readme
from compare import Comparison
from convert import google_rows, own_rows, row
from document import BadFile, load, save

HERE = os.path.dirname(os.path.abspath(__file__))
CONNECTION = "datapath/connection/request_held"


def document(*rows, steps=("s",), **machine):
    return {"schema": 1, "date": "2026-01-02 03:04 UTC", "commit": "abc", "mode": "normal",
            "machine": {"cpu": "a CPU", "cores": 2, "kernel": "6.1", "dpdk": "22.11"} | machine,
            "steps": [{"name": name, "status": "done", "seconds": 1, "command": f"run {name}", "note": "", "machine": {}}
                      for name in steps], "rows": list(rows)}


def cycles(value, spread=0.0, name="s/x", **more):
    return row("s", name, value, "cycles/packet", least=value - spread, most=value + spread) | more


def rate(value, **more):
    return row("s", "s/rate", value, "packets/s", better="higher") | more


def compared(old, new):
    return Comparison(document(old), document(new))


class Compare(unittest.TestCase):
    def test_what_takes_longer_is_slower_with_its_ratio(self):
        found = compared(cycles(100), cycles(150))
        self.assertEqual([change.ratio for change in found.slower], [1.5])
        self.assertFalse(found.faster)

    def test_what_takes_less_is_faster(self):
        found = compared(cycles(100), cycles(50))
        self.assertEqual((len(found.slower), len(found.faster)), (0, 1))

    def test_a_lower_rate_is_slower(self):
        found = compared(rate(200), rate(100))
        self.assertEqual([change.ratio for change in found.slower], [2.0])
        self.assertEqual(len(compared(rate(100), rate(200)).faster), 1)

    def test_ten_percent_are_noise(self):
        found = compared(cycles(100), cycles(109.9))
        self.assertEqual((len(found.slower), found.same), (0, 1))
        self.assertEqual(len(compared(cycles(100), cycles(110.1)).slower), 1)

    def test_ranges_that_meet_are_noise(self):
        self.assertFalse(compared(cycles(100, spread=20), cycles(145, spread=26)).slower)
        self.assertTrue(compared(cycles(100, spread=20), cycles(147, spread=26)).slower)

    def test_the_largest_change_comes_first(self):
        old = document(cycles(100, name="s/a"), cycles(100, name="s/b"), cycles(100, name="s/c"))
        new = document(cycles(120, name="s/a"), cycles(300, name="s/b"), cycles(150, name="s/c"))
        self.assertEqual([change.new["name"] for change in Comparison(old, new).slower], ["s/b", "s/c", "s/a"])

    def test_a_share_near_zero_does_not_double(self):
        def loss(value):
            return row("s", "s/loss", value, "share")
        self.assertFalse(compared(loss(0), loss(0.005)).slower)
        self.assertTrue(compared(loss(0), loss(0.02)).slower)
        self.assertIn("   -   ", "\n".join(compared(loss(0), loss(0.02)).lines()))

    def test_a_figure_below_zero_can_get_slower(self):
        def added(value):
            return row("s", "s/added", value, "us")
        self.assertFalse(compared(added(-0.2), added(0.2)).slower)
        self.assertTrue(compared(added(-0.2), added(5)).slower)

    def test_others_do_not_make_this_program_slower(self):
        found = compared(cycles(100, name="wire/macswap/x"), cycles(200, name="wire/macswap/x"))
        self.assertEqual((len(found.slower), len(found.others)), (0, 1))

    def test_rows_of_one_file_are_said(self):
        found = Comparison(document(cycles(1), cycles(1, name="s/old")), document(cycles(1), cycles(1, name="s/new")))
        self.assertEqual((found.gone, found.come), (["s/old"], ["s/new"]))

    def test_a_step_that_was_not_run_is_said_once(self):
        old = document(cycles(1), row("t", "t/a", 1, "us"), row("t", "t/b", 1, "us"), steps=("s", "t"))
        self.assertEqual(Comparison(old, document(cycles(1))).gone, ["t (all of it)"])

    def test_two_machines_share_only_what_has_no_dimension(self):
        old = document(cycles(100), row("s", "s/ratio", 0.9, "ratio", better="higher"))
        new = document(cycles(300), row("s", "s/ratio", 0.5, "ratio", better="higher"), cpu="another")
        found = Comparison(old, new)
        self.assertEqual([change.new["name"] for change in found.slower], ["s/ratio"])
        self.assertIn("the machine differs: cpu: a CPU -> another", list(found.lines()))

    def test_another_kernel_is_said_and_compared(self):
        found = Comparison(document(cycles(100)), document(cycles(300), kernel="6.2"))
        self.assertEqual(len(found.slower), 1)
        self.assertIn("the machine differs: kernel: 6.1 -> 6.2", list(found.lines()))

    def test_another_unit_is_not_compared(self):
        found = compared(cycles(100), row("s", "s/x", 300, "us"))
        self.assertEqual((len(found.slower), len(found.unfit)), (0, 1))


class Status(unittest.TestCase):
    """compare.py as a command."""

    def run_on(self, old, new):
        with tempfile.TemporaryDirectory() as directory:
            names = []
            for number, content in enumerate((old, new)):
                names.append(os.path.join(directory, str(number)))
                with open(names[-1], "w", encoding="utf-8") as out:
                    out.write(content if isinstance(content, str) else json.dumps(content))
            done = subprocess.run(["/usr/bin/python3", os.path.join(HERE, "compare.py"), *names], capture_output=True,
                                  text=True, check=False)
        return done

    def test_says_whether_something_got_slower(self):
        self.assertEqual(self.run_on(document(cycles(1)), document(cycles(1))).returncode, 0)
        slower = self.run_on(document(cycles(1)), document(cycles(2)))
        self.assertEqual(slower.returncode, 1)
        self.assertRegex(slower.stdout, r"2\.00 x  s/x")

    def test_a_bad_file_is_one_line(self):
        good = document(cycles(1))
        later = good | {"schema": 2}
        without_value = copy.deepcopy(good)
        del without_value["rows"][0]["value"]
        twice = document(cycles(1), cycles(2))
        for bad in ("", "{", "[]", "{}", json.dumps({"results": []}), later, without_value, twice,
                    json.dumps(good).replace('"value": 1', '"value": NaN')):
            done = self.run_on(good, bad)
            self.assertEqual((done.returncode, done.stderr.count("\n"), done.stdout), (2, 1, ""), bad)
        self.assertEqual(subprocess.run([os.path.join(HERE, "compare.py"), "/nowhere", "/nowhere"], capture_output=True,
                                        check=False).returncode, 2)


class Convert(unittest.TestCase):
    def test_own_rows_keep_what_the_repetitions_found(self):
        rows = own_rows({"results": [{"name": CONNECTION, "value": 50, "unit": "cycles", "better": "lower", "budget": 2000,
                                      "note": "n", "least": 45, "most": 59, "median_burst": 48}]}, "datapath", "f")
        self.assertEqual(rows, [{"step": "datapath", "name": CONNECTION, "value": 50, "unit": "cycles", "better": "lower",
                                 "budget": 2000, "note": "n", "spread": 7, "reference": False}])

    def test_the_list_of_budgets_decides(self):
        rows = own_rows({"results": [{"name": CONNECTION, "value": 50, "unit": "cycles", "better": "lower"}]}, "d", "f")
        self.assertEqual(rows[0]["budget"], budgets.limit_of(CONNECTION))

    def test_rows_of_others_are_known(self):
        names = {"wire/macswap/ipv4/plain": True, "wire/io/connections": True, "flow_table/hit/1m/rte_hash": True,
                 "versus/connections/kernel": True, "wire/kept_waiting": True, "wire/syn/ratio_to_macswap": False,
                 "wire/connections/ratio_to_io": False, "flow_table/hit/1m/own": False}
        self.assertEqual({name: row("s", name, 1, "us")["reference"] for name in names}, names)

    def test_google_benchmark_gives_the_median_of_the_repetitions(self):
        def run(value, **more):
            return {"run_name": "a/b", "run_type": "iteration", "cycles/packet": value, "items_per_second": 5} | more
        runs = [run(9), run(7), run(30), run(8, run_type="aggregate"), run(0, error_occurred=True)]
        rows = google_rows({"benchmarks": runs}, "micro", "micro/siphash", "f")
        self.assertEqual([(each["name"], each["value"], each["spread"], each["unit"]) for each in rows],
                         [("micro/siphash/a/b", 9, 11.5, "cycles/packet")])

    def test_what_is_no_bench_is_refused(self):
        for bad in ([], {}, {"results": [{}]}, {"results": [{"name": "a", "value": "1", "unit": "", "better": "lower"}]}):
            self.assertRaises(BadFile, own_rows, bad, "s", "f")
        for bad in ([], {}, {"benchmarks": [{}]}):
            self.assertRaises(BadFile, google_rows, bad, "s", "p", "f")


class Budgets(unittest.TestCase):
    def reached(self, name, *values):
        budget = next(each for each in budgets.BUDGETS if name in each["rows"])
        rows = {key: {"value": value} for key, value in zip(budget["rows"], values)}
        return budgets.Reached(budget, rows)

    def test_of_a_row(self):
        self.assertEqual(budgets.limit_of(CONNECTION), 2000)
        self.assertIsNone(budgets.limit_of("datapath/syn/ipv4"))

    def test_the_worst_row_has_to_meet_it(self):
        spliced = "datapath/spliced/ipv4/10m/small/to_server/of_floor"
        self.assertEqual(self.reached(spliced, 1.3, 1.4).verdict(), "met")
        self.assertEqual(self.reached(spliced, 1.3, 1.5).verdict(), "MISSED")
        self.assertEqual(self.reached(spliced, 1.5, 1.3).text(), "1.3 to 1.5")

    def test_a_ratio_has_to_be_higher(self):
        name = "wire/syn/ratio_to_macswap"
        self.assertEqual([self.reached(name, value).verdict() for value in (0.84, 0.86)], ["MISSED", "met"])

    def test_nothing_measured_is_not_met(self):
        self.assertEqual((self.reached(CONNECTION).verdict(), self.reached(CONNECTION).text()), ("not measured", "-"))

    def test_no_row_has_two(self):
        rows = [name for budget in budgets.BUDGETS for name in budget["rows"]]
        self.assertEqual(len(rows), len(set(rows)))

    @unittest.skipIf(len(sys.argv) < 2, "without the bench")
    def test_every_row_of_the_datapath_is_a_case_of_the_bench(self):
        listed = subprocess.run([sys.argv[1], "--benchmark_list_tests"], capture_output=True, text=True,
                                check=True).stdout
        cases = {"datapath/" + line.split("/iterations:")[0] for line in listed.splitlines()}
        named = {name.removesuffix("/of_floor") for name in budgets.LIMITS
                 if name.startswith("datapath/") and "/memory/" not in name}
        self.assertEqual(named - cases, set())


class Files(unittest.TestCase):
    def test_what_is_saved_is_loaded(self):
        whole = document(cycles(1.5))
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "r.json")
            save(whole, path)
            self.assertEqual(load(path), whole)

    def test_what_is_gathered_has_the_rows_of_done_steps(self):
        with tempfile.TemporaryDirectory() as directory:
            def put(name, text):
                os.makedirs(os.path.dirname(os.path.join(directory, name)), exist_ok=True)
                with open(os.path.join(directory, name), "w", encoding="utf-8") as out:
                    out.write(text)
            put("steps", "datapath\tdone\t3\trun it\t\nmicro\tdone\t1\tb\t\nwire\tskipped\t0\tw\tone CPU\n"
                         "flow_table\tdone\t1\tf\t\n")
            put("datapath.json", json.dumps({"bench": "datapath", "machine": {"tsc_mhz": 2000, "hugepages": "5"}, "results": [
                {"name": CONNECTION, "value": 50, "unit": "cycles/packet", "better": "lower"}]}))
            put("micro/siphash_bench.json", json.dumps({"benchmarks": [
                {"run_name": "one", "run_type": "iteration", "cycles/hash": 8}]}))
            put("flow_table.json", "{")
            out = os.path.join(directory, "out.json")
            done = subprocess.run(["/usr/bin/python3", os.path.join(HERE, "gather.py"), directory, "quick", out],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1, "the JSON of flow_table is damaged")
            found = load(out)
        self.assertEqual([each["name"] for each in found["rows"]], [CONNECTION, "micro/siphash/one"])
        self.assertEqual([each["status"] for each in found["steps"]], ["done", "done", "skipped", "failed"])
        self.assertEqual((found["mode"], found["machine"]["tsc_mhz"]), ("quick", 2000))
        self.assertNotIn("hugepages", found["machine"])


class Pages(unittest.TestCase):
    def test_text_is_escaped(self):
        text = page.page(document(cycles(1, note='<b>"&', name="s/<i>"), cpu="<script>"))
        self.assertIn("&lt;b&gt;&quot;&amp;", text)
        for raw in ("<b>", "<i>", "<script>"):
            self.assertNotIn(raw, text)

    def test_needs_no_network(self):
        text = page.page(document(cycles(1)))
        for word in ("src=", "href=\"http", "@import", "url("):
            self.assertNotIn(word, text)

    @unittest.skipIf(shutil.which("gnuplot") is None, "without gnuplot")
    def test_has_budgets_commands_and_differences(self):
        text = page.page(document(cycles(50, name=CONNECTION)), document(cycles(10, name=CONNECTION)))
        for words in ("≤ 2,000 cycles/connection", "run s", "1 slower, 0 faster", "a CPU"):
            self.assertIn(words, text)


class Readme(unittest.TestCase):
    def test_the_table_stands_between_its_marks(self):
        text = readme.replaced(f"a\n{readme.BEGIN}\nold\n{readme.END}\nb\n", document(cycles(50, name=CONNECTION)), "f")
        self.assertTrue(text.startswith(f"a\n{readme.BEGIN}\na CPU, 2 cores, "))
        self.assertTrue(text.endswith(f"|\n{readme.END}\nb\n"))
        self.assertIn("| ≤ 2,000 cycles/connection | 50 | met |", text)
        self.assertNotIn("old", text)
        self.assertRaises(BadFile, readme.replaced, "no marks", document(), "f")

    def test_a_figure_has_its_ratio_beside_it(self):
        def row(name, value, unit):
            return {"name": name, "value": value, "unit": unit, "better": "lower", "note": ""}
        text = readme.section(document(
            row(CONNECTION, 50, "cycles/connection"), row(CONNECTION + "/of_floor", 2.5, "ratio"),
            row("datapath/syn/ipv4/timestamps", 70, "cycles/packet"),
            row("datapath/syn/ipv4/timestamps/of_floor", 1.75, "ratio"),
            row("flow_table/hit/10m/own", 150, "cycles/key"), row("flow_table/hit/10m/rte_hash", 300, "cycles/key")))
        self.assertIn("| ≤ 2,000 cycles/connection | 50 (2.5 of the floor) | met |", text)
        self.assertIn("| SYN of Linux → SYN-ACK, IPv4 | 70 cycles/packet | 1.75 of the floor |", text)
        self.assertIn("| flow table, 10 M flows, hit | 150 cycles/key | 0.5 of rte_hash |", text)
        self.assertIn("| rte_hash on the same work | 300 cycles/key |  |", text)

    def test_the_readme_has_every_budget(self):
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as text:
            table = text.read().partition(readme.BEGIN)[2].partition(readme.END)[0]
        for found in budgets.reached([]):
            self.assertIn(f"| {readme.escaped(found.path)} | {found.limit_text()} |", table)


class AsGoogleTest(unittest.TextTestResult):
    """Lines that scripts/count_results.py counts."""

    def startTest(self, test):
        super().startTest(test)
        print(f"[ RUN      ] {self.label(test)}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        print(f"[       OK ] {self.label(test)}", flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"[  SKIPPED ] {self.label(test)}", flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print(f"[  FAILED  ] {self.label(test)}", flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        print(f"[  FAILED  ] {self.label(test)}", flush=True)

    @staticmethod
    def label(test):
        return ".".join(test.id().split(".")[-2:])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], testRunner=unittest.TextTestRunner(resultclass=AsGoogleTest))
