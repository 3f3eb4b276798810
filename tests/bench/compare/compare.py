#!/usr/bin/env python3
"""Measures the daemon side by side with mosquitto and with the floor, which is what the kernel alone
takes. Broker and load generator have a processor each; every run starts a fresh broker; the brokers
take turns, so that what disturbs one disturbs all.

    compare.py BUILD_FOLDER [--rounds N] [--rows a,b,…] [--quick] [--output FOLDER] [--write]
"""
import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from chart import chart  # noqa: E402
from contestants import SOURCES, contestants, prepare  # noqa: E402
from results import Results, table  # noqa: E402
from rows import ROWS  # noqa: E402

DOCUMENT = os.path.join(SOURCES, "docs/performance.md")
FOLDER = os.path.join(SOURCES, "docs/performance")
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"
DISTURBED = 0.15  # of a processor, used by others


def busy_seconds():
    """What all processors have done so far."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, build, folder, quick):
        self.load = os.path.join(build, "bench/load")
        self.folder = folder
        self.quick = quick
        cpus = sorted(os.sched_getaffinity(0))
        self.cpus = (cpus[0], cpus[1]) if len(cpus) > 1 else (None, None)
        self.runs = self.disturbed = 0

    def arguments(self, row):
        if not self.quick:
            return row.arguments
        short = {"-W": "0.1", "-d": "0.3", "--hold": "0.1"}
        cut = [short.get(before, each) for before, each in zip([""] + row.arguments, row.arguments)]
        return ["-N300" if each.startswith("-N") else each for each in cut]

    def measure(self, row, contestant):
        with contestant.start(self.folder, self.cpus[0]) as broker:
            port = broker.tls_port if row.tls else broker.port
            command = [self.load, *self.arguments(row), "-p", str(port), "--pid", str(broker.pid)]
            if row.tls:
                command.append("--tls")
            if self.cpus[1] is not None:
                command = ["taskset", "-c", str(self.cpus[1])] + command
            before, own, began = busy_seconds(), processor_seconds(broker.pid), time.monotonic()
            ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
            if ended.returncode:
                raise RuntimeError("%s, row %s: %s" % (contestant.name, row.name, ended.stderr))
            others = busy_seconds() - before - (processor_seconds(broker.pid) - own)
            self.runs += 1
            self.disturbed += others / (time.monotonic() - began) > DISTURBED
        return json.loads(ended.stdout), ended.stderr.strip()


def processor_seconds(broker):
    """What the broker, and the generators that have ended, have used so far."""
    with open("/proc/%d/stat" % broker) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    children = os.times()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + \
        children.children_user + children.children_system


def about(bench, arguments, names):
    """One paragraph: where, when, with what."""
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    peer = ""
    if "mosquitto" in names:
        said = subprocess.run([shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-h"],
                              capture_output=True, text=True).stdout
        peer = ", " + said.splitlines()[0] if said else ""
    return "%s, %d processors (%s), Linux %s%s. Medians of %d rounds; %d of %d runs were disturbed " \
        "by other work on the machine." % (time.strftime("%Y-%m-%d"), os.cpu_count(),
                                  models[0] if models else platform.machine(),
                                  platform.release().split("-")[0], peer, arguments.rounds,
                                  bench.disturbed, bench.runs)


def measure_all(bench, arguments, rows, brokers):
    results = Results(rows, [broker.name for broker in brokers])
    for turn in range(arguments.rounds):
        order = brokers[turn % len(brokers):] + brokers[:turn % len(brokers)]
        seen = {}  # rows that have the same load share a run
        for row in rows:
            for broker in order:
                if not row.suits(broker):
                    continue
                load = broker.name, row.tls, tuple(row.arguments)
                if load not in seen:
                    seen[load], line = bench.measure(row, broker)
                    print("%d %-8s %-17s %s" % (turn + 1, row.name, broker.name, line), flush=True)
                results.add(row, broker.name, seen[load])
    return results


def write(folder, results, words):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "chart.svg"), "w") as file:
        file.write(chart(results))
    with open(os.path.join(folder, "results.json"), "w") as file:
        json.dump({"about": words, **results.as_json()}, file, indent=1, ensure_ascii=False)
        file.write("\n")


def write_document(path, text):
    """Puts the text between the marks of the document."""
    with open(path) as file:
        before, rest = file.read().split(BEGIN)
        _, after = rest.split(END)
    with open(path, "w") as file:
        file.write(before + BEGIN + text + END + after)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="folder of a release build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", help="only these, separated by commas: " +
                        ", ".join(row.name for row in ROWS))
    parser.add_argument("--brokers", help="only these, separated by commas")
    parser.add_argument("--quick", action="store_true", help="shorter runs, one round: does it work?")
    parser.add_argument("--output", help="folder for chart.svg and results.json")
    parser.add_argument("--write", action="store_true", help="write them into docs/performance, and "
                        "the table into docs/performance.md")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = 1
    wanted = arguments.rows.split(",") if arguments.rows else [row.name for row in ROWS]
    unknown = set(wanted) - {row.name for row in ROWS}
    if unknown:
        parser.error("there is no row " + ", ".join(sorted(unknown)))
    if arguments.write and (arguments.rows or arguments.brokers or arguments.quick):
        parser.error("what is written into the documents is the whole table")
    rows = [row for row in ROWS if row.name in wanted]
    brokers = contestants(os.path.abspath(arguments.build), shutil.which(
        "mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin"))
    if arguments.brokers:
        brokers = [each for each in brokers if each.name in arguments.brokers.split(",")]

    with tempfile.TemporaryDirectory() as folder:
        prepare(folder)
        bench = Bench(os.path.abspath(arguments.build), folder, arguments.quick)
        results = measure_all(bench, arguments, rows, brokers)
    words = about(bench, arguments, results.names)
    print("\n" + words + "\n\n" + table(results))
    for remark in results.remarks:
        print("remark: " + remark)
    if arguments.output:
        write(arguments.output, results, words)
    if arguments.write:
        write(FOLDER, results, words)
        write_document(DOCUMENT, "\n" + words + "\n\n" + table(results) + "\n")


if __name__ == "__main__":
    main()
