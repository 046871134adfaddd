import { createServer, type Server } from 'node:http';
import avsc from 'avsc';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LogRecord } from '../../src/contract.ts';
import { encodeEvent } from '../../src/domain/avro.ts';
import type { UsageEvent } from '../../src/domain/event.ts';
import { eventType, toWire } from '../../src/domain/wire.ts';
import { decode } from '../../src/processors/decode.ts';
import { demandWritten } from '../../src/conformance/source.ts';
import { firstOf, openerOf, readToEnd } from '../support/kafka-logs.ts';
import { describeKafka, eventually } from '../support/kafka-services.ts';

const event: UsageEvent = {
  tenant: 'acme',
  type: 'api.call',
  quantity: 1_500_000_000_000n,
  key: 'k-1',
  timestamp: 1_790_000_000_000_000,
  subject: null,
  properties: '{"region":"eu"}',
};
const wire = (id: number, body: Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(id, 1);
  return Buffer.concat([head, body]);
};
const decoded = (record: LogRecord): unknown => {
  const { event: read, fault } = decode().process(record, { lineage: undefined!, segment: 0, rules: 0 });
  return read ?? fault?.code;
};

describeKafka('formats of the Kafka log', {}, (kafka) => {
  const open = openerOf(kafka);

  async function produced(messages: { value: Buffer | string | null; headers?: Record<string, string> }[]): Promise<string> {
    const topic = await kafka().topic(1);
    const producer = kafka().client.producer();
    await producer.connect();
    await producer.send({ topic, messages: messages.map((message) => ({ key: 'acme', ...message })) });
    await producer.disconnect();
    return topic;
  }

  test('our own Avro and JSON are read as they are', async () => {
    const json =
      '{"tenant_id":"acme","event_type":"api.call","quantity":"1.5","idempotency_key":"k-1","event_timestamp":"2026-09-21T14:13:20Z","properties":{"region":"eu"}}';
    const topic = await produced([{ value: Buffer.from(encodeEvent(event)) }, { value: json }, { value: 'neither' }]);
    const log = await open(topic, { cloudEvents: true });
    expect((await readToEnd(log, await firstOf(log))).map(decoded)).toEqual([event, event, 'UNDECODABLE']);
  });

  describe('CloudEvents', () => {
    const attributes = {
      specversion: '1.0',
      id: '1',
      source: 'edge',
      type: 'api.call',
      time: '2026-09-21T14:13:20Z',
      tenantid: 'acme',
    };
    const expected = { ...event, key: '4:edge:1' };
    const headers = (more: Record<string, string> = {}): Record<string, string> => ({
      ...Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce_${name}`, value])),
      'content-type': 'application/json',
      ...more,
    });

    test('in structured mode say what they are by their value', async () => {
      const value = JSON.stringify({ ...attributes, data: { quantity: '1.5', region: 'eu' } });
      const bad = JSON.stringify({ ...attributes, id: undefined });
      const topic = await produced([
        { value, headers: { 'content-type': 'application/cloudevents+json; charset=UTF-8' } },
        { value: bad },
      ]);
      const log = await open(topic);
      expect((await readToEnd(log, await firstOf(log))).map(decoded)).toEqual([expected, 'MISSING_FIELD']);
    });

    test('KAF-11: in binary mode have their attributes in headers', async () => {
      const data = '{"quantity":"1.5","region":"eu"}';
      const topic = await produced([
        { value: data, headers: headers() },
        { value: data, headers: headers({ 'content-type': 'application/vnd.acme+json; charset=utf-8' }) },
        // Nothing in the data can pass for an attribute.
        { value: '{}, "id": "2"', headers: headers() },
        { value: 'quantity=1', headers: headers({ 'content-type': 'text/plain' }) },
        { value: null, headers: headers() },
        { value: '{"quantity":0.12345678901234567890}', headers: headers() },
      ]);
      const log = await open(topic, { cloudEvents: true });
      const records = await readToEnd(log, await firstOf(log));
      const one = { ...expected, quantity: 1_000_000_000_000n, properties: '{}' };
      expect(records.map(decoded)).toEqual([
        expected,
        expected,
        'UNSUPPORTED_CLOUDEVENT',
        'UNSUPPORTED_CLOUDEVENT',
        one,
        'NUMBER_NEEDS_STRING',
      ]);
      // A replay gives the same bytes.
      const again = await readToEnd(await open(topic, { cloudEvents: true }), await firstOf(log));
      expect(again).toEqual(records);
      // Where it is not asked for, headers are none of our business.
      const plain = await open(topic);
      expect((await readToEnd(plain, await firstOf(plain))).map(decoded)[0]).toBe('UNKNOWN_FIELD');
    });
  });

  describe("Confluent's wire format", () => {
    let server: Server;
    let url = '';
    let asked: string[] = [];
    const schemas = new Map<number, object>();

    beforeAll(async () => {
      server = createServer((request, response) => {
        asked.push(`${request.url} ${request.headers.authorization ?? ''}`);
        const found = schemas.get(Number(/\/registry\/schemas\/ids\/(\d+)$/.exec(request.url ?? '')?.[1]));
        response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/vnd.schemaregistry.v1+json' });
        response.end(JSON.stringify(found ?? { error_code: 40403 }));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      url = `http://127.0.0.1:${(server.address() as { port: number }).port}/registry`;
    });
    afterAll(() => new Promise((resolve) => server.close(resolve)));

    test('is read by the writer’s schema, each asked for once', async () => {
      const own = eventType.schema({ exportAttrs: true, noDeref: false }) as { fields: object[] };
      // An older producer, without properties that have a default; and fields in another order.
      const other = { ...own, fields: [...own.fields].reverse() };
      schemas.set(1, { schema: JSON.stringify(own) });
      schemas.set(2, { schema: JSON.stringify(other) });
      schemas.set(3, { schema: JSON.stringify({ type: 'record', name: 'Other', fields: [{ name: 'a', type: 'int' }] }) });
      schemas.set(4, { schema: '{"type":"object"}', schemaType: 'JSON' });
      schemas.set(5, { schema: 'syntax = "proto3";', schemaType: 'PROTOBUF' });
      const reversed = avsc.Type.forSchema(other as unknown as avsc.Schema, { registry: {}, wrapUnions: 'never' });
      const body = eventType.toBuffer(toWire(event));
      const notText = Buffer.from(body);
      notText[1] = 0xff;
      const notTextReversed = Buffer.from(reversed.toBuffer(toWire(event)));
      notTextReversed[notTextReversed.indexOf('acme')] = 0xff;
      const json =
        '{"tenant_id":"acme","event_type":"api.call","quantity":"1.5","idempotency_key":"k-1","event_timestamp":"2026-09-21T14:13:20Z","properties":{"region":"eu"}}';
      const topic = await produced([
        { value: wire(1, body) },
        { value: wire(2, reversed.toBuffer(toWire(event))) },
        { value: wire(3, Buffer.from([2])) },
        { value: wire(4, Buffer.from(json)) },
        { value: wire(5, Buffer.from([0, 1, 2])) },
        { value: wire(9, body) },
        { value: wire(1, body.subarray(0, 9)) },
        { value: wire(1, notText) },
        { value: wire(2, notTextReversed) },
        { value: Buffer.from([0, 1]) },
        { value: Buffer.from(encodeEvent(event)) },
      ]);
      const registry = { url, user: 'u', password: 'p', refusedIds: [9] };
      const log = await open(topic, { registry });
      asked = [];
      const records = await readToEnd(log, await firstOf(log));
      expect(records.map(decoded)).toEqual([
        event,
        event,
        'UNDECODABLE',
        event,
        'UNDECODABLE',
        'UNDECODABLE',
        'UNDECODABLE',
        'BAD_TEXT',
        'UNDECODABLE',
        'UNDECODABLE',
        event,
      ]);
      // What is rejected is kept as it came.
      expect(Buffer.from(records[2]!.value)).toEqual(wire(3, Buffer.from([2])));
      expect(asked).toEqual([1, 2, 3, 4, 5].map((id) => `/registry/schemas/ids/${id} Basic dTpw`));
      expect(await readToEnd(log, await firstOf(log))).toEqual(records);
      expect(asked).toHaveLength(5);
    });

    test('a schema that the registry does not know is waited for, since it may get to know it', async () => {
      const topic = await produced([{ value: wire(77, eventType.toBuffer(toWire(event))) }]);
      const log = await open(topic, { registry: { url } });
      const { id, origin } = await firstOf(log);
      await using reader = log.open(id, origin);
      await expect(reader.next(new AbortController().signal)).rejects.toMatchObject({
        code: 'LOG_UNAVAILABLE',
        kind: 'transient',
        detail: { value: '77' },
      });
      schemas.set(77, { schema: JSON.stringify(eventType.schema({ exportAttrs: true, noDeref: false })) });
      await eventually(async () => {
        const batch = await reader.next(new AbortController().signal);
        expect(batch?.records.map(decoded)).toEqual([event]);
        return true;
      }, 'it is read');
    });

    test('our own records are read back byte by byte, whatever they begin with', async () => {
      const topic = await kafka().topic(1);
      const log = await open(topic);
      const value = wire(1, Buffer.from('x'));
      demandWritten(await log.append([{ routingKey: 'acme', value }]));
      expect(Buffer.from((await readToEnd(log, await firstOf(log)))[0]!.value)).toEqual(value);
    });
  });
});
