#!/usr/bin/env python3
"""Counts what a message costs the broker, exactly: user instructions and allocations (callgrind),
system calls (strace), each as the difference of two runs that differ in the number of messages only.
Compares with counts.txt beside this file, so that a regression is seen at once.

    counts_test.py BROKER [--update] [SCENARIO...]

Ends with 77 (skipped) if a tool is missing. Instructions are those of the code that is compiled for
any processor, so that the same program counts the same everywhere. --update writes the counts instead of comparing them.
"""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "../../..")
RECORD = os.path.join(HERE, "counts.txt")
SKIPPED = 77
PAYLOAD = b"x" * 64
ADDRESS = "127.0.0.1:1883"  # in the configurations, which get a port of their own
BUILT_IN = """
[log]
level = "warning"
[[listener]]
bind = "127.0.0.1:1883"
"""
STORE = """
[pipeline]
default = ["connection", "keep_alive", "last_will", "sqlite_backend", "session_manager",
           "subscription_manager", "retain_manager", "inbound_manager", "outbound_manager"]
[middleware.sqlite_backend]
path = "counts.db"
"""
# What the C library is not to choose its functions for.
PLAIN = "-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX_Fast_Unaligned_Load,-BMI2,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2"
# Of instructions a part; of the others a part or, where they are few, so much.
TOLERANCE = {"instructions": (0.03, 5), "system calls": (0.10, 0.02), "allocations": (0.05, 0.02)}


class Client:
    """An MQTT client for packets whose sizes are known."""

    def __init__(self, port, name, version):
        self.version = version
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(60)
        properties = b"\x00" if version == 5 else b""
        body = b"\x00\x04MQTT" + bytes([version, 2, 0, 0]) + properties
        body += len(name).to_bytes(2, "big") + name
        self.send(b"\x10" + bytes([len(body)]) + body)
        length = self.read(2)[1]
        assert self.read(length)[1] == 0, "refused"

    def subscribe(self, topic, qos):
        properties = b"\x00" if self.version == 5 else b""
        body = b"\x00\x01" + properties + len(topic).to_bytes(2, "big") + topic + bytes([qos])
        self.send(b"\x82" + bytes([len(body)]) + body)
        self.read(5 + len(properties))

    def publish(self, topic, qos, first_id):
        properties = b"\x00" if self.version == 5 else b""
        packet_id = first_id.to_bytes(2, "big") if qos else b""
        body = len(topic).to_bytes(2, "big") + topic + packet_id + properties + PAYLOAD
        return bytes([0x30 | qos << 1, len(body)]) + body

    def send(self, data):
        self.socket.sendall(data)

    def read(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            assert part, "closed by the broker"
            data += part
        return data


def answers(first_byte, ids):
    return b"".join(bytes([first_byte, 2]) + packet_id for packet_id in ids)


class Scenario:
    """Publishers that send bursts to subscribers of their own topics, in step."""

    def __init__(self, name, pairs, fan, burst, qos, version, rounds, full=False, store=False):
        self.name, self.pairs, self.fan, self.burst = name, pairs, fan, burst
        self.qos, self.version, self.rounds = qos, version, rounds
        self.full = full  # all middlewares, as in config/bench.toml
        self.store = store  # with sqlite_backend, which nothing of it has to be kept by

    def messages(self, rounds):
        return self.pairs * self.burst * rounds

    def play(self, port, rounds):
        topics = [b"pair/%03d" % i for i in range(self.pairs)]
        publishers = [Client(port, b"p%d" % i, self.version) for i in range(self.pairs)]
        subscribers = [[Client(port, b"s%d-%d" % (i, k), self.version) for k in range(self.fan)]
                       for i in range(self.pairs)]
        for topic, group in zip(topics, subscribers):
            for subscriber in group:
                subscriber.subscribe(topic, self.qos)
        ids = [i.to_bytes(2, "big") for i in range(1, self.burst + 1)]
        bursts = [b"".join(p.publish(t, self.qos, i) for i in range(1, self.burst + 1))
                  for p, t in zip(publishers, topics)]
        for _ in range(rounds):
            for publisher, data in zip(publishers, bursts):
                publisher.send(data)
            for publisher, topic, group in zip(publishers, topics, subscribers):
                self.answer_publisher(publisher, ids)
                for subscriber in group:
                    self.receive(subscriber, topic, len(bursts[0]))
                self.finish_publisher(publisher, ids)
        for client in publishers + [s for group in subscribers for s in group]:
            client.socket.close()

    def answer_publisher(self, publisher, ids):
        if self.qos:
            publisher.read(4 * len(ids))
        if self.qos == 2:
            publisher.send(answers(0x62, ids))

    def finish_publisher(self, publisher, ids):
        if self.qos == 2:
            publisher.read(4 * len(ids))

    def receive(self, subscriber, topic, size):
        data = subscriber.read(size)
        if not self.qos:
            return
        one, at = size // self.burst, 4 + len(topic)
        got = [data[i * one + at:i * one + at + 2] for i in range(self.burst)]
        subscriber.send(answers(0x40 if self.qos == 1 else 0x50, got))
        if self.qos == 2:
            subscriber.read(4 * len(got))
            subscriber.send(answers(0x70, got))


SCENARIOS = [
    Scenario("pairs, QoS 0", 10, 1, 32, 0, 4, 40),
    Scenario("pairs, QoS 0, MQTT 5", 10, 1, 32, 0, 5, 40),
    Scenario("a pair, QoS 0, one at a time", 1, 1, 1, 0, 4, 2000),
    Scenario("pairs, QoS 1", 10, 1, 32, 1, 4, 40),
    Scenario("pairs, QoS 2", 10, 1, 32, 2, 4, 20),
    Scenario("one to 100, QoS 0", 1, 100, 16, 0, 4, 10),
    Scenario("store, pairs, QoS 0", 10, 1, 32, 0, 4, 40, store=True),
    Scenario("store, pairs, QoS 1", 10, 1, 32, 1, 4, 40, store=True),
    Scenario("all middlewares, pairs, QoS 0", 10, 1, 32, 0, 4, 40, full=True),
    Scenario("all middlewares, pairs, QoS 1", 10, 1, 32, 1, 4, 40, full=True),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(tool, broker, scenario, rounds):
    """Runs the broker under a tool and plays the scenario against it."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(folder, scenario, port)
        output = os.path.join(folder, "output")
        environment = {**os.environ, "GLIBC_TUNABLES": "glibc.cpu.hwcaps=" + PLAIN}
        process = subprocess.Popen(tool(output) + [broker, "run", "--config", config],
                                   cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            await_port(port, process)
            scenario.play(port, rounds)
        finally:
            stop(process, folder, output)
        with open(output) as file:
            return file.read()


def write_config(folder, scenario, port):
    text = BUILT_IN + (STORE if scenario.store else "")
    if scenario.full:
        with open(os.path.join(SOURCES, "config/bench.toml")) as file:
            text = file.read()
        for name in ("bench.acl", "passwd.example"):
            shutil.copy(os.path.join(SOURCES, "config", name), folder)
    assert text.count(ADDRESS) == 1, "no listener, or several"
    config = os.path.join(folder, "counts.toml")
    with open(config, "w") as file:
        file.write(text.replace(ADDRESS, "127.0.0.1:%d" % port))
    return config


def await_port(port, process):
    for _ in range(600):
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if process.poll() is not None:
                sys.exit("the broker ended: " + process.stderr.read().decode())
            time.sleep(0.1)
    sys.exit("the broker opened no port")


def stop(process, folder, output):
    if process.poll() is not None:
        return
    # strace does not pass a signal on: the broker itself is its child.
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    for pid in children.stdout.split() or [str(process.pid)]:
        os.kill(int(pid), 15)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def callgrind(output):
    return ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + output]


def strace(output):
    return ["strace", "-f", "-c", "-o", output]


def instructions(text):
    return int(re.search(r"^(?:summary|totals): (\d+)", text, re.M).group(1))


def allocations(text):
    """Calls of the functions that allocate, in a callgrind file."""
    names, called, count = {}, None, 0
    for line in text.splitlines():
        if match := re.match(r"c?fn=\((\d+)\)(?: (.*))?", line):
            if match.group(2):
                names[match.group(1)] = match.group(2)
            if line.startswith("cfn"):
                called = names.get(match.group(1), "")
        elif line.startswith("calls=") and called in ("malloc", "calloc", "realloc",
                                                      "posix_memalign", "aligned_alloc"):
            count += int(line[6:].split()[0])
    assert count, "the profile shows no allocation at all: their names have changed"
    return count


def system_calls(text):
    return int(re.search(r"^100\.00 +\S+ +(?:\d+ +)?(\d+) .*total$", text, re.M).group(1))


def measure(broker, scenario):
    few, many = scenario.rounds, 3 * scenario.rounds
    messages = scenario.messages(many) - scenario.messages(few)
    profiles = [run(callgrind, broker, scenario, rounds) for rounds in (few, many)]
    calls = [run(strace, broker, scenario, rounds) for rounds in (few, many)]
    difference = lambda count, texts: (count(texts[1]) - count(texts[0])) / messages
    return {"instructions": difference(instructions, profiles),
            "system calls": difference(system_calls, calls),
            "allocations": max(difference(allocations, profiles), 0.0)}


def exceeds(what, count, was):
    part, least = TOLERANCE[what]
    return count > was + max(was * part, least)


def measure_again_if_more(broker, scenario, expected):
    """How the broker's turns fall depends a little on time: the lesser of two counts then."""
    counts = measure(broker, scenario)
    if any(exceeds(what, count, expected[what]) for what, count in counts.items()):
        again = measure(broker, scenario)
        return {what: min(count, again[what]) for what, count in counts.items()}
    return counts


def recorded():
    counts = {}
    with open(RECORD) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                name, *numbers = [part.strip() for part in line.split("|")]
                counts[name] = dict(zip(TOLERANCE, map(float, numbers)))
    return counts


def write(counts):
    with open(RECORD, "w") as file:
        file.write("# What a published message costs: see counts_test.py, which writes this file\n"
                   "# (--update) and compares with it. User instructions, system calls,\n"
                   "# allocations.\n")
        for name, count in counts.items():
            file.write("%-32s | %7.0f | %6.3f | %6.3f\n" % (name, *count.values()))


def main(arguments):
    for tool in ("valgrind", "strace", "pgrep"):
        if not shutil.which(tool):
            print("skipped: %s is not installed" % tool)
            return SKIPPED
    if os.environ.get("BUILD_TYPE", "Release") != "Release":
        print("skipped: the counts are those of a release build")
        return SKIPPED
    update = "--update" in arguments
    broker, *wanted = [argument for argument in arguments if argument != "--update"]
    broker = os.path.abspath(broker)
    expected = recorded() if os.path.exists(RECORD) else {}
    worse = 0
    for scenario in SCENARIOS:
        if wanted and scenario.name not in wanted:
            continue
        if not update and scenario.name not in expected:
            sys.exit("%s: nothing is recorded, --update writes it" % scenario.name)
        known = expected.get(scenario.name)
        counts = (measure(broker, scenario) if update
                  else measure_again_if_more(broker, scenario, known))
        for what, count in counts.items():
            was, verdict = known and known[what], ""
            if not update and exceeds(what, count, was):
                verdict, worse = "  MORE THAN RECORDED", worse + 1
            elif not update and exceeds(what, was, count):
                verdict = "  less than recorded: --update"
            print("%-32s %-13s %9.3f  (%s)%s" % (scenario.name, what, count, was, verdict),
                  flush=True)
        expected[scenario.name] = counts
    if update:
        write(expected)
        return 0
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
