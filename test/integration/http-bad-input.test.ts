/** The table of bad input: each row, as a caller sees it. */
import type { FastifyInstance } from 'fastify';
import { describe, expect, test } from 'vitest';
import { MeterError } from '../../src/errors.ts';
import { httpServer } from '../../src/serving/http/server.ts';
import { cloudEvent, type Fakes, fakes, LINEAGE, nativeEvent, positionOf } from '../support/http-ports.ts';
import { meterSetOf } from '../../src/domain/meter.ts';
import { encodeToken } from '../../src/serving/http/tokens.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

const post = (app: FastifyInstance, payload: string | Buffer, headers: Record<string, string> = JSON_TYPE, query = '') =>
  app.inject({ method: 'POST', url: `/v1/events${query}`, headers, payload });
const postEvents = (app: FastifyInstance, events: unknown, query = '') =>
  post(app, JSON.stringify(events), JSON_TYPE, query);

const opened = (overrides: Parameters<typeof fakes>[0] = {}): Fakes & { app: FastifyInstance } => {
  const made = fakes(overrides);
  return { ...made, app: httpServer(made.ports) };
};

describe('a body that cannot be read is refused whole, as problem details', () => {
  const long = JSON.stringify([nativeEvent({ properties: { text: 'x'.repeat(5 * 1024 * 1024) } })]);
  const many = JSON.stringify(Array.from({ length: 1001 }, () => nativeEvent()));
  test.each([
    ['not JSON', '{"tenant_id":', JSON_TYPE, 400, 'NOT_JSON', 'body'],
    ['no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), JSON_TYPE, 400, 'INVALID_UTF8', 'body'],
    ['an empty body', '', JSON_TYPE, 400, 'NOT_JSON', 'body'],
    ['a wrong content type', 'a,b', { 'content-type': 'text/csv' }, 415, 'WRONG_CONTENT_TYPE', 'content-type'],
    ['a malformed content type', '{}', { 'content-type': 'json' }, 415, 'WRONG_CONTENT_TYPE', 'content-type'],
    ['no content type', '{}', {}, 415, 'WRONG_CONTENT_TYPE', 'content-type'],
    [
      'another charset',
      '{}',
      { 'content-type': 'application/json; charset=latin1' },
      415,
      'WRONG_CONTENT_TYPE',
      'content-type',
    ],
    ['a compressed body', '{}', { ...JSON_TYPE, 'content-encoding': 'gzip' }, 415, 'WRONG_CONTENT_TYPE', 'content-encoding'],
    ['over 5 MB', long, JSON_TYPE, 413, 'TOO_LARGE', 'body'],
    ['over 1,000 events', many, JSON_TYPE, 413, 'TOO_MANY_EVENTS', 'body'],
    ['a list that should be one', '[]', { 'content-type': 'application/cloudevents+json' }, 400, 'BAD_REQUEST', 'body'],
    [
      'one that should be a list',
      '{}',
      { 'content-type': 'application/cloudevents-batch+json' },
      400,
      'BAD_REQUEST',
      'body',
    ],
  ])('%s', async (_, payload, headers, status, code, field) => {
    const { app, log } = opened();
    const response = await post(app, payload, headers);
    expect(response.statusCode).toBe(status);
    expect(response.headers['content-type']).toContain('application/problem+json');
    const problem = response.json();
    expect(problem).toMatchObject({ status, code, field });
    expect(problem.type).toBe(`https://meterfold.dev/problems/${code.toLowerCase().replaceAll('_', '-')}`);
    expect(problem.title).not.toBe('');
    expect(log.records).toHaveLength(0);
  });

  test('an unknown query parameter is refused with those that are known', async () => {
    const response = await postEvents(opened().app, nativeEvent(), '?histroy=1');
    expect(response.json()).toMatchObject({ status: 400, code: 'BAD_REQUEST', field: 'histroy', allowed: 'history' });
  });
});

describe('each bad event is rejected with its own code, the good ones beside it are written', () => {
  const bad: readonly (readonly [string, Record<string, unknown>, string, string])[] = [
    ['missing tenant', { tenant_id: undefined }, 'MISSING_FIELD', 'tenant_id'],
    ['missing type', { event_type: undefined }, 'MISSING_FIELD', 'event_type'],
    ['missing key', { idempotency_key: undefined }, 'MISSING_FIELD', 'idempotency_key'],
    ['missing time', { event_timestamp: undefined }, 'MISSING_FIELD', 'event_timestamp'],
    ['empty tenant', { tenant_id: '' }, 'EMPTY', 'tenant_id'],
    ['over-long tenant', { tenant_id: 'é'.repeat(129) }, 'TOO_LONG', 'tenant_id'],
    ['over-long key', { idempotency_key: 'k'.repeat(257) }, 'TOO_LONG', 'idempotency_key'],
    ['negative quantity', { quantity: '-1' }, 'NEGATIVE_QUANTITY', 'quantity'],
    ['non-decimal quantity', { quantity: 'ten' }, 'NOT_A_DECIMAL', 'quantity'],
    ['quantity of another type', { quantity: true }, 'WRONG_TYPE', 'quantity'],
    ['over 38 digits', { quantity: '1'.repeat(39) }, 'TOO_MANY_DIGITS', 'quantity'],
    ['over 12 fractional digits', { quantity: '0.0000000000001' }, 'TOO_MANY_DIGITS', 'quantity'],
    ['a time without offset', { event_timestamp: '2026-06-01T11:59:00' }, 'BAD_TIME', 'event_timestamp'],
    ['a day that is not on the calendar', { event_timestamp: '2026-02-30T00:00:00Z' }, 'BAD_TIME', 'event_timestamp'],
    ['over 5 min in the future', { event_timestamp: '2026-06-01T12:05:00.001Z' }, 'TOO_FAR_IN_FUTURE', 'event_timestamp'],
    ['older than the bound of the edge', { event_timestamp: '2026-04-27T11:59:59Z' }, 'TOO_OLD', 'event_timestamp'],
    ['a time before 1970', { event_timestamp: '1969-12-31T23:59:59Z' }, 'TIME_BEFORE_1970', 'event_timestamp'],
    ['NUL', { tenant_id: 'a\0b' }, 'BAD_TEXT', 'tenant_id'],
    ['a lone surrogate', { event_type: '\ud800' }, 'BAD_TEXT', 'event_type'],
    ['NUL in properties', { properties: { a: { b: '\0' } } }, 'BAD_TEXT', 'properties.a.b'],
    ['an unknown field', { tenant: 'acme' }, 'UNKNOWN_FIELD', 'tenant'],
    ['properties over 32 KiB', { properties: { a: 'x'.repeat(32 * 1024) } }, 'PROPERTIES_TOO_LARGE', 'properties'],
    // Names that a fault has too: the caller's object is never taken for one.
    ['fields called code and reason', { code: 'EVIL', reason: 'x' }, 'UNKNOWN_FIELD', 'code'],
  ];
  test.each(bad)('%s', async (_, fields, code, field) => {
    const { app, log } = opened();
    const response = await postEvents(app, [nativeEvent(), nativeEvent(fields), nativeEvent({ idempotency_key: 'key-2' })]);
    expect(response.statusCode).toBe(200);
    const body = response.json();
    expect(body).toMatchObject({ accepted: 2, rejected: 1 });
    expect(body.results[1]).toMatchObject({ index: 1, status: 'rejected', code, field });
    expect(typeof body.results[1].value).toBe('string');
    expect(body.results[2]).toEqual({ index: 2, status: 'accepted', lineage: LINEAGE, position: positionOf(1) });
    expect(log.records).toHaveLength(2);
  });

  test('a number of more than 15 digits asks for a string, and harms no event beside it', async () => {
    const { app } = opened();
    const text = JSON.stringify([nativeEvent({ quantity: 7 }), nativeEvent()]).replace(':7,', ':1234567890.1234567,');
    const body = (await post(app, text)).json();
    expect(body.results[0]).toMatchObject({ status: 'rejected', code: 'NUMBER_NEEDS_STRING', value: '1234567890.1234567' });
    expect(body.results[1].status).toBe('accepted');
  });

  test.each([null, 7, 'text', []])('an entry that is no object: %j', async (entry) => {
    const body = (await postEvents(opened().app, [entry])).json();
    expect(body).toMatchObject({ accepted: 0, rejected: 1, results: [{ index: 0, code: 'NOT_AN_OBJECT' }] });
  });

  test('a bad CloudEvent in a batch', async () => {
    const { app } = opened();
    const events = [cloudEvent({ time: undefined }), cloudEvent(), cloudEvent({ specversion: '0.3' })];
    const headers = { 'content-type': 'application/cloudevents-batch+json; charset=utf-8' };
    const body = (await post(app, JSON.stringify(events), headers)).json();
    expect(body).toMatchObject({ accepted: 1, rejected: 2 });
    expect(body.results.map((r: { code?: string }) => r.code)).toEqual([
      'MISSING_FIELD',
      undefined,
      'UNSUPPORTED_CLOUDEVENT',
    ]);
  });

  test('a single bad event is a problem that names code, field and value', async () => {
    const { app, log } = opened();
    const response = await postEvents(app, nativeEvent({ quantity: '-1' }));
    expect(response.statusCode).toBe(422);
    expect(response.json()).toMatchObject({ code: 'NEGATIVE_QUANTITY', field: 'quantity', value: '-1', status: 422 });
    expect(log.records).toHaveLength(0);
  });

  test('history lifts the bound on the past, not the one on the future', async () => {
    const events = [
      nativeEvent({ event_timestamp: '2001-01-01T00:00:00Z' }),
      nativeEvent({ event_timestamp: '2027-01-01T00:00:00Z' }),
    ];
    const body = (await postEvents(opened().app, events, '?history=1')).json();
    expect(body.results.map((r: { status: string }) => r.status)).toEqual(['accepted', 'rejected']);
  });

  test('what is not kept is refused also as history, five minutes before its worker would', async () => {
    const config = { pastBoundMs: 35 * 86_400_000, maxBodyBytes: 1e6, maxEventsPerRequest: 9, insecure: false };
    const { app } = opened({ config: { ...config, keyRetentionMs: 86_400_000, usageRetentionMonths: 0 } });
    // The clock stands at 2026-06-01T12:00:00Z.
    const times = ['2026-05-31T12:05:00Z', '2026-05-31T12:04:59Z'];
    const events = times.map((event_timestamp) => nativeEvent({ event_timestamp }));
    const { results } = (await postEvents(app, events, '?history=1')).json();
    expect(results).toMatchObject([{ status: 'accepted' }, { code: 'TOO_OLD', field: 'event_timestamp' }]);
    expect(results[1].reason).toContain('keyRetentionMs');
  });
});

describe('while the log is down nothing is claimed', () => {
  test.each([
    ['one record without acknowledgement', new Error('broker: connection to 10.1.2.3 lost')],
    ['the log says when to come back', new MeterError('DATABASE_UNAVAILABLE', 'pg 10.1.2.3', { retryAfterMs: 2500 })],
  ])('%s: 503 with Retry-After', async (_, outcome) => {
    const { app, log } = opened();
    log.outcome = outcome;
    const response = await postEvents(app, [nativeEvent(), nativeEvent({ idempotency_key: 'key-2' })]);
    expect(response.statusCode).toBe(503);
    expect(response.headers['retry-after']).toBe(outcome instanceof MeterError ? '3' : '1');
    expect(response.json()).toMatchObject({ code: 'LOG_UNAVAILABLE' });
    expect(response.body).not.toContain('10.1.2.3');
    expect(response.body).not.toContain('accepted');
  });

  test('the producer throws: 503, and the next request succeeds by itself', async () => {
    const { app, log } = opened();
    log.thrown = new MeterError('DATABASE_UNAVAILABLE', 'connect');
    expect((await postEvents(app, [nativeEvent()])).statusCode).toBe(503);
    log.thrown = undefined;
    expect((await postEvents(app, [nativeEvent()])).statusCode).toBe(200);
  });

  test('a defect is a 500 that tells nothing of its inside', async () => {
    const { app, log, lines } = opened();
    log.thrown = new TypeError('secret of /var/lib');
    const response = await postEvents(app, [nativeEvent()]);
    expect(response.statusCode).toBe(500);
    expect(response.body).not.toContain('secret');
    expect(lines.join('')).toContain('secret of /var/lib');
  });
});

describe('a bad query names the field and what is allowed', () => {
  const grouped = meterSetOf([
    {
      key: 'tokens',
      eventType: 'tokens',
      aggregation: 'sum',
      value: 'quantity',
      groupBy: ['model'],
      filter: new Map(),
      unit: 'tokens',
      holdMinutes: 0,
      version: 1,
    },
  ]);
  const RANGE = 'from=2026-06-01T00:00Z&to=2026-06-02T00:00Z';
  const foreign = encodeToken([{ lineage: 'pg.other.0', position: positionOf(1) }]);
  test.each([
    ['unknown meter', '/v1/meters/none/query', RANGE, 404, 'meter', 'GET /v1/meters'],
    ['window', '/v1/meters/tokens/query', `${RANGE}&window=week`, 400, 'window', 'minute, hour, day, month, range'],
    ['zone', '/v1/meters/tokens/query', `${RANGE}&zone=Mars/Base`, 400, 'zone', 'IANA'],
    ['group', '/v1/meters/tokens/query', `${RANGE}&group_by=region`, 400, 'group_by', 'model'],
    ['the same group twice', '/v1/meters/tokens/query', `${RANGE}&group_by=model,model`, 400, 'group_by', 'different'],
    ['filter', '/v1/meters/tokens/query', `${RANGE}&filter[region]=eu`, 400, 'filter[region]', 'model'],
    ['malformed token', '/v1/meters/tokens/query', `${RANGE}&after=xyz`, 400, 'after', 'token'],
    ['token of another log', '/v1/meters/tokens/query', `${RANGE}&after=${foreign}`, 400, 'after', 'token of this log'],
    ['from = to', '/v1/meters/tokens/query', 'from=2026-06-01&to=2026-06-01', 400, 'from', 'before to'],
    ['from > to', '/v1/meters/tokens/query', 'from=2026-06-02&to=2026-06-01', 400, 'from', 'before to'],
    ['no whole minute', '/v1/meters/tokens/query', 'from=2026-06-01T00:00:30Z&to=2026-06-02', 400, 'from', 'whole minute'],
    ['no offset', '/v1/meters/tokens/query', 'from=2026-06-01&to=2026-06-02T00:00', 400, 'to', 'offset'],
    ['before 1970', '/v1/meters/tokens/query', 'from=1960-06-01&to=2026-06-02', 400, 'from', '1970'],
    ['from is missing', '/v1/meters/tokens/query', 'to=2026-06-02', 400, 'from', 'whole minute'],
    ['too many windows', '/v1/meters/tokens/query', 'from=2020-01-01&to=2026-01-01&window=minute', 400, 'window', '10000'],
    ['an unknown parameter', '/v1/meters/tokens/query', `${RANGE}&tennant=a`, 400, 'tennant', 'tenant'],
    ['a parameter twice', '/v1/meters/tokens/query', `${RANGE}&tenant=a&tenant=b`, 400, 'tenant', 'one value'],
    ['an empty tenant', '/v1/meters/tokens/query', `${RANGE}&tenant=`, 400, 'tenant', '256'],
    ['NUL in the tenant', '/v1/meters/tokens/query', `${RANGE}&tenant=%00`, 400, 'tenant', 'NUL'],
    ['a limit of 0', '/v1/events', 'limit=0', 400, 'limit', '1 to 1000'],
    ['a limit above the most', '/v1/rejects', 'limit=1001', 400, 'limit', '1 to 1000'],
    ['a cursor that is none', '/v1/events', 'cursor=%20', 400, 'cursor', 'next'],
    ['a parameter where there is none', '/v1/tenants', 'x=1', 400, 'x', 'no parameters'],
    ['a position that is none', `/v1/log/${LINEAGE}`, 'from=abc', 400, 'from', positionOf(0)],
    ['a position of another width', `/v1/log/${LINEAGE}`, 'from=7', 400, 'from', positionOf(0)],
    ['an unknown lineage', '/v1/log/pg.x.0', '', 404, 'lineage', '/v1/lineages'],
  ])('%s', async (_, path, query, status, field, allowed) => {
    const made = fakes({}, grouped);
    const response = await httpServer(made.ports).inject({ url: `${path}?${query}` });
    expect(response.statusCode).toBe(status);
    const problem = response.json();
    expect(problem.field).toBe(field);
    expect(problem.allowed).toContain(allowed);
    expect(made.query.questions).toHaveLength(0);
  });

  test('an implicit meter whose event type was never seen is unknown', async () => {
    const response = await opened().app.inject({ url: `/v1/meters/never/query?${RANGE}` });
    expect(response.json()).toMatchObject({
      status: 404,
      code: 'UNKNOWN_METER',
      value: 'never',
      allowed: 'a key of GET /v1/meters',
    });
  });

  test.each([
    ['STARTING', 503, 'filled'],
    ['AFTER_TIMEOUT', 503, 'filled'],
    ['ARCHIVE_DAMAGED', 503, 'the log of the server names it'],
    ['LOG_REPLACED', 500, 'fault of its own'],
  ] as const)('%s while reading is %i', async (code, status, detail) => {
    const { app, query } = opened();
    query.reply = async () => Promise.reject(new MeterError(code, 'still being filled, /data/segments/x.avro'));
    const response = await app.inject({ url: `/v1/meters/tokens/query?${RANGE}` });
    expect(response.statusCode).toBe(status);
    expect(response.headers['retry-after']).toBe(status === 503 ? '1' : undefined);
    expect(response.json().detail).toContain(detail);
    if (code !== 'STARTING' && code !== 'AFTER_TIMEOUT') expect(response.body).not.toContain('segments/x');
  });
});

describe('a redrive that is asked in a wrong way is refused, and nothing is redriven', () => {
  test.each([
    ['no object', '[]', 'body', 'dry_run'],
    ['null', 'null', 'body', 'dry_run'],
    ['a text for dry_run', '{"dry_run": "true"}', 'dry_run', 'true, false'],
    ['a number for dry_run', '{"dry_run": 1}', 'dry_run', 'true, false'],
    ['null for dry_run', '{"dry_run": null}', 'dry_run', 'true, false'],
    ['a number for a code', '{"code": 7}', 'code', 'a text'],
    ['a list of codes', '{"code": ["A"]}', 'code', 'a text'],
    ['an empty tenant', '{"tenant": ""}', 'tenant', '256'],
    ['an unknown field', '{"dryrun": true}', 'dryrun', 'dry_run, code'],
    ['an unknown field of any type', '{"limit": 5}', 'limit', 'dry_run, code'],
    ['a time without offset', '{"since": "2026-06-01T00:00"}', 'since', 'ISO 8601'],
    ['a time that is none', '{"before": "yesterday"}', 'before', 'ISO 8601'],
    ['a position without its lineage', '{"position": "7"}', 'lineage', 'lineage of the position'],
    ['a cursor that is none', '{"cursor": " "}', 'cursor', 'next'],
  ])('%s', async (_, payload, field, allowed) => {
    let calls = 0;
    const redrive = async () => Promise.reject(new Error(`called ${String((calls += 1))} times`));
    const { app } = opened({ redrive });
    const response = await app.inject({ method: 'POST', url: '/v1/rejects/redrive', headers: JSON_TYPE, payload });
    expect(response.statusCode).toBe(400);
    expect(response.headers['content-type']).toContain('application/problem+json');
    expect(response.json()).toMatchObject({ code: 'BAD_REQUEST', field });
    expect(response.json().allowed).toContain(allowed);
    expect(calls).toBe(0);
  });

  test.each([
    ['not JSON', '{', JSON_TYPE, '', 400, 'NOT_JSON'],
    ['no content type', '{}', {}, '', 415, 'WRONG_CONTENT_TYPE'],
    ['a filter in the query', '{}', JSON_TYPE, '?code=A', 400, 'BAD_REQUEST'],
  ])('%s', async (_, payload, headers, query, status, code) => {
    const { app } = opened({ redrive: async () => Promise.reject(new Error('called')) });
    const response = await app.inject({ method: 'POST', url: `/v1/rejects/redrive${query}`, headers, payload });
    expect([response.statusCode, response.json().code]).toEqual([status, code]);
  });
});
