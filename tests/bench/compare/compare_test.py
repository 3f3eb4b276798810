#!/usr/bin/env python3
"""Whether the comparison adds up, and runs.

    compare_test.py BUILD_FOLDER
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from chart import chart  # noqa: E402
from compare import BEGIN, DOCUMENT, END, write_document  # noqa: E402
from contestants import daemon_config  # noqa: E402
from results import Results, digits, table  # noqa: E402
from rows import ROWS, Row  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
NAMES = ["floor", "mosquitto", "mqtt-stackd", "built-in default"]


def some_results():
    rows = [Row("a", "pairs", "traffic", aim=0.3),
            Row("e", "fan-in & more", "traffic", aim=0.1, above_floor=True),
            Row("tls", "with TLS", "traffic", tls=True)]
    results = Results(rows, NAMES)
    for turn in range(3):
        for row in rows:
            for name, cost in zip(NAMES, (0.1, 10, 0.25, 0.2)):
                if row.tls and name == "floor":
                    continue
                # The third round is ten times slower for all of them.
                figures = {"broker_us_per_delivery": cost * (10 if turn == 2 else 1)}
                if turn == 1 and name == "mosquitto" and row.name == "e":
                    figures["lost"] = 7
                results.add(row, name, figures)
    return results


class TheResults(unittest.TestCase):
    def test_medians_and_ratios_stand_disturbed_rounds(self):
        results = some_results()
        row = results.rows[0]
        self.assertEqual(results.median(row, "mosquitto"), 10)
        self.assertAlmostEqual(results.ratio(row, "mosquitto", "mqtt-stackd"), 40)
        self.assertAlmostEqual(results.ratio(row, "mqtt-stackd", "floor"), 2.5)

    def test_an_aim_may_be_above_the_floor(self):
        results = some_results()
        self.assertEqual(results.aim(results.rows[0]), 0.3)
        self.assertAlmostEqual(results.aim(results.rows[1]), 0.2)
        self.assertIsNone(results.aim(results.rows[2]))

    def test_losses_are_remarked(self):
        self.assertEqual(some_results().remarks, ["mosquitto, row e: lost 7"])

    def test_the_table_has_a_line_for_each_row(self):
        lines = table(some_results()).splitlines()
        self.assertEqual(len(lines), 5)
        self.assertEqual(lines[2], "| a | pairs | CPU µs per delivery | 0.10 | 10.0 | 0.25 | 0.20 "
                         "| 0.30 | 40.0× | 2.50× |")
        self.assertIn("| – | 10.0 | 0.25 | 0.20 | – | 40.0× | – |", lines[4])
        self.assertEqual(len({line.count("|") for line in lines}), 1)

    def test_figures_have_three_digits(self):
        self.assertEqual([digits(value) for value in (0.123, 1.234, 12.34, 123.4, 12345.6, None)],
                         ["0.12", "1.23", "12.3", "123", "12,346", "–"])

    def test_the_chart_is_a_picture_of_all_rows(self):
        drawn = chart(some_results())
        root = xml.etree.ElementTree.fromstring(drawn)
        words = [node.text for node in root.iter() if node.tag.endswith("text")]
        for word in ("pairs", "fan-in & more", "with TLS", "40", "50", "100"):
            self.assertIn(word, words)
        bars = [node for node in root.iter() if node.tag.endswith("rect")]
        self.assertEqual(len(bars), 1 + 3 + 8)  # ground, legend, and no bar of the floor for TLS

    def test_without_mosquitto_there_is_still_a_table_and_a_chart(self):
        results = Results([Row("a", "pairs", "traffic", aim=0.3)], ["mqtt-stackd"])
        results.add(results.rows[0], "mqtt-stackd", {"broker_us_per_delivery": 1})
        self.assertIn("| 1.00 | 0.30 | – | – |", table(results))
        xml.etree.ElementTree.fromstring(chart(results))


class TheDocument(unittest.TestCase):
    def test_only_what_is_between_the_marks_is_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "document.md")
            with open(path, "w") as file:
                file.write("before\n" + BEGIN + "old\n" + END + "after\n")
            write_document(path, "new\n")
            with open(path) as file:
                self.assertEqual(file.read(), "before\n" + BEGIN + "new\n" + END + "after\n")

    def test_the_document_has_the_marks(self):
        with open(DOCUMENT) as file:
            text = file.read()
        self.assertEqual((text.count(BEGIN), text.count(END)), (1, 1))
        self.assertLess(text.index(BEGIN), text.index(END))


class TheContestants(unittest.TestCase):
    def test_a_configuration_gets_other_ports(self):
        made = daemon_config('bind = "127.0.0.1:1883"\nx = "5%"\n') % {
            "port": 1, "tls_port": 2, "folder": "/f"}
        self.assertIn('bind = "127.0.0.1:1"\nx = "5%"\n', made)
        self.assertIn('bind = "127.0.0.1:2"', made)
        with self.assertRaises(RuntimeError):
            daemon_config("no listener")


class TheComparison(unittest.TestCase):
    def test_every_row_runs(self):
        with tempfile.TemporaryDirectory() as folder:
            ended = subprocess.run(
                [sys.executable, os.path.join(HERE, "compare.py"), BUILD, "--quick", "--brokers",
                 "floor,mqtt-stackd", "--output", folder], capture_output=True, text=True)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            self.assertNotIn("remark", ended.stdout)
            with open(os.path.join(folder, "results.json")) as file:
                rows = json.load(file)["rows"]
            self.assertEqual(list(rows), [row.name for row in ROWS])
            for name, row in rows.items():
                self.assertGreater(row["median"]["mqtt-stackd"], 0, name)
            xml.etree.ElementTree.parse(os.path.join(folder, "chart.svg"))

    def test_an_unknown_row_is_named(self):
        ended = subprocess.run([sys.executable, os.path.join(HERE, "compare.py"), BUILD, "--rows",
                                "a,z"], capture_output=True, text=True)
        self.assertEqual(ended.returncode, 2)
        self.assertIn("there is no row z", ended.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
