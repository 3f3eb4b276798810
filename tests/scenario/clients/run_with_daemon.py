#!/usr/bin/python3
"""Starts the daemon under test, runs a client script against it, and ends the daemon.

    run_with_daemon.py SCRIPT [ARGUMENT...]

The daemon comes from MQTT_STACKD. The script finds in its environment
  MQTT_PORT                a plain listener on 127.0.0.1
  MQTT_TLS_PORT            a TLS listener that asks for no certificate
  MQTT_MUTUAL_TLS_PORT     a TLS listener that requires one
  MQTT_CERTIFICATES        a directory with ca.crt, client.crt, client.key
The exit code is the script's; if it is not 0, the daemon's log follows.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading

CONFIG = """\
[[listener]]
name = "plain"
bind = "127.0.0.1:0"

[[listener]]
name = "tls"
bind = "127.0.0.1:0"
tls = { certificate = "server.crt", key = "server.key" }

[[listener]]
name = "mutual"
bind = "127.0.0.1:0"
tls = { certificate = "server.crt", key = "server.key", client_ca = "ca.crt", client_certificates = "required" }
"""

LISTENING = re.compile(r'listener "([^"]+)": listening on (\S+):(\d+)')
START_SECONDS = 20


def openssl(directory, *arguments):
    subprocess.run(
        ["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def make_certificates(directory):
    """An authority, a server certificate for localhost, and one for a client."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(directory, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt",
            "-days", "1", "-subj", "/CN=Test authority")
    for name, subject in (("server", "/CN=localhost"), ("client", "/CN=device-7")):
        openssl(directory, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr",
                "-subj", subject, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt",
                "-CAkey", "ca.key", "-out", f"{name}.crt", "-days", "1",
                "-copy_extensions", "copy")
    for path in directory.glob("*.key"):
        path.chmod(0o600)


class Daemon:
    """The daemon, its log, and the ports of its listeners."""

    def __init__(self, directory):
        config = directory / "mqtt-stackd.toml"
        config.write_text(CONFIG)
        self.log = []
        self.ports = {}
        self.ready = threading.Event()
        self.process = subprocess.Popen(
            [os.environ["MQTT_STACKD"], "run", "--config", str(config)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.log.append(line)
            if match := LISTENING.search(line):
                self.ports[match[1]] = match[3]
                if len(self.ports) == CONFIG.count("[[listener]]"):
                    self.ready.set()
        self.ready.set()

    def await_ports(self):
        self.ready.wait(START_SECONDS)
        return len(self.ports) == CONFIG.count("[[listener]]")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def main():
    if "MQTT_STACKD" not in os.environ:
        return "MQTT_STACKD does not name the program under test"
    with tempfile.TemporaryDirectory(prefix="scenario-") as name:
        directory = pathlib.Path(name)
        make_certificates(directory)
        daemon = Daemon(directory)
        code = 1
        if daemon.await_ports():
            environment = dict(
                os.environ,
                MQTT_PORT=daemon.ports["plain"],
                MQTT_TLS_PORT=daemon.ports["tls"],
                MQTT_MUTUAL_TLS_PORT=daemon.ports["mutual"],
                MQTT_CERTIFICATES=name)
            code = subprocess.run(sys.argv[1:], env=environment, check=False).returncode
        else:
            print("the daemon does not listen", file=sys.stderr)
        ended = daemon.stop()
        if ended != 0:
            print(f"the daemon ended with {ended}", file=sys.stderr)
        if code != 0 or ended != 0:
            sys.stderr.write("--- log of the daemon\n" + "".join(daemon.log) + "---\n")
        return code or (1 if ended else 0)


if __name__ == "__main__":
    sys.exit(main())
