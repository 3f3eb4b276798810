"""A broker of the simplest kind that makes mistakes on demand and remembers how many, so that it can
be seen whether the load generator finds them all. It reads packets more strictly than most."""
import selectors
import socket
import struct
import threading

CONNECT, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, PINGREQ, DISCONNECT = (
    1, 3, 4, 5, 6, 7, 8, 12, 14)
ANSWERS = {PUBREC: 0x62, PUBREL: 0x70}


class Faults:
    """Of all deliveries each n-th is dropped, doubled, or overtaken by the next one; 0: none is."""

    def __init__(self, drop=0, double=0, delay=0, strange=0, refuse=False, close_after=0):
        self.drop, self.double, self.delay, self.strange = drop, double, delay, strange
        self.refuse = refuse            # each CONNECT
        self.close_after = close_after  # so many messages, the first publisher's connection


class Client:
    def __init__(self, connection):
        self.connection = connection
        self.version = None
        self.data = b""
        self.out = bytearray()
        self.delayed = None
        self.packet_id = 0
        self.released = set()  # QoS 2 messages whose PUBREL is still to come
        self.sequence = 0      # of its last message

    def number(self):
        self.packet_id = self.packet_id % 0xFFFF + 1
        return self.packet_id


class FaultyBroker:
    """Runs in a thread of its own until it is closed. What went wrong on the other side is in
    `complaints`; `dropped`, `doubled`, `overtaken` and `invented` say what was done to it."""

    def __init__(self, faults):
        self.faults = faults
        self.complaints = []
        self.messages = self.deliveries = 0
        self.dropped = self.doubled = self.overtaken = self.invented = 0
        self.subscriptions = {}
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.open = True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def close(self):
        self.open = False
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()

    def run(self):
        while self.open:
            for key, events in self.selector.select(0.05):
                if key.data is None:
                    self.accept()
                elif events & selectors.EVENT_READ:
                    self.receive(key.data)
                elif events & selectors.EVENT_WRITE:
                    self.flush(key.data)

    def accept(self):
        connection, _ = self.listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(connection, selectors.EVENT_READ, Client(connection))

    def drop(self, client):
        for subscribers in self.subscriptions.values():
            subscribers[:] = [entry for entry in subscribers if entry[0] is not client]
        self.selector.unregister(client.connection)
        client.connection.close()
        client.connection = None

    def receive(self, client):
        try:
            data = client.connection.recv(1 << 18)
        except ConnectionError:
            data = b""
        if not data:
            return self.drop(client)
        client.data += data
        touched = {client}
        at = 0
        while client.connection:
            frame = split(client.data, at)
            if not frame:
                break
            first, body, at = frame
            try:
                self.handle(client, first, body, touched)
            except (ValueError, struct.error, IndexError) as error:
                self.complaints.append("%s in %r" % (error, bytes([first]) + body[:40]))
                self.drop(client)
        client.data = client.data[at:]
        for each in touched:
            if each.delayed:  # nothing came that could overtake it
                each.out += each.delayed
                each.delayed = None
            if each.connection:
                self.flush(each)

    def flush(self, client):
        try:
            sent = client.connection.send(client.out) if client.out else 0
            del client.out[:sent]
        except BlockingIOError:
            pass
        except ConnectionError:
            return self.drop(client)
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.out else 0)
        self.selector.modify(client.connection, wanted, client)

    def handle(self, client, first, body, touched):
        kind, flags = first >> 4, first & 15
        if flags != {PUBREL: 2, SUBSCRIBE: 2}.get(kind, flags if kind == PUBLISH else 0):
            raise ValueError("wrong flags")
        if (client.version is None) != (kind == CONNECT):
            raise ValueError("CONNECT comes first, and once")
        if kind == CONNECT:
            self.connect(client, body)
        elif kind == PUBLISH:
            self.publish(client, flags, body, touched)
        elif kind == SUBSCRIBE:
            self.subscribe(client, body)
        elif kind in ANSWERS:
            if kind == PUBREL:
                client.released.remove(body[:2])
            client.out += bytes([ANSWERS[kind], 2]) + body[:2]
        elif kind == PINGREQ:
            client.out += b"\xd0\x00"
        elif kind not in (PUBACK, PUBCOMP, DISCONNECT):
            raise ValueError("only a broker sends this")

    def connect(self, client, body):
        if body[:6] != b"\x00\x04MQTT" or body[6] not in (4, 5):
            raise ValueError("unknown protocol")
        client.version = body[6]
        rest = body[10:]
        if client.version == 5:
            rest = rest[1 + rest[0]:]
        if len(rest) != 2 + struct.unpack(">H", rest[:2])[0]:
            raise ValueError("more or less than a client identifier")
        properties = b"\x00" if client.version == 5 else b""
        code = (0x87 if client.version == 5 else 5) if self.faults.refuse else 0
        client.out += bytes([0x20, 2 + len(properties), 0, code]) + properties

    def subscribe(self, client, body):
        packet_id, rest = body[:2], body[2:]
        properties = b""
        if client.version == 5:
            properties, rest = b"\x00", rest[1 + rest[0]:]
        codes = b""
        while rest:
            size, = struct.unpack(">H", rest[:2])
            topic, qos, rest = rest[2:2 + size], rest[2 + size], rest[3 + size:]
            self.subscriptions.setdefault(topic, []).append((client, qos))
            codes += bytes([qos])
        answer = packet_id + properties + codes
        client.out += bytes([0x90, len(answer)]) + answer

    def publish(self, client, flags, body, touched):
        qos = flags >> 1 & 3
        size, = struct.unpack(">H", body[:2])
        topic, rest = body[2:2 + size], body[2 + size:]
        if qos:
            packet_id, rest = rest[:2], rest[2:]
            if packet_id == b"\x00\x00" or packet_id in client.released:
                raise ValueError("a packet id that is none, or in use")
            if qos == 2:
                client.released.add(packet_id)
            client.out += bytes([0x40 if qos == 1 else 0x50, 2]) + packet_id
        if client.version == 5:
            rest = rest[1 + rest[0]:]
        _, _, sequence = struct.unpack("=QII", rest[:16])
        if sequence != client.sequence + 1:
            raise ValueError("message %d after %d" % (sequence, client.sequence))
        client.sequence = sequence
        self.messages += 1
        for subscriber, granted in self.subscriptions.get(topic, []):
            self.deliver(subscriber, topic, min(qos, granted), rest)
            touched.add(subscriber)
        if self.messages == self.faults.close_after:
            self.drop(client)

    def deliver(self, subscriber, topic, qos, payload):
        faults = self.faults
        self.deliveries += 1
        due = lambda every: every and self.deliveries % every == 0
        if due(faults.drop):
            self.dropped += 1
            return
        if due(faults.strange):  # nobody has this number
            self.invented += 1
            subscriber.out += delivery(subscriber, topic, qos,
                                       payload[:8] + b"\xff" * 4 + payload[12:])
        packet = delivery(subscriber, topic, qos, payload)
        if due(faults.double):
            self.doubled += 1
            packet += delivery(subscriber, topic, qos, payload)
        if due(faults.delay) and not subscriber.delayed:
            subscriber.delayed = packet
            return
        subscriber.out += packet
        if subscriber.delayed:
            self.overtaken += 1
            subscriber.out += subscriber.delayed
            subscriber.delayed = None


def split(data, at):
    """The packet that begins there: its first byte, its body, and where it ends. None if some of it
    is still to come."""
    length, shift, i = 0, 0, at + 1
    while True:
        if i >= len(data):
            return None
        length |= (data[i] & 127) << shift
        shift += 7
        i += 1
        if data[i - 1] < 128:
            break
    if i + length > len(data):
        return None
    return data[at], data[i:i + length], i + length


def delivery(subscriber, topic, qos, payload):
    body = struct.pack(">H", len(topic)) + topic
    if qos:
        body += struct.pack(">H", subscriber.number())
    if subscriber.version == 5:
        body += b"\x05\x02\x00\x00\x00\x3c"  # expires in a minute: as good a property as any
    body += payload
    length, rest = b"", len(body)
    while True:
        length += bytes([rest & 127 | (128 if rest > 127 else 0)])
        rest >>= 7
        if not rest:
            return bytes([0x30 | qos << 1]) + length + body
