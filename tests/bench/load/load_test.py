#!/usr/bin/env python3
"""Whether the load generator tells the truth: about a broker that drops, doubles, delays and invents
messages, about the forwarder, and about the daemon in each scenario.

    load_test.py LOAD FLOOR DAEMON
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from faulty_broker import FaultyBroker, Faults  # noqa: E402

LOAD, FLOOR, DAEMON = [os.path.abspath(path) for path in sys.argv[1:4]]


def load(*arguments):
    """Runs the generator. Returns its figures, and its line for people."""
    ended = subprocess.run([LOAD] + [str(each) for each in arguments], capture_output=True,
                           text=True, timeout=120)
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    return json.loads(ended.stdout), ended.stderr


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A server, until the block ends."""

    def __init__(self, port, *command):
        self.port = port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.pid = self.process.pid
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("%s opens no port" % command[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class AFaultyBroker(unittest.TestCase):
    """Each mistake is found, and counted exactly."""

    def measure(self, faults, *arguments, stall=20):
        broker = FaultyBroker(faults)
        try:
            figures, line = load("traffic", "-p", broker.port, "--stall", stall, *arguments)
        finally:
            broker.close()
        self.assertEqual(broker.complaints, [])
        return broker, figures, line

    def check(self, broker, figures):
        self.assertEqual(figures["sent"], broker.messages)
        self.assertEqual(figures["expected"], broker.deliveries)
        self.assertEqual(figures["lost"], broker.dropped)
        self.assertEqual(figures["duplicates"], broker.doubled)
        self.assertEqual(figures["late"], broker.overtaken)
        self.assertEqual(figures["strange"], broker.invented)
        self.assertEqual(figures["delivered"], figures["expected"] - figures["lost"])

    def test_without_faults_nothing_is_found(self):
        for version in ("3.1.1", "5"):
            for qos in (0, 1, 2):
                with self.subTest(version=version, qos=qos):
                    broker, figures, _ = self.measure(Faults(), "-V", version, "-q", qos, "-Q", qos,
                                                      "-P", 5, "-S", 5, "-n", 2003)
                    self.check(broker, figures)
                    self.assertEqual(figures["sent"], 2003)
                    self.assertEqual(figures["lost"], 0)
                    self.assertEqual(figures["stalls"], 0)
                    self.assertGreater(figures["latency_us"]["p50"], 0)
                    self.assertGreaterEqual(figures["latency_us"]["max"],
                                            figures["latency_us"]["p99"])

    def test_losses_and_duplicates_are_counted(self):
        for version in ("3.1.1", "5"):
            for qos in (0, 1, 2):
                with self.subTest(version=version, qos=qos):
                    broker, figures, line = self.measure(
                        Faults(drop=100, double=150), "-V", version, "-q", qos, "-Q", qos,
                        "-P", 5, "-S", 5, "-n", 10000)
                    self.check(broker, figures)
                    self.assertEqual(figures["lost"], 100)
                    self.assertGreater(figures["duplicates"], 30)
                    self.assertIn("lost 100, duplicates %d," % broker.doubled, line)

    def test_what_comes_late_is_neither_lost_nor_doubled(self):
        broker, figures, _ = self.measure(Faults(drop=97, double=89, delay=50),
                                          "-P", 3, "-S", 3, "-n", 9000, "-w", 16)
        self.check(broker, figures)
        self.assertGreater(figures["late"], 100)

    def test_messages_of_nobody_are_strange(self):
        broker, figures, _ = self.measure(Faults(strange=500), "-P", 2, "-S", 2, "-n", 4000)
        self.check(broker, figures)
        self.assertEqual(figures["strange"], 8)

    def test_each_copy_of_a_fan_out_counts(self):
        broker, figures, _ = self.measure(Faults(drop=1000, double=700), "-P", 1, "-S", 40,
                                          "-T", 1, "-w", 4, "-n", 500)
        self.check(broker, figures)
        self.assertEqual(figures["expected"], 20000)
        self.assertEqual(figures["lost"], 20)

    def test_each_publisher_of_a_fan_in_is_checked(self):
        broker, figures, _ = self.measure(Faults(drop=333, double=444, delay=111), "-P", 40,
                                          "-S", 1, "-T", 1, "-w", 8, "-n", 8000)
        self.check(broker, figures)
        self.assertEqual(figures["lost"], 24)

    def test_a_window_that_is_lost_does_not_end_the_run(self):
        broker, figures, line = self.measure(Faults(drop=4), "-P", 1, "-S", 1, "-w", 1, "-n", 20,
                                             stall=0.3)
        self.check(broker, figures)
        self.assertEqual(figures["lost"], 5)
        self.assertGreaterEqual(figures["stalls"], 4)
        self.assertIn("STALLED", line)

    def test_large_messages_arrive(self):
        broker, figures, _ = self.measure(Faults(drop=10), "-s", 300000, "-P", 2, "-S", 2,
                                          "-w", 2, "-n", 60)
        self.check(broker, figures)
        self.assertEqual(figures["lost"], 6)

    def test_a_fixed_rate_is_kept(self):
        broker, figures, _ = self.measure(Faults(), "-P", 5, "-S", 5, "-r", 1000, "-d", 1.5,
                                          "-W", 0.2)
        self.check(broker, figures)
        self.assertAlmostEqual(figures["in_per_s"], 1000, delta=100)
        self.assertAlmostEqual(figures["sent"], 1700, delta=200)

    def test_a_connection_that_the_broker_closes_is_reported(self):
        broker, figures, line = self.measure(Faults(close_after=1000), "-P", 2, "-S", 2, "-n", 4000,
                                             stall=0.3)
        self.assertEqual(figures["lost_connections"], 1)
        self.assertLess(figures["sent"], 4000)
        self.assertIn("LOST CONNECTIONS", line)

    def test_a_refusal_ends_the_run_and_is_named(self):
        for version, code in (("3.1.1", 5), ("5", 0x87)):
            with self.assertRaisesRegex(RuntimeError, "CONNACK with %d" % code):
                self.measure(Faults(refuse=True), "-V", version)

    def test_a_broker_that_is_not_there_is_named(self):
        with self.assertRaisesRegex(RuntimeError, "Connection refused"):
            load("traffic", "-p", free_port())


class TheForwarder(unittest.TestCase):
    """Stands in the place of a broker, and loses nothing."""

    def test_it_forwards(self):
        port = free_port()
        with Process(port, FLOOR, str(port)) as floor:
            for version in ("3.1.1", "5"):
                for publish, subscribe in ((0, 0), (1, 1), (2, 2), (1, 0), (2, 0)):
                    for size in (16, 115, 20000):
                        with self.subTest(version=version, qos=(publish, subscribe), size=size):
                            figures, _ = load("traffic", "-p", port, "--pid", floor.pid,
                                              "-V", version, "-q", publish, "-Q", subscribe,
                                              "-s", size, "-P", 3, "-S", 6, "-n", 600)
                            self.assertEqual(figures["expected"], 1200)
                            for what in ("lost", "duplicates", "late", "strange", "stalls"):
                                self.assertEqual(figures[what], 0, what)

    def test_who_leaves_gets_nothing_more(self):
        port = free_port()
        with Process(port, FLOOR, str(port)) as floor:
            for _ in range(3):
                figures, _ = load("idle", "-p", port, "--pid", floor.pid, "-N", 50,
                                  "--hold", 0.1, "--broadcast", 20)
                self.assertEqual(figures["clients"], 50)
                self.assertEqual(figures["broadcast_lost"], 0)


class TheDaemon(unittest.TestCase):
    """Is measured in each scenario."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-days", "2",
                        "-keyout", "key.pem", "-out", "certificate.pem"], cwd=cls.folder.name,
                       check=True, capture_output=True)
        ports = free_port(), free_port()
        config = os.path.join(cls.folder.name, "load.toml")
        with open(config, "w") as file:
            file.write("""
[log]
level = "warning"
[[listener]]
bind = "127.0.0.1:%d"
[[listener]]
bind = "127.0.0.1:%d"
tls = { certificate = "certificate.pem", key = "key.pem" }
""" % ports)
        cls.port, cls.tls_port = ports
        cls.daemon = Process(cls.port, DAEMON, "run", "--config", config)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.__exit__()
        cls.folder.cleanup()

    def measure(self, scenario, *arguments, port=None):
        return load(scenario, "-p", port or self.port, "--pid", self.daemon.pid, *arguments)[0]

    def test_traffic(self):
        for version in ("3.1.1", "5"):
            for qos in (0, 1, 2):
                for subscribing in ("exact", "plus", "hash"):
                    with self.subTest(version=version, qos=qos, subscribing=subscribing):
                        figures = self.measure(
                            "traffic", "-V", version, "-q", qos, "-Q", qos, "-P", 4, "-S", 4,
                            "-w", 10, "-n", 2000, "--subscribing", subscribing)
                        copies = 1 if subscribing == "exact" else 4
                        self.assertEqual(figures["expected"], 2000 * copies)
                        for what in ("lost", "duplicates", "late", "strange", "stalls"):
                            self.assertEqual(figures[what], 0, what)
                        self.assertGreater(figures["broker_us_per_delivery"], 0)
                        self.assertGreater(figures["broker_rss"], 1 << 20)

    def test_tls(self):
        figures = self.measure("traffic", "--tls", "-P", 4, "-S", 4, "-s", 5000, "-n", 2000,
                               port=self.tls_port)
        self.assertEqual(figures["lost"], 0)
        self.assertTrue(figures["tls"])

    def test_idle(self):
        figures = self.measure("idle", "-N", 100, "--hold", 0.2, "--broadcast", 10)
        self.assertEqual(figures["clients"], 100)
        self.assertEqual(figures["failed"], 0)
        self.assertEqual(figures["broadcast_lost"], 0)
        self.assertGreater(figures["broker_us_per_connect"], 0)

    def test_filters(self):
        for form in ("exact", "plus", "hash", "head"):
            with self.subTest(form=form):
                figures = self.measure("filters", "-N", 1000, "--form", form, "-S", 10, "-P", 2,
                                       "-n", 2000)
                self.assertEqual(figures["refused"], 0)
                self.assertEqual(figures["expected"], 2000)
                self.assertEqual(figures["lost"], 0)

    def test_health(self):
        for trouble, done in (("nothing", 0), ("connects", 100), ("churn", 1000),
                              ("broadcast", 1000), ("replay", 2000), ("unread", 0)):
            with self.subTest(trouble=trouble):
                figures = self.measure("health", "--while", trouble, "-N", 20, "--filters", 300,
                                       "--stored", 100, "-d", 0.5)
                self.assertGreaterEqual(figures["done"], done)
                self.assertEqual(figures["failed"], 0, figures["first_failure"])
                self.assertGreater(figures["pings"], 0)
                self.assertEqual(figures["unanswered"], 0)
                self.assertGreater(figures["latency_us"]["max"], 0)

    def test_retained_and_offline(self):
        figures = self.measure("retained", "-N", 500, "--filter", "a/#")
        self.assertEqual(figures["replayed"], 500)
        figures = self.measure("offline", "-N", 500)
        self.assertEqual((figures["drained"], figures["duplicates"], figures["late"]), (500, 0, 0))
        # The second run finds nothing of the first.
        self.assertEqual(self.measure("offline", "-N", 100)["drained"], 100)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
