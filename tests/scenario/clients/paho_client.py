#!/usr/bin/python3
"""Paho's Python client against the daemon: one feature at one version of the protocol.

    paho_client.py VERSION FEATURE [TRANSPORT]       VERSION: 31, 311 or 5; TRANSPORT: tcp, tls

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
OVER_TLS = sys.argv[3:] == ["tls"]


class Peer:
    """A client whose every step waits for its answer."""

    def __init__(self, name, durable=False, will=None, port=None, tls=None, patience=PATIENCE,
                 properties=None):
        if port is None:
            port = "MQTT_TLS_PORT" if OVER_TLS else "MQTT_PORT"
            tls = {"ca_certs": certificate("ca.crt")} if OVER_TLS else None
        arguments = {} if VERSION == mqtt.MQTTv5 else {"clean_session": not durable}
        self.client = mqtt.Client(name, protocol=VERSION, **arguments)
        self.messages = queue.Queue()
        self.connected = queue.Queue()
        self.subscribed = queue.Queue()
        self.gone = threading.Event()
        self.client.on_connect = self.on_connect
        self.client.on_message = lambda c, u, message: self.messages.put(message)
        self.unsubscribed = queue.Queue()
        self.client.on_unsubscribe = lambda c, u, mid, *rest: self.unsubscribed.put(rest)
        self.client.on_subscribe = lambda c, u, mid, granted, *rest: self.subscribed.put(granted)
        self.client.on_disconnect = lambda *rest: self.gone.set()
        if will:
            self.client.will_set(*will)
        if tls is not None:
            self.client.tls_set(**tls)
        options = {}
        if VERSION == mqtt.MQTTv5:
            options["clean_start"] = not durable
            options["properties"] = properties or Properties(PacketTypes.CONNECT)
            if durable:
                options["properties"].SessionExpiryInterval = 60
        self.client.connect("localhost", int(os.environ[port]), **options)
        self.client.loop_start()
        flags, code = self.connected.get(timeout=patience)
        assert code == 0, f"CONNACK {code}"
        self.session_present = flags["session present"] == 1

    def on_connect(self, client, userdata, flags, code, properties=None):
        self.connack = properties
        self.connected.put((flags, code))

    def unsubscribe(self, topic):
        """Returns the reason code; nothing before MQTT 5."""
        self.client.unsubscribe(topic)
        rest = self.unsubscribed.get(timeout=PATIENCE)
        return rest[1].value if VERSION == mqtt.MQTTv5 else None

    def expect_nothing(self):
        """What was published before has arrived when this returns."""
        self.subscribe("marker", 1)
        self.publish("marker", "x", 1)
        self.expect("marker", "x", 1)

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


def burst():
    """Many messages under way at once, in both directions."""
    subscriber = Peer("subscriber")
    subscriber.subscribe("t", 2)
    publisher = Peer("publisher")
    publisher.client.max_inflight_messages_set(100)
    sent = [publisher.client.publish("t", str(number), 2) for number in range(500)]
    for number in range(500):
        subscriber.expect("t", str(number), 2)
    for info in sent:
        info.wait_for_publish(PATIENCE)


def unsubscribe():
    peer = Peer("peer")
    peer.subscribe("a/#", 1)
    peer.publish("a/b", "one", 1)
    peer.expect("a/b", "one", 1)
    assert peer.unsubscribe("a/#") in (None, 0)
    assert peer.unsubscribe("a/#") in (None, 0x11)
    peer.publish("a/b", "two", 1)
    peer.expect_nothing()


def overlap():
    peer = Peer("peer")
    for topic, level in (("a/+", 0), ("a/#", 2), ("+/b", 1)):
        peer.subscribe(topic, level)
    peer.publish("a/b", "once", 2)
    peer.expect("a/b", "once", 2)
    peer.expect_nothing()


def takeover():
    first = Peer("same")
    second = Peer("same")
    assert first.gone.wait(PATIENCE), "the first connection is still there"
    first.client.loop_stop()
    second.subscribe("t", 1)
    second.publish("t", "x", 1)
    second.expect("t", "x", 1)


def identifiers():
    """MQTT 5: one copy with the identifiers of all subscriptions that match."""
    peer = Peer("peer")
    for number, topic in ((7, "a/+"), (9, "a/b")):
        wanted = Properties(PacketTypes.SUBSCRIBE)
        wanted.SubscriptionIdentifier = number
        peer.client.subscribe(topic, options=SubscribeOptions(qos=1), properties=wanted)
        peer.subscribed.get(timeout=PATIENCE)
    peer.publish("a/b", "x", 1)
    message = peer.expect("a/b", "x", 1)
    assert sorted(message.properties.SubscriptionIdentifier) == [7, 9]


def retain_options():
    """MQTT 5: Retain Handling and Retain As Published."""
    peer = Peer("peer")
    peer.publish("t", "kept", 1, True)
    never = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
    once = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
    flagged = SubscribeOptions(qos=1, retainAsPublished=True,
                               retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
    for options in (never, once):  # the second time it is not new
        peer.client.subscribe("t", options=options)
        peer.subscribed.get(timeout=PATIENCE)
    peer.expect_nothing()
    peer.client.subscribe("t", options=flagged)
    peer.subscribed.get(timeout=PATIENCE)
    peer.publish("t", "live", 1, True)
    peer.expect("t", "live", 1, True)


def connack():
    """MQTT 5: an assigned client id, and a will that waits no longer than its session."""
    peer = Peer("")
    assert peer.connack.AssignedClientIdentifier
    peer.subscribe("will", 1)
    will = Properties(PacketTypes.WILLMESSAGE)
    will.WillDelayInterval = 100
    mortal = Peer("mortal", will=("will", "gone", 1, False, will))
    mortal.die()  # its session ends with it
    peer.expect("will", "gone", 1)


def aliases():
    """MQTT 5: a topic is sent once, and by its alias from then on."""
    peer = Peer("peer")
    peer.subscribe("a/long/topic", 1)
    allowed = peer.connack.TopicAliasMaximum
    assert allowed > 0
    for topic in ("a/long/topic", "", ""):
        aliased = Properties(PacketTypes.PUBLISH)
        aliased.TopicAlias = allowed
        # Paho itself refuses a publication without a topic: the packet is made by hand.
        peer.client._send_publish(peer.client._mid_generate(), topic.encode(), b"x", 1, False,
                                  False, None, aliased)
        peer.expect("a/long/topic", "x", 1)


def certificate(name):
    return os.path.join(os.environ["MQTT_CERTIFICATES"], name)


FEATURES = {
    "qos0": lambda: qos(0), "qos1": lambda: qos(1), "qos2": lambda: qos(2),
    "retained": retained, "will": will, "session": session, "shared": shared,
    "mutual_tls": mutual_tls, "properties": properties, "burst": burst, "unsubscribe": unsubscribe,
    "overlap": overlap, "takeover": takeover, "identifiers": identifiers,
    "retain_options": retain_options, "connack": connack, "aliases": aliases,
}

if __name__ == "__main__":
    FEATURES[sys.argv[2]]()
    # Peers that a feature left open have threads of their own.
    sys.stdout.flush()
    os._exit(0)
