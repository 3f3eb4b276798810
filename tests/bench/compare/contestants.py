"""The brokers that are compared: how each is configured and started."""
import os
import resource
import shutil
import signal
import socket
import subprocess
import time

SOURCES = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
START_LIMIT = 20  # seconds

# Everything that would keep it from delivering, or make it do more than deliver, is off.
MOSQUITTO = """
persistence false
log_dest none
max_queued_messages 0
max_inflight_messages 0
allow_anonymous true
set_tcp_nodelay true
listener %(port)d 127.0.0.1
listener %(tls_port)d 127.0.0.1
certfile %(folder)s/certificate.pem
keyfile %(folder)s/key.pem
"""
DEFAULT = """
[log]
level = "warning"
[[listener]]
bind = "127.0.0.1:1883"
"""
TLS_LISTENER = """
[[listener]]
name = "bench_tls"
bind = "127.0.0.1:%(tls_port)d"
allow_anonymous = true
tls = { certificate = "%(folder)s/certificate.pem", key = "%(folder)s/key.pem" }
"""


class Contestant:
    """One that is started anew for each run. `tls`: whether it can do that."""

    def __init__(self, name, command, tls=True, config=""):
        self.name, self.command, self.tls, self.config = name, command, tls, config

    def start(self, folder, cpu):
        return Running(self, folder, cpu)


class Running:
    """A broker that runs until the block ends."""

    def __init__(self, contestant, folder, cpu):
        self.port, self.tls_port = free_port(), free_port()
        values = {"port": self.port, "tls_port": self.tls_port, "folder": folder}
        config = os.path.join(folder, "config-" + contestant.name.replace(" ", "-"))
        with open(config, "w") as file:
            file.write(contestant.config % values)
        command = [part % {"config": config, **values} for part in contestant.command]
        pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
        self.process = subprocess.Popen(pinned + command, cwd=folder, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, preexec_fn=raise_limits)
        self.pid = self.process.pid  # taskset becomes the broker
        self.await_port()

    def await_port(self):
        end = time.monotonic() + START_LIMIT
        while time.monotonic() < end:
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError("a broker ended: " + self.process.stderr.read().decode())
                time.sleep(0.02)
        self.__exit__()
        raise RuntimeError("a broker opened no port")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()


def raise_limits():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def prepare(folder):
    """Puts what the configurations refer to into the folder."""
    for name in ("bench.acl", "passwd.example"):
        shutil.copy(os.path.join(SOURCES, "config", name), folder)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-days", "30",
                    "-keyout", "key.pem", "-out", "certificate.pem"],
                   cwd=folder, check=True, capture_output=True)
    os.chmod(os.path.join(folder, "key.pem"), 0o644)  # mosquitto reads it as another user
    os.chmod(folder, 0o755)


def daemon_config(text):
    """A configuration of ours, at ports of our choice and with a TLS listener."""
    place = 'bind = "127.0.0.1:1883"'
    if text.count(place) != 1:
        raise RuntimeError("the configuration does not have %s once" % place)
    return text.replace("%", "%%").replace(place, 'bind = "127.0.0.1:%(port)d"') + TLS_LISTENER


def contestants(build, mosquitto):
    """All there are: the floor, mosquitto if it is installed, and the daemon, twice."""
    daemon = [os.path.join(build, "mqtt-stackd"), "run", "--config", "%(config)s"]
    with open(os.path.join(SOURCES, "config/bench.toml")) as file:
        full = file.read()
    found = [Contestant("floor", [os.path.join(build, "bench/floor"), "%(port)d"], tls=False)]
    if mosquitto:
        found.append(Contestant("mosquitto", [mosquitto, "-c", "%(config)s"], config=MOSQUITTO))
    found.append(Contestant("mqtt-stackd", daemon, config=daemon_config(full)))
    found.append(Contestant("built-in default", daemon, config=daemon_config(DEFAULT)))
    return found
