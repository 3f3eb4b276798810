#!/usr/bin/python3
"""Paho's Python client against the daemon: one feature at one version of the protocol.

    paho_client.py VERSION FEATURE       VERSION: 31, 311 or 5

Run by run_with_daemon.py, which sets the MQTT_* variables.
"""

import os
import queue
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PATIENCE = 15
VERSIONS = {"31": mqtt.MQTTv31, "311": mqtt.MQTTv311, "5": mqtt.MQTTv5}
VERSION = VERSIONS[sys.argv[1]]


class Peer:
    """A client whose every step waits for its answer."""

    def __init__(self, name, durable=False, will=None, port="MQTT_PORT", tls=None,
                 patience=PATIENCE):
        arguments = {} if VERSION == mqtt.MQTTv5 else {"clean_session": not durable}
        self.client = mqtt.Client(name, protocol=VERSION, **arguments)
        self.messages = queue.Queue()
        self.connected = queue.Queue()
        self.subscribed = queue.Queue()
        self.gone = threading.Event()
        self.client.on_connect = lambda c, u, flags, code, *rest: self.connected.put((flags, code))
        self.client.on_message = lambda c, u, message: self.messages.put(message)
        self.client.on_subscribe = lambda c, u, mid, granted, *rest: self.subscribed.put(granted)
        self.client.on_disconnect = lambda *rest: self.gone.set()
        if will:
            self.client.will_set(*will)
        if tls is not None:
            self.client.tls_set(**tls)
        options = {}
        if VERSION == mqtt.MQTTv5:
            options["clean_start"] = not durable
            if durable:
                options["properties"] = Properties(PacketTypes.CONNECT)
                options["properties"].SessionExpiryInterval = 60
        self.client.connect("localhost", int(os.environ[port]), **options)
        self.client.loop_start()
        flags, code = self.connected.get(timeout=patience)
        assert code == 0, f"CONNACK {code}"
        self.session_present = flags["session present"] == 1

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        granted = [int(getattr(code, "value", code)) for code in self.subscribed.get(timeout=PATIENCE)]
        assert granted == [qos], f"granted {granted}"

    def publish(self, topic, payload, qos=0, retain=False, **more):
        info = self.client.publish(topic, payload, qos, retain, **more)
        info.wait_for_publish(PATIENCE)
        assert info.is_published(), f"{topic} was not acknowledged"

    def expect(self, topic, payload, qos=0, retain=False):
        message = self.messages.get(timeout=PATIENCE)
        found = (message.topic, message.payload.decode(), message.qos, bool(message.retain))
        assert found == (topic, payload, qos, retain), f"received {found}"
        return message

    def stop(self):
        self.client.disconnect()
        assert self.gone.wait(PATIENCE), "no end of the connection"
        self.client.loop_stop()

    def die(self):
        """Ends the connection without a DISCONNECT."""
        self.client.socket().shutdown(2)
        self.client.loop_stop()


def qos(level):
    subscriber = Peer("subscriber")
    subscriber.subscribe("a/+", level)
    publisher = Peer("publisher")
    for number in range(50):
        publisher.publish("a/b", str(number), level)
    for number in range(50):
        subscriber.expect("a/b", str(number), level)
    publisher.stop()
    subscriber.stop()


def retained():
    publisher = Peer("publisher")
    publisher.publish("kept", "value", 1, True)
    subscriber = Peer("subscriber")
    subscriber.subscribe("kept", 1)
    subscriber.expect("kept", "value", 1, True)
    publisher.publish("kept", "", 1, True)
    subscriber.expect("kept", "", 1, False)
    late = Peer("late")
    late.subscribe("#", 1)
    publisher.publish("marker", "x", 1)
    late.expect("marker", "x", 1)


def will():
    watcher = Peer("watcher")
    watcher.subscribe("will", 1)
    mortal = Peer("mortal", will=("will", "gone", 1, False))
    mortal.die()
    watcher.expect("will", "gone", 1)
    polite = Peer("polite", will=("will", "not this", 1, False))
    polite.stop()
    Peer("publisher").publish("will", "marker", 1)
    watcher.expect("will", "marker", 1)


def session():
    first = Peer("kept", durable=True)
    assert not first.session_present
    first.subscribe("t", 2)
    first.stop()
    publisher = Peer("publisher")
    for number in range(30):
        publisher.publish("t", str(number), 1 + number % 2)
    again = Peer("kept", durable=True)
    assert again.session_present or VERSION == mqtt.MQTTv31
    received = {1: [], 2: []}
    for _ in range(30):
        message = again.messages.get(timeout=PATIENCE)
        received[message.qos].append(int(message.payload))
    # The order is promised per QoS: a client hands out QoS 2 only after the whole handshake.
    assert received == {1: list(range(0, 30, 2)), 2: list(range(1, 30, 2))}, f"received {received}"
    again.stop()


def shared():
    members = [Peer(f"member{number}") for number in range(3)]
    for member in members:
        member.subscribe("$share/group/t", 1)
    publisher = Peer("publisher")
    for number in range(30):
        publisher.publish("t", str(number), 1)
    received = []
    for member in members:
        member.subscribe("end", 1)
    publisher.publish("end", "x", 1)
    for member in members:
        for message in iter(lambda: member.messages.get(timeout=PATIENCE), None):
            if message.topic == "end":
                break
            received.append(int(message.payload))
    assert sorted(received) == list(range(30)), f"received {sorted(received)}"


def tls():
    peer = Peer("peer", port="MQTT_TLS_PORT", tls={"ca_certs": certificate("ca.crt")})
    peer.subscribe("t", 2)
    peer.publish("t", "secret", 2)
    peer.expect("t", "secret", 2)
    peer.stop()


def mutual_tls():
    authority = {"ca_certs": certificate("ca.crt")}
    # In TLS 1.3 the refusal comes after the handshake, and ends Paho's thread without a word.
    try:
        Peer("refused", port="MQTT_MUTUAL_TLS_PORT", tls=authority, patience=2)
    except (OSError, queue.Empty):
        pass
    else:
        raise AssertionError("let in without a certificate")
    peer = Peer("peer", port="MQTT_MUTUAL_TLS_PORT",
                tls=dict(authority, certfile=certificate("client.crt"),
                         keyfile=certificate("client.key")))
    peer.subscribe("t", 1)
    peer.publish("t", "secret", 1)
    peer.expect("t", "secret", 1)


def properties():
    """MQTT 5: what a request and its answer need, and No Local."""
    peer = Peer("peer")
    peer.client.subscribe("t", options=SubscribeOptions(qos=1, noLocal=True))
    peer.subscribed.get(timeout=PATIENCE)
    peer.publish("t", "mine", 1)
    request = Properties(PacketTypes.PUBLISH)
    request.ResponseTopic = "answers"
    request.CorrelationData = b"\x00\x07"
    request.UserProperty = [("b", "1"), ("a", "2"), ("b", "3")]
    request.MessageExpiryInterval = 100
    Peer("other").publish("t", "request", 1, properties=request)
    message = peer.expect("t", "request", 1)
    assert message.properties.ResponseTopic == "answers"
    assert message.properties.CorrelationData == b"\x00\x07"
    assert message.properties.UserProperty == [("b", "1"), ("a", "2"), ("b", "3")]
    assert 90 <= message.properties.MessageExpiryInterval <= 100


def certificate(name):
    return os.path.join(os.environ["MQTT_CERTIFICATES"], name)


FEATURES = {
    "qos0": lambda: qos(0), "qos1": lambda: qos(1), "qos2": lambda: qos(2),
    "retained": retained, "will": will, "session": session, "shared": shared, "tls": tls,
    "mutual_tls": mutual_tls, "properties": properties,
}

if __name__ == "__main__":
    FEATURES[sys.argv[2]]()
    # Peers that a feature left open have threads of their own.
    sys.stdout.flush()
    os._exit(0)
