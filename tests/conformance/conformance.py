#!/usr/bin/python3
"""Which statement of the standard is fulfilled where, and which test shows it.

    conformance.py --write     writes docs/conformance.md
    conformance.py --check     fails if that document is out of date, if a statement lacks a test,
                               and if a tag names a statement that there isn't

The statements are in the .tsv files beside this one. Tags like [v5:3.1.2-24] in the comments of the
sources say where one is fulfilled; in the names of tests, which test shows it. [v5:3.1.2] names a
section and counts for nothing.
"""

import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
DOCUMENT = ROOT / "docs" / "conformance.md"

TAG = re.compile(r"\[(v5|v311|original):([^\]\s]+)\]")
SECTION = re.compile(r"\d+(\.\d+)*$")
LITERALS = re.compile(r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*')
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')

TITLES = {
    "v5": "MQTT 5.0",
    "v311": "MQTT 3.1.1",
    "original": "mqtt-stack and mqtt-spec",
}
CHAPTERS = {
    "1": "Data", "2": "Packets", "3.1": "CONNECT", "3.2": "CONNACK", "3.3": "PUBLISH",
    "3.4": "PUBACK", "3.5": "PUBREC", "3.6": "PUBREL", "3.7": "PUBCOMP", "3.8": "SUBSCRIBE",
    "3.9": "SUBACK", "3.10": "UNSUBSCRIBE", "3.11": "UNSUBACK", "3.12": "PINGREQ",
    "3.14": "DISCONNECT", "3.15": "AUTH", "4": "Operation", "6": "WebSocket", "7": "Conformance",
}

HEAD = """\
# Conformance

What the two OASIS standards of MQTT demand in numbered statements, where the broker does it, and which
test shows it; then the same for what the unit tests of mqtt-stack and the checks of mqtt-spec expect.
This page is generated (`packaging/dev conformance`) from the tags in sources and tests and from the
lists in `tests/conformance`, and the tests fail when it is out of date, or when something that binds a
server has no test.

The statements are told in few words here; the standards' own count. What is behind an arrow is what
the server does when its peer breaks the rule: such a rule binds the client, and the answer is tested.
What binds nobody but the client needs no test. With MQTT 3 there is no way to say why: the server
closes. A test without a version in its name stands for all that it names.
"""


class Statement:
    def __init__(self, number, binds, says, breach="", where="", exempt=""):
        self.number, self.binds, self.says = number, binds, says
        self.breach, self.exempt = breach, exempt
        self.sources, self.tests = where.split(), []

    def needs_test(self):
        return not self.exempt and (self.binds != "client" or self.breach != "")


def read_statements():
    tables = {}
    for name in TITLES:
        path = HERE / f"statements-{name}.tsv"
        statements = collections.OrderedDict()
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                statement = Statement(*line.split("\t"))
                if statement.number in statements:
                    raise SystemExit(f"{path.name} has {statement.number} twice")
                if statement.binds not in ("server", "client", "both"):
                    raise SystemExit(f"{path.name}: {statement.number} binds whom?")
                for source in statement.sources:
                    if not (ROOT / source).is_file():
                        raise SystemExit(f"{path.name}: {statement.number} names {source}, which "
                                         "there isn't")
                statements[statement.number] = statement
        tables[name] = statements
    return tables


def files(*folders):
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.[ch]pp")):
            yield path, str(path.relative_to(ROOT)), path.read_text()


def add_once(where, what):
    if what not in where:
        where.append(what)


def collect(tables):
    """Finds the tags; returns what is wrong with them."""
    wrong = []

    def named(path, tag):
        family, number = tag
        if number in tables[family]:
            return tables[family][number]
        if family == "original" or not SECTION.match(number):
            wrong.append(f"{path} names [{family}:{number}], and there is no such statement")
        return None

    for _, path, text in files("app", "core", "middlewares"):
        for tag in TAG.findall(text):
            if statement := named(path, tag):
                add_once(statement.sources, path)

    for _, path, text in files("tests"):
        counted = 0
        case = ""
        for run in LITERALS.finditer(text):
            name = "".join(LITERAL.findall(run[0]))
            if text[:run.start()].rstrip().endswith("TEST_CASE("):
                case = " ".join(TAG.sub("", name).split())
            tags = TAG.findall(name)
            counted += sum(1 for tag in tags if not SECTION.match(tag[1]))
            label = " ".join(TAG.sub("", name).split())
            if text[:run.start()].rstrip().endswith("SECTION("):
                label = f"{case}: {label}"
            elif path.startswith("tests/support/"):
                label = f"in the corpus of packets: {label}"
            for tag in tags:
                if statement := named(path, tag):
                    add_once(statement.tests, (label, path))
        if counted != sum(1 for tag in TAG.findall(text) if not SECTION.match(tag[1])):
            wrong.append(f"{path} has a tag outside of a test's name, where nobody sees it fail")
    return wrong


def judge(tables):
    """What is missing."""
    wrong = []
    for name, statements in tables.items():
        for statement in statements.values():
            which = f"[{name}:{statement.number}] ({statement.says})"
            if statement.exempt and statement.tests:
                wrong.append(f"{which} has a test, and a reason in statements-{name}.tsv to have none")
            if not statement.needs_test():
                continue
            if not statement.tests:
                wrong.append(f"{which} has no test")
            if not statement.sources and name != "original":
                wrong.append(f"{which} is named nowhere in the sources")
    return wrong


def escaped(text):
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace(
        "_", "\\_").replace("<", "&lt;").replace("#", "\\#").replace("`", "\\`")


def link(path):
    return f"[{escaped(path.rsplit('/', 1)[1])}](../{path})"


def row(statement):
    says = escaped(statement.says)
    if statement.breach:
        says += " &rarr; " + escaped(statement.breach)
    if statement.exempt:
        return f"| {statement.number} | {says} | | *not applicable:* {escaped(statement.exempt)} |"
    tests = [f"{escaped(label)} ({link(path)})" for label, path in statement.tests]
    if not tests and not statement.needs_test():
        tests = ["*binds the client*"]
    return (f"| {statement.number} | {says} | {'<br>'.join(map(link, statement.sources))} | "
            f"{'<br>'.join(tests)} |")


def chapter(number):
    parts = number.split(".")
    return ".".join(parts[:2]) if parts[0] == "3" else parts[0]


def totals(tables):
    lines = ["| | statements | bind the server | tested | not applicable | bind the client only |",
             "|---|---|---|---|---|---|"]
    for name, statements in tables.items():
        every = statements.values()
        client_only = [s for s in every if s.binds == "client" and not s.breach and not s.exempt]
        binding = [s for s in every if s not in client_only]
        lines.append(f"| {TITLES[name]} | {len(every)} | {len(binding)} | "
                     f"{sum(1 for s in binding if s.tests)} | "
                     f"{sum(1 for s in binding if s.exempt)} | {len(client_only)} |")
    return lines


def document(tables):
    lines = [HEAD, *totals(tables), ""]
    for name in ("v5", "v311"):
        lines += [f"## {TITLES[name]}", ""]
        last = None
        for statement in tables[name].values():
            if chapter(statement.number) != last:
                last = chapter(statement.number)
                lines += ["", f"### {last} {CHAPTERS[last]}", "",
                          "| number | says | where | tests |", "|---|---|---|---|"]
            lines.append(row(statement))
        lines.append("")
    lines += [f"## {TITLES['original']}", "",
              "mqtt-stack is the broker whose idea this one takes up. 8.1 to 8.39 are what its unit tests",
              "assert, 9.1 to 9.55 are the checks of the black-box suite mqtt-spec; where the original",
              "departs from the standard, the standard holds, and the text says so.", "",
              "| number | says | tests |", "|---|---|---|"]
    for statement in tables["original"].values():
        tests = [f"{escaped(label)} ({link(path)})" for label, path in statement.tests]
        if statement.exempt:
            tests = [f"*not applicable:* {escaped(statement.exempt)}"]
        lines.append(f"| {statement.number} | {escaped(statement.says)} | {'<br>'.join(tests)} |")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def main():
    if sys.argv[1:] not in (["--write"], ["--check"]):
        sys.exit(__doc__)
    tables = read_statements()
    wrong = collect(tables) + judge(tables)
    text = document(tables)
    if sys.argv[1] == "--write":
        DOCUMENT.write_text(text)
    elif not DOCUMENT.exists() or DOCUMENT.read_text() != text:
        wrong.append("docs/conformance.md is out of date: run packaging/dev conformance")
    print("\n".join(totals(tables)))
    for each in wrong:
        print(each, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
