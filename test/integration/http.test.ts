import { once } from 'node:events';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { describe, expect, test } from 'vitest';
import type { Redriven, RedriveRequest } from '../../src/batch/redrive.ts';
import { encodeEvent } from '../../src/domain/avro.ts';
import { type Meter, meterSetOf } from '../../src/domain/meter.ts';
import { MeterError } from '../../src/errors.ts';
import { httpServer } from '../../src/serving/http/server.ts';
import { decodeToken } from '../../src/serving/http/tokens.ts';
import { cloudEvent, fakes, gateOf, LINEAGE, nativeEvent, NOW, positionOf, PROOF } from '../support/http-ports.ts';

const tokens: Meter = {
  key: 'tokens',
  eventType: 'tokens',
  aggregation: 'sum',
  value: ['usage', 'tokens'],
  groupBy: ['model', 'region'],
  filter: new Map([['kind', new Set(['chat'])]]),
  unit: 'tokens',
  holdMinutes: 0,
  version: 1,
};
const event = {
  tenant: 'acme',
  type: 'tokens',
  quantity: 12_500_000_000_000n,
  key: 'key-1',
  timestamp: Date.UTC(2026, 5, 1, 11, 59) * 1000,
  subject: null,
  properties: '{"model":"gpt"}',
};

const postEvents = (app: FastifyInstance, events: unknown, type = 'application/json') =>
  app.inject({ method: 'POST', url: '/v1/events', headers: { 'content-type': type }, payload: JSON.stringify(events) });

describe('POST /v1/events', () => {
  test('one event: 200 after the acknowledgement, with its place and a token', async () => {
    const { ports, log } = fakes();
    const response = await postEvents(httpServer(ports), nativeEvent());
    expect(response.statusCode).toBe(200);
    const { token, ...body } = response.json();
    const place = { lineage: LINEAGE, position: positionOf(0) };
    expect(body).toEqual({ accepted: 1, rejected: 0, filtered: 0, results: [{ index: 0, status: 'accepted', ...place }] });
    expect(decodeToken(token, 'after')).toEqual([place]);
    expect(log.records[0]).toMatchObject({ key: 'acme', value: encodeEvent(event) });
  });

  test('the same event comes out of all three content types, but for its key', async () => {
    const { ports, log } = fakes();
    const app = httpServer(ports);
    await postEvents(app, [nativeEvent({ idempotency_key: '4:/app:key-1' })]);
    await postEvents(app, cloudEvent(), 'application/cloudevents+json');
    await postEvents(app, [cloudEvent()], 'application/cloudevents-batch+json');
    const [first, ...others] = log.records.map(({ value }) => Buffer.from(value).toString('hex'));
    expect(others).toEqual([first, first]);
  });

  test('a batch is one call of the producer, and its token is the highest position alone', async () => {
    const { ports, log } = fakes();
    let calls = 0;
    const append = (records: Parameters<typeof log.append>[0]) => ((calls += 1), log.append(records));
    const producer = { control: log.control, append };
    const events = Array.from({ length: 1000 }, (_, n) => nativeEvent({ idempotency_key: `key-${n}` }));
    const body = (await postEvents(httpServer({ ...ports, producer }), events)).json();
    expect(body).toMatchObject({ accepted: 1000, rejected: 0 });
    expect(calls).toBe(1);
    expect(decodeToken(body.token, 'after')).toEqual([{ lineage: LINEAGE, position: positionOf(999) }]);
  });

  test('an empty batch is fine and asks nothing of the log', async () => {
    const body = (await postEvents(httpServer(fakes().ports), [])).json();
    expect(body).toMatchObject({ accepted: 0, rejected: 0, results: [] });
    expect(decodeToken(body.token, 'after')).toEqual([]);
  });

  test('the answer waits for the acknowledgement', async () => {
    const { ports, log } = fakes();
    const gate = gateOf();
    const producer = {
      control: log.control,
      append: async (records: Parameters<typeof log.append>[0]) => (await gate.opened, log.append(records)),
    };
    let isAnswered = false;
    const answer = postEvents(httpServer({ ...ports, producer }), nativeEvent()).then(() => (isAnswered = true));
    await new Promise(setImmediate);
    expect(isAnswered).toBe(false);
    gate.open();
    await answer;
    expect(isAnswered).toBe(true);
  });
});

describe('GET /v1/meters', () => {
  const ports = fakes({}, meterSetOf([tokens])).ports;

  test('lists the meters of the file, and one by its key', async () => {
    const app = httpServer(ports);
    const one = {
      key: 'tokens',
      version: 1,
      state: 'serving',
      event_type: 'tokens',
      aggregation: 'sum',
      value: 'usage.tokens',
      group_by: ['model', 'region'],
      filter: { kind: ['chat'] },
      unit: 'tokens',
    };
    expect((await app.inject('/v1/meters')).json()).toEqual({ implicit: false, rules: 1, meters: [one] });
    expect((await app.inject('/v1/meters/tokens')).json()).toEqual(one);
  });

  test('without a file, lists a sum meter for every event type that was seen', async () => {
    const body = (await httpServer(fakes().ports).inject('/v1/meters')).json();
    expect(body.meters).toEqual([expect.objectContaining({ key: 'tokens', aggregation: 'sum', value: 'quantity' })]);
  });

  test('event types that no meter uses are listed as such', async () => {
    const listEventTypes = async () => ['tokens', 'stray'].map((eventType) => ({ eventType, events: 2 }));
    const body = (await httpServer({ ...ports, listEventTypes }).inject('/v1/event-types')).json();
    expect(body.event_types).toEqual([
      { event_type: 'tokens', events: 2, meters: ['tokens'] },
      { event_type: 'stray', events: 2, meters: [] },
    ]);
  });

  test('a query hands over the question and gives rows with their proof', async () => {
    const { ports: p, query, log } = fakes({}, meterSetOf([tokens]));
    const start = Date.UTC(2026, 5, 1) / 60_000;
    const row = { start, end: start + 1440, value: '12.5', count: 1, group: { model: 'gpt' } };
    query.reply = async () => ({ rows: [row], proof: PROOF });
    const range = 'from=2026-06-01&to=2026-06-03T00:00%2B00:00&window=day&zone=UTC';
    const url = `/v1/meters/tokens/query?tenant=acme&${range}&group_by=model&filter[region]=eu&filter%5Bregion%5D=us`;
    expect((await httpServer(p).inject(url)).json()).toEqual({
      meter: 'tokens',
      version: 1,
      unit: 'tokens',
      tenant: 'acme',
      from: '2026-06-01T00:00:00Z',
      to: '2026-06-03T00:00:00Z',
      window: 'day',
      zone: 'UTC',
      rows: [{ ...row, start: '2026-06-01T00:00:00Z', end: '2026-06-02T00:00:00Z' }],
      proof: PROOF,
    });
    expect(query.questions).toEqual([
      {
        meter: tokens,
        tenant: 'acme',
        edges: [start, start + 1440, start + 2880],
        groupBy: ['model'],
        filter: new Map([['region', new Set(['eu', 'us'])]]),
        after: undefined,
      },
    ]);
    expect(log.opened).toBe(0);
  });

  test('the token of a write is what the query is asked to wait for', async () => {
    const { ports: p, query } = fakes();
    const app = httpServer(p);
    const gate = gateOf();
    query.reply = async () => (await gate.opened, { rows: [], proof: PROOF });
    const { token } = (await postEvents(app, [nativeEvent(), nativeEvent()])).json();
    const waiting = app.inject(`/v1/meters/tokens/query?from=2026-06-01&to=2026-06-02&after=${token}`);
    await expect.poll(() => query.questions.length).toBe(1);
    expect(query.questions[0]?.after).toEqual([{ lineage: LINEAGE, position: positionOf(1) }]);
    gate.open();
    expect((await waiting).json()).toMatchObject({ tenant: null, window: 'range', zone: 'UTC' });
  });
});

describe('implicit meters', () => {
  test('a type is asked for until it is seen, and then no more', async () => {
    let [asked, isSeen] = [0, false];
    const app = httpServer(fakes({ knowsEventType: async () => ((asked += 1), isSeen) }).ports);
    const url = '/v1/meters/tokens/query?from=2026-06-01&to=2026-06-02';
    expect((await app.inject(url)).statusCode).toBe(404);
    isSeen = true;
    for (let n = 0; n < 3; n += 1) expect((await app.inject(url)).statusCode).toBe(200);
    expect(asked).toBe(2);
  });

  test('a caller reads its own write, though it is the first of its type', async () => {
    const { ports, query } = fakes({ knowsEventType: async () => isApplied });
    let isApplied = false;
    query.reply = async () => ((isApplied = true), { rows: [], proof: PROOF });
    const app = httpServer(ports);
    const { token } = (await postEvents(app, nativeEvent({ event_type: 'new' }))).json();
    const url = `/v1/meters/new/query?from=2026-06-01&to=2026-06-02&tenant=other&after=${token}`;
    expect((await app.inject(url)).statusCode).toBe(200);
  });
});

describe('lists', () => {
  test('tenants', async () => {
    expect((await httpServer(fakes().ports).inject('/v1/tenants')).json()).toEqual({
      tenants: [{ tenant: 'acme', events: 3 }],
    });
  });

  test('events come in their native form, a page at a time', async () => {
    const asked: unknown[] = [];
    const listed = { lineage: LINEAGE, position: positionOf(0), arrival: NOW, event };
    const listEvents = async (request: unknown) => (asked.push(request), { rows: [listed], next: 'abc' });
    const app = httpServer(fakes({ listEvents }).ports);
    const body = (await app.inject('/v1/events?tenant=acme&limit=1&cursor=xyz')).json();
    expect(asked).toEqual([{ tenant: 'acme', limit: 1, cursor: 'xyz' }]);
    const place = { lineage: LINEAGE, position: positionOf(0), arrival: '2026-06-01T12:00:00Z' };
    expect(body).toEqual({ events: [{ ...nativeEvent(), subject: null, ...place }], next: 'abc' });
  });

  test('rejects are told whole: as event, as text, or as bytes', async () => {
    const reject = {
      lineage: LINEAGE,
      position: positionOf(0),
      code: 'X',
      field: null,
      reason: 'y',
      arrival: NOW,
      key: 'k',
      tenant: 't',
      eventType: null,
    };
    const values = [encodeEvent(event), Buffer.from('{"a":'), Buffer.from([1, 2, 3])];
    const listRejects = async () => ({
      rows: values.map((value, n) => ({ ...reject, value, redrivenAt: n === 0 ? NOW : null })),
      next: undefined,
    });
    const { rejects, next } = (await httpServer(fakes({ listRejects }).ports).inject('/v1/rejects?code=X')).json();
    expect(rejects[0]).toMatchObject({ code: 'X', tenant_id: 't', event_type: null, event: { tenant_id: 'acme' } });
    expect(rejects[0].redriven_at).toBe('2026-06-01T12:00:00Z');
    expect(rejects[1]).toMatchObject({ value_text: '{"a":', redriven_at: null });
    expect(rejects[2]).toMatchObject({ value_base64: 'AQID' });
    expect(next).toBeNull();
  });
});

describe('a redrive', () => {
  const post = async (payload: string, answer: Redriven) => {
    const asked: RedriveRequest[] = [];
    const redrive = async (request: RedriveRequest) => {
      asked.push(request);
      return answer;
    };
    const app = httpServer(fakes({ redrive }).ports);
    const headers = { 'content-type': 'application/json' };
    const response = await app.inject({ method: 'POST', url: '/v1/rejects/redrive', headers, payload });
    return { asked, body: response.json() };
  };

  test('hands on every part of the filter; arrival is in whole milliseconds, none of which lies between', async () => {
    const filter = { code: 'A', tenant: 'acme', lineage: LINEAGE, position: positionOf(3) };
    const times = { since: '2026-06-01T12:00:00.0001Z', before: '2026-06-01' };
    const { asked } = await post(JSON.stringify({ ...filter, ...times, dry_run: true, cursor: 'abc' }), DONE);
    const whole = { ...filter, since: NOW + 1, before: NOW - 12 * 3_600_000 };
    expect(asked).toEqual([{ filter: whole, dryRun: true, cursor: 'abc' }]);
    expect((await post('{}', DONE)).asked).toEqual([{ filter: {}, dryRun: false }]);
  });

  test('tells what became of the page, in sums and by code', async () => {
    const { body } = await post('{"dry_run": false}', DONE);
    expect(body).toEqual({
      dry_run: false,
      judged: 9,
      would_count: 5,
      redriven: 4,
      fates: DONE.fates,
      next: null,
    });
    expect((await post('{}', { fates: [], redriven: 0, next: 'n' })).body).toMatchObject({ judged: 0, next: 'n' });
  });
});

const DONE: Redriven = {
  fates: [
    { code: 'A', now: 'ok', rejects: 2 },
    { code: 'A', now: 'B', rejects: 4 },
    { code: 'C', now: 'ok', rejects: 3 },
  ],
  redriven: 4,
  next: undefined,
};

describe('the audit of the log', () => {
  test('pages through every record, each once, whatever the batches of the source', async () => {
    const { ports, log } = fakes();
    const app = httpServer(ports);
    await postEvents(
      app,
      Array.from({ length: 10 }, (_, n) => nativeEvent({ idempotency_key: `key-${n}` })),
    );
    log.records.splice(4, 1, { ...log.records[4]!, key: null, value: new Uint8Array(), control: { type: 'tick' } });
    log.records.splice(5, 1, { ...log.records[5]!, value: Buffer.from([1, 2, 3]) });
    const seen: Record<string, unknown>[] = [];
    let from = '';
    for (let page = 0; page < 5; page += 1) {
      const body = (await app.inject(`/v1/log/${LINEAGE}?limit=4${from}`)).json();
      seen.push(...body.records);
      from = `&from=${body.next}`;
    }
    expect(seen.map((r) => r.position)).toEqual(Array.from({ length: 10 }, (_, n) => positionOf(n)));
    expect(seen.map((r) => r.kind)).toEqual([...Array(4).fill('event'), 'tick', 'undecodable', ...Array(4).fill('event')]);
    expect(seen[0]).toMatchObject({ key: 'acme', arrival: '2026-06-01T12:00:00Z', event: { idempotency_key: 'key-0' } });
    expect(seen[5]).toMatchObject({ code: 'UNDECODABLE', value_base64: 'AQID' });
  });

  test('what retention took is said, not skipped', async () => {
    const { ports, log } = fakes();
    await postEvents(httpServer(ports), [nativeEvent(), nativeEvent()]);
    log.first = 1;
    const response = await httpServer(ports).inject(`/v1/log/${LINEAGE}?from=${positionOf(0)}`);
    expect(response.json()).toMatchObject({ status: 400, field: 'from', allowed: `${positionOf(1)} to ${positionOf(2)}` });
  });

  test('lineages are listed with their bounds', async () => {
    const body = (await httpServer(fakes().ports).inject('/v1/lineages')).json();
    expect(body.lineages).toEqual([
      { lineage: LINEAGE, parents: [], depth: 0, origin: positionOf(0), first: positionOf(0), end: positionOf(0) },
    ]);
  });
});

describe('health', () => {
  test('the process is up, whatever its dependencies say', async () => {
    const ready = async () => Promise.reject(new Error('no'));
    expect((await httpServer(fakes({ ready }).ports).inject('/healthz')).json()).toEqual({ status: 'up' });
  });

  test('ready names every dependency, and is 503 while one is missing', async () => {
    const dependencies = [
      { name: 'database', ok: true },
      { name: 'speed', ok: false, detail: 'starting' },
    ];
    const app = httpServer(fakes({ ready: async () => dependencies }).ports);
    const response = await app.inject('/readyz');
    expect(response.statusCode).toBe(503);
    expect(response.headers['retry-after']).toBe('1');
    expect(response.json()).toEqual({ status: 'not ready', dependencies });
    expect((await httpServer(fakes().ports).inject('/readyz')).json().status).toBe('ready');
  });

  test('a check that throws is not ready', async () => {
    const ready = async () => Promise.reject(new MeterError('DATABASE_UNAVAILABLE', 'connect 10.0.0.1'));
    const response = await httpServer(fakes({ ready }).ports).inject('/readyz');
    expect(response.statusCode).toBe(503);
    expect(response.json().dependencies).toEqual([
      { name: 'DATABASE_UNAVAILABLE', ok: false, detail: 'the database cannot be reached' },
    ]);
  });

  test('metrics count events and requests, each server in its own registry', async () => {
    const { ports } = fakes();
    const app = httpServer(ports);
    await postEvents(app, [nativeEvent(), nativeEvent({ quantity: '-1' })]);
    await app.inject('/nowhere/123');
    const response = await app.inject('/metrics');
    expect(response.headers['content-type']).toContain('text/plain');
    expect(response.body).toContain('meterfold_events_accepted_total 1\n');
    expect(response.body).toContain('meterfold_events_refused_total{code="NEGATIVE_QUANTITY"} 1\n');
    expect(response.body).toContain('meterfold_http_requests_total{method="POST",route="/v1/events",status="200"} 1\n');
    expect(response.body).toContain('meterfold_http_requests_total{method="GET",route="unmatched",status="404"} 1\n');
    expect(response.body).toContain('meterfold_http_request_seconds_count{route="/v1/events"} 1\n');
    expect((await httpServer(fakes().ports).inject('/metrics')).body).toContain('meterfold_events_accepted_total 0\n');
  });

  test('verify answers with the report, and there is no such route without it', async () => {
    const verify = async () => ({ ok: false, differences: 1 });
    const response = await httpServer(fakes({ verify }).ports).inject({ method: 'POST', url: '/v1/verify' });
    expect(response.json()).toEqual({ ok: false, differences: 1 });
    expect((await httpServer(fakes().ports).inject({ method: 'POST', url: '/v1/verify' })).statusCode).toBe(404);
  });

  test('what events contain is never logged', async () => {
    const { ports, lines } = fakes();
    const app = httpServer(ports);
    await postEvents(app, [nativeEvent({ properties: { secret: 'sesame' } }), nativeEvent({ quantity: 'sesame' })]);
    await postEvents(app, nativeEvent({ tenant_id: 'sesame\0' }));
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.join('')).not.toContain('sesame');
  });
});

describe('paths and methods that are not served', () => {
  test('an unknown path is a 404 problem', async () => {
    const response = await httpServer(fakes().ports).inject('/v2/events?secret=1');
    expect(response.json()).toMatchObject({
      status: 404,
      code: 'NOT_FOUND',
      type: 'https://meterfold.dev/problems/not-found',
    });
    expect(response.body).not.toContain('secret');
  });

  test.each([
    ['DELETE', '/v1/events', 'GET, HEAD, POST'],
    ['PUT', '/v1/events', 'GET, HEAD, POST'],
    ['OPTIONS', '/v1/meters/x/query', 'GET, HEAD'],
    ['POST', '/healthz', 'GET, HEAD'],
  ] as const)('%s %s is a 405 problem that says what is allowed, whatever the body', async (method, url, allow) => {
    const headers = { 'content-type': 'text/csv' };
    const response = await httpServer(fakes().ports).inject({ method, url, headers, payload: 'a,b' });
    expect(response.statusCode).toBe(405);
    expect(response.headers.allow).toBe(allow);
    expect(response.json()).toMatchObject({ code: 'METHOD_NOT_ALLOWED', allowed: allow });
  });

  test('a path that cannot be decoded is a 400 problem', async () => {
    const response = await httpServer(fakes().ports).inject('/v1/meters/%zz');
    expect(response.statusCode).toBe(400);
    expect(response.json()).toMatchObject({ code: 'BAD_REQUEST', field: 'path' });
  });

  test('bytes that are no HTTP get a problem and the end of the connection', async () => {
    const app = httpServer(fakes().ports);
    await app.listen({ port: 0, host: '127.0.0.1' });
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
    let told = '';
    socket.on('data', (bytes: Buffer) => (told += bytes.toString()));
    socket.end('NONSENSE\r\n\r\n');
    await once(socket, 'close');
    await app.close();
    expect(told).toContain('HTTP/1.1 400 Bad Request');
    expect(told).toContain('application/problem+json');
    expect(JSON.parse(told.slice(told.indexOf('{')))).toMatchObject({ status: 400, code: 'BAD_REQUEST' });
  });
});

describe('without keys the server speaks to this machine alone', () => {
  const ask = (headers: Record<string, string>, insecure = false) => {
    const { ports } = fakes();
    return httpServer({ ...ports, config: { ...ports.config, insecure } }).inject({ url: '/healthz', headers });
  };

  test.each(['localhost', 'localhost:8080', '127.0.0.1:1', '[::1]:8080', 'LOCALHOST'])('Host %s is served', async (host) => {
    expect((await ask({ host })).statusCode).toBe(200);
  });

  test.each(['evil.example', 'localhost.evil.example', '127.0.0.1.nip.io:8080', '0.0.0.0', 'localhost:8080@evil'])(
    'Host %j is refused',
    async (host) => {
      const response = await ask({ host });
      expect(response.json()).toMatchObject({ status: 403, code: 'FORBIDDEN_HOST' });
    },
  );

  test.each(['http://evil.example', 'null', 'http://localhost:9090', 'https://localhost:8080'])(
    'Origin %s is refused',
    async (origin) => {
      const response = await ask({ host: 'localhost:8080', origin });
      expect(response.json()).toMatchObject({ status: 403, code: 'FORBIDDEN_ORIGIN', field: 'origin' });
    },
  );

  test('the same origin is served', async () => {
    expect((await ask({ host: 'localhost:8080', origin: 'http://localhost:8080' })).statusCode).toBe(200);
  });

  test('insecure serves any name', async () => {
    expect((await ask({ host: 'meter.example', origin: 'http://evil.example' }, true)).statusCode).toBe(200);
  });

  test('no answer lets a browser guess, frame, keep or share it', async () => {
    for (const { headers } of [await ask({ host: 'localhost' }), await ask({ host: 'evil.example' })]) {
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(headers['cache-control']).toBe('no-store');
      expect(headers['access-control-allow-origin']).toBeUndefined();
    }
  });
});
