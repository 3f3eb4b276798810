// MQTT.js against the daemon: one feature at one version of the protocol.
//
//     node mqttjs_client.js VERSION FEATURE [TRANSPORT]       VERSION: 31, 311 or 5; TRANSPORT: tcp, tls
//
// Run by run_with_daemon.py, which sets the MQTT_* variables. MQTTJS_DIRECTORY is where npm has
// put the package.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const { createRequire } = require('node:module');

const mqtt = createRequire(path.join(process.env.MQTTJS_DIRECTORY, 'package.json'))('mqtt');

const kPatience = 15_000;
const [version, feature, transport = 'tcp'] = process.argv.slice(2);
const protocol = {
  31: { protocolId: 'MQIsdp', protocolVersion: 3 },
  311: { protocolVersion: 4 },
  5: { protocolVersion: 5 },
}[version];

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`in vain: ${what}`)), kPatience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function certificate(name) {
  return fs.readFileSync(path.join(process.env.MQTT_CERTIFICATES, name));
}

// A client whose every step waits for its answer.
class Peer {
  static async open(clientId, { durable = false, url, ...options } = {}) {
    const session = durable
      ? { clean: false, ...(version === '5' && { properties: { sessionExpiryInterval: 60 } }) }
      : {};
    const peer = new Peer();
    peer.waiting = [];
    peer.messages = [];
    const [server, trust] = transport === 'tls'
      ? [`mqtts://localhost:${process.env.MQTT_TLS_PORT}`, { ca: certificate('ca.crt') }]
      : [`mqtt://localhost:${process.env.MQTT_PORT}`, {}];
    peer.client = mqtt.connect(url ?? server, {
      clientId, reconnectPeriod: 0, ...protocol, ...session, ...trust, ...options,
    });
    peer.client.on('message', (topic, payload, packet) => {
      const message = { ...packet, topic };  // the packet may have an alias only
      const next = peer.waiting.shift();
      if (next) next(message);
      else peer.messages.push(message);
    });
    peer.connack = await within(new Promise((resolve, reject) => {
      peer.client.once('connect', resolve);
      peer.client.once('error', reject);
      peer.client.once('close', () => reject(new Error(`${clientId}: connection closed`)));
    }), `CONNACK of ${clientId}`);
    return peer;
  }

  async subscribe(topic, qos, options = {}) {
    const granted = await within(this.client.subscribeAsync(topic, { qos, ...options }), 'SUBACK');
    assert.deepStrictEqual(granted.map((each) => each.qos), [qos]);
  }

  publish(topic, payload, options = {}) {
    return within(this.client.publishAsync(topic, payload, options), `PUBLISH of ${topic}`);
  }

  next() {
    if (this.messages.length > 0) return Promise.resolve(this.messages.shift());
    return within(new Promise((resolve) => this.waiting.push(resolve)), 'a message');
  }

  async expect(topic, payload, { qos = 0, retain = false } = {}) {
    const packet = await this.next();
    assert.deepStrictEqual(
      { topic: packet.topic, payload: packet.payload.toString(), qos: packet.qos, retain: packet.retain },
      { topic, payload, qos, retain });
    return packet;
  }

  close() { return within(this.client.endAsync(), 'the end'); }

  die() { this.client.stream.destroy(); }
}

function exchange(qos) {
  return async () => {
    const subscriber = await Peer.open('subscriber');
    await subscriber.subscribe('a/+', qos);
    const publisher = await Peer.open('publisher');
    for (let i = 0; i < 50; ++i) await publisher.publish('a/b', String(i), { qos });
    for (let i = 0; i < 50; ++i) await subscriber.expect('a/b', String(i), { qos });
    await publisher.close();
    await subscriber.close();
  };
}

const features = {
  qos0: exchange(0),
  qos1: exchange(1),
  qos2: exchange(2),

  async retained() {
    const publisher = await Peer.open('publisher');
    await publisher.publish('kept', 'value', { qos: 1, retain: true });
    const subscriber = await Peer.open('subscriber');
    await subscriber.subscribe('kept', 1);
    await subscriber.expect('kept', 'value', { qos: 1, retain: true });
    await publisher.publish('kept', '', { qos: 1, retain: true });
    await subscriber.expect('kept', '', { qos: 1 });
    const late = await Peer.open('late');
    await late.subscribe('#', 1);
    await publisher.publish('marker', 'x', { qos: 1 });
    await late.expect('marker', 'x', { qos: 1 });
  },

  async will() {
    const watcher = await Peer.open('watcher');
    await watcher.subscribe('will', 1);
    const will = (payload) => ({ will: { topic: 'will', payload: Buffer.from(payload), qos: 1, retain: false } });
    (await Peer.open('mortal', will('gone'))).die();
    await watcher.expect('will', 'gone', { qos: 1 });
    await (await Peer.open('polite', will('not this'))).close();
    await (await Peer.open('publisher')).publish('will', 'marker', { qos: 1 });
    await watcher.expect('will', 'marker', { qos: 1 });
  },

  async session() {
    const first = await Peer.open('kept', { durable: true });
    assert.strictEqual(first.connack.sessionPresent, false);
    await first.subscribe('t', 2);
    await first.close();
    const publisher = await Peer.open('publisher');
    for (let i = 0; i < 30; ++i) await publisher.publish('t', String(i), { qos: 1 + i % 2 });
    const again = await Peer.open('kept', { durable: true });
    assert.strictEqual(again.connack.sessionPresent, version !== '31');
    // The order is promised per QoS: a client hands out QoS 2 only after the whole handshake.
    const received = { 1: [], 2: [] };
    for (let i = 0; i < 30; ++i) {
      const packet = await again.next();
      received[packet.qos].push(Number(packet.payload));
    }
    const every2nd = (first) => [...Array(15).keys()].map((i) => first + 2 * i);
    assert.deepStrictEqual(received, { 1: every2nd(0), 2: every2nd(1) });
  },

  async shared() {
    const members = [];
    for (let i = 0; i < 3; ++i) {
      members.push(await Peer.open(`member${i}`));
      await members[i].subscribe('$share/group/t', 1);
    }
    const publisher = await Peer.open('publisher');
    for (let i = 0; i < 30; ++i) await publisher.publish('t', String(i), { qos: 1 });
    for (const member of members) await member.subscribe('end', 1);
    await publisher.publish('end', 'x', { qos: 1 });
    const received = [];
    for (const member of members) {
      for (let packet = await member.next(); packet.topic !== 'end'; packet = await member.next()) {
        received.push(Number(packet.payload));
      }
    }
    assert.deepStrictEqual(received.sort((a, b) => a - b), [...Array(30).keys()]);
  },

  async mutual_tls() {
    const url = `mqtts://localhost:${process.env.MQTT_MUTUAL_TLS_PORT}`;
    const ca = certificate('ca.crt');
    await assert.rejects(Peer.open('refused', { url, ca }), 'let in without a certificate');
    const peer = await Peer.open('peer', {
      url, ca, cert: certificate('client.crt'), key: certificate('client.key'),
    });
    await peer.subscribe('t', 1);
    await peer.publish('t', 'secret', { qos: 1 });
    await peer.expect('t', 'secret', { qos: 1 });
  },

  // MQTT 5: topics are sent once, and by their aliases from then on, in both directions.
  async aliases() {
    const subscriber = await Peer.open('subscriber', { properties: { topicAliasMaximum: 2 } });
    const raw = [];
    subscriber.client.on('packetreceive', (packet) => {
      if (packet.cmd === 'publish') raw.push(packet.properties?.topicAlias);
    });
    await subscriber.subscribe('a/+/topic', 1);
    const publisher = await Peer.open('publisher', {
      autoUseTopicAlias: true, autoAssignTopicAlias: true,
    });
    assert.ok(publisher.connack.properties.topicAliasMaximum > 0);
    const topics = ['a/long/topic', 'a/short/topic', 'a/third/topic', 'a/long/topic', 'a/short/topic'];
    for (const topic of topics) await publisher.publish(topic, topic, { qos: 1 });
    for (const topic of topics) await subscriber.expect(topic, topic, { qos: 1 });
    assert.deepStrictEqual(raw, [1, 2, undefined, 1, 2]);
  },

  // MQTT 5: what a request and its answer need, and No Local.
  async properties() {
    const peer = await Peer.open('peer');
    await peer.subscribe('t', 1, { nl: true, properties: { subscriptionIdentifier: 7 } });
    await peer.publish('t', 'mine', { qos: 1 });
    const other = await Peer.open('other');
    await other.publish('t', 'request', {
      qos: 1,
      properties: {
        responseTopic: 'answers', correlationData: Buffer.from([0, 7]),
        messageExpiryInterval: 100, userProperties: { b: ['1', '3'], a: '2' },
      },
    });
    const { properties } = await peer.expect('t', 'request', { qos: 1 });
    assert.strictEqual(properties.responseTopic, 'answers');
    assert.deepStrictEqual(properties.correlationData, Buffer.from([0, 7]));
    assert.deepStrictEqual({ ...properties.userProperties }, { b: ['1', '3'], a: '2' });
    assert.strictEqual(properties.subscriptionIdentifier, 7);
    assert.ok(properties.messageExpiryInterval >= 90 && properties.messageExpiryInterval <= 100);
  },
};

features[feature]().then(() => process.exit(0), (error) => {
  console.error(`FAILED (${feature}, MQTT ${version}):`, error);
  process.exit(1);
});
