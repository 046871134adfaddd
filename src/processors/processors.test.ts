import { describe, expect, test } from 'vitest';
import { fixedRules, ruleSet } from '../../test/support/rules.ts';
import type { At, Judged, Lineage, LogRecord } from '../contract.ts';
import { encodeEvent } from '../domain/avro.ts';
import type { UsageEvent } from '../domain/event.ts';
import { FOR_EVER } from '../domain/kept.ts';
import { implicitMeters, type Meter, type MeterSet, meterSetOf } from '../domain/meter.ts';
import type { RuleSet } from '../domain/rules.ts';
import { decode } from './decode.ts';
import { meter, type MeterOptions } from './meter.ts';
import { validate } from './validate.ts';

const ARRIVAL = 1_795_514_403_000;
const FIVE_MINUTES = 300_000;
const LINEAGE: Lineage = { id: 'pg.a.0', parents: [], depth: 2, origin: '00', owns: (key) => key !== 'stranger' };
const AT: At = { lineage: LINEAGE, segment: 0, rules: 1 };
const EVENT: UsageEvent = {
  tenant: 'acme',
  type: 'tokens',
  quantity: 1_500_000_000_000n,
  key: 'k-1',
  timestamp: ARRIVAL * 1000,
  subject: null,
  properties: '{"model":"small"}',
};
const NATIVE = {
  tenant_id: 'acme',
  event_type: 'tokens',
  quantity: '1.5',
  idempotency_key: 'k-1',
  event_timestamp: '2026-11-24T10:00:03Z',
  properties: { model: 'small' },
};

const recordOf = (value: Uint8Array | string): LogRecord => ({
  position: '07',
  arrival: ARRIVAL,
  key: 'acme',
  value: typeof value === 'string' ? Buffer.from(value) : value,
});
const native = (change: object = {}): LogRecord => recordOf(JSON.stringify({ ...NATIVE, ...change }));
const TICK: LogRecord = { ...recordOf(''), control: { type: 'tick' } };

const decoded = (record: LogRecord) => decode().process(record, AT);
const rulesOf = (over: Partial<RuleSet> = {}, meters: MeterSet = implicitMeters()) => fixedRules([ruleSet(meters, over)]);
const judged = (record: LogRecord, rules?: Partial<RuleSet>): Judged =>
  validate(rulesOf(rules), FOR_EVER).process(decoded(record), AT);
const judgedEvent = (change: Partial<UsageEvent>, rules?: Partial<RuleSet>): Judged =>
  judged(recordOf(encodeEvent({ ...EVENT, ...change })), rules);

describe('decode', () => {
  test('reads an event from Avro and from native JSON alike', () => {
    const avro = recordOf(encodeEvent(EVENT));
    expect(decoded(avro)).toEqual({ record: avro, event: EVENT });
    expect(decoded(native())).toEqual({ record: native(), event: EVENT });
  });

  test('reads a CloudEvent in JSON as the edge does, and names what is wrong with one', () => {
    const { event_type: type, event_timestamp: time } = NATIVE;
    const cloud = {
      specversion: '1.0',
      id: '1',
      source: 'edge',
      type,
      time,
      subject: 'acme',
      data: { quantity: '1.5', model: 'small' },
    };
    expect(decoded(recordOf(JSON.stringify(cloud))).event).toEqual({ ...EVENT, key: '4:edge:1' });
    expect(decoded(recordOf(JSON.stringify({ ...cloud, id: '' }))).fault).toMatchObject({ code: 'EMPTY', field: 'id' });
    expect(decoded(recordOf(JSON.stringify({ ...cloud, time: 'noon' }))).fault).toMatchObject({ field: 'event_timestamp' });
  });

  test('lets control records pass untouched, whatever they hold', () => {
    expect(decoded(TICK)).toEqual({ record: TICK });
  });

  test('keeps the record beside its fault', () => {
    const record = native({ quantity: '-1' });
    expect(decoded(record)).toEqual({
      record,
      fault: { code: 'NEGATIVE_QUANTITY', field: 'quantity', value: '-1', reason: 'a quantity below zero' },
    });
  });

  test.each<[string, string | Uint8Array, object]>([
    ['nothing', '', { code: 'UNDECODABLE', value: '', reason: 'neither JSON nor an event of a known schema' }],
    ['text', 'hello', { code: 'UNDECODABLE', value: '68656c6c6f', reason: expect.stringContaining('neither JSON') }],
    ['JSON of a list', '[{}]', { code: 'UNDECODABLE', reason: expect.stringContaining('neither JSON') }],
    ['JSON that breaks off', '{"tenant_id":', { code: 'UNDECODABLE', reason: expect.stringMatching(/^not JSON: /) }],
    ['JSON that is too deep', '{"a":'.repeat(70), { code: 'UNDECODABLE', reason: 'not JSON: nested deeper than 64' }],
    [
      'JSON that is not UTF-8',
      Buffer.from('7bff7d', 'hex'),
      { code: 'BAD_TEXT', value: '{\ufffd}', reason: 'the record is not UTF-8' },
    ],
    [
      'an event that breaks off',
      encodeEvent(EVENT).subarray(0, -1),
      { code: 'UNDECODABLE', reason: expect.stringContaining('schema v1') },
    ],
    ['an object that is no event', '{"a":1}', { code: 'UNKNOWN_FIELD', field: 'a' }],
    ['NUL in a text', JSON.stringify({ ...NATIVE, subject: 'a\0' }), { code: 'BAD_TEXT', field: 'subject' }],
    [
      'a number that a double would change',
      JSON.stringify(NATIVE).replace('"1.5"', '1.2345678901234567'),
      { code: 'NUMBER_NEEDS_STRING', field: 'quantity' },
    ],
  ])('a record of %s gets a fault', (_, value, fault) => {
    const { event, fault: found } = decoded(recordOf(value));
    expect(event).toBeUndefined();
    expect(found).toMatchObject(fault);
  });

  test('shows no more of a long record than its beginning', () => {
    const { fault } = decoded(recordOf(`{"${'x'.repeat(5000)}`));
    expect(fault?.value).toBe(`{"${'x'.repeat(198)}`);
  });
});

describe('validate', () => {
  test('an event that is at home and in time is ok', () => {
    const record = native();
    expect(judged(record)).toEqual({ record, event: EVENT, verdict: 'ok' });
  });

  test('a control record is no event and no reject', () => {
    expect(judged(TICK)).toEqual({ record: TICK, verdict: 'control' });
  });

  test('what could not be decoded is rejected by its fault', () => {
    const record = native({ tenant_id: '' });
    const reason = 'tenant_id must not be empty';
    expect(judged(record)).toEqual({ record, verdict: 'EMPTY', field: 'tenant_id', reason });
    expect(judged(recordOf('?'))).toMatchObject({ verdict: 'UNDECODABLE', field: '' });
  });

  test('a record with neither event nor fault is UNDECODABLE', () => {
    const record = native();
    expect(validate(rulesOf(), FOR_EVER).process({ record }, AT)).toMatchObject({ record, verdict: 'UNDECODABLE' });
  });

  test('what is not at home is MISROUTED, and is judged there: neither tenant nor time matter here', () => {
    const timestamp = (ARRIVAL + FIVE_MINUTES + 1) * 1000;
    const { record, ...verdict } = judgedEvent({ tenant: 'stranger', timestamp }, { tenants: new Set() });
    expect(verdict).toEqual({ event: { ...EVENT, tenant: 'stranger', timestamp }, verdict: 'MISROUTED' });
    expect(record.key).toBe('acme');
  });

  test('only registered tenants are known, where tenants are registered', () => {
    expect(judgedEvent({}, { tenants: new Set(['acme']) }).verdict).toBe('ok');
    expect(judgedEvent({}, { tenants: new Set(['other']) })).toMatchObject({
      event: EVENT,
      verdict: 'UNKNOWN_TENANT',
      field: 'tenant_id',
      reason: 'a tenant that is not registered',
    });
  });

  test('the future begins five minutes after the arrival of the record', () => {
    const limit = (ARRIVAL + FIVE_MINUTES) * 1000;
    expect(judgedEvent({ timestamp: limit }).verdict).toBe('ok');
    expect(judgedEvent({ timestamp: limit + 1 })).toMatchObject({
      event: { timestamp: limit + 1 },
      verdict: 'TOO_FAR_IN_FUTURE',
      field: 'event_timestamp',
    });
  });

  test('no event is too old for the log', () => {
    expect(judgedEvent({ timestamp: 0 }).verdict).toBe('ok');
  });

  test('the verdict is a function of the record: a second reading says the same', () => {
    for (const record of [native(), native({ tenant_id: 'stranger' }), native({ quantity: 'x' }), TICK, recordOf('')])
      expect(judged(record)).toEqual(judged(record));
  });
});

describe('meter', () => {
  const METER: Meter = {
    key: 'm',
    eventType: 'tokens',
    aggregation: 'latest',
    value: 'quantity',
    groupBy: ['model'],
    filter: new Map(),
    unit: null,
    holdMinutes: 0,
    version: 1,
  };
  /** What was told, in order. */
  function observed() {
    const told: string[] = [];
    const tell = (name: string, count: number): void => void told.push(`${name} ${String(count)}`);
    return { told, facts: { skippedMeter: tell, unmetered: tell, otherGroup: tell } };
  }
  const metering = (meters: MeterSet, facts?: MeterOptions['facts']) => meter({ ruleSets: rulesOf({}, meters), facts });

  test('an event gets its contributions, placed where the record lies', () => {
    const verdict = judgedEvent({});
    expect(metering(meterSetOf([METER])).process(verdict, AT)).toEqual({
      ...verdict,
      contributions: [
        {
          tenant: 'acme',
          meter: 'm@1',
          minute: Math.floor(ARRIVAL / 60_000),
          group: '["small"]',
          aggregation: 'latest',
          value: EVENT.quantity,
          order: '1795514403000000|0002|pg.a.0|07',
        },
      ],
    });
  });

  test.each<[string, Judged]>([
    ['a control record', judged(TICK)],
    ['what could not be decoded', judged(recordOf('?'))],
    ['what is rejected', judgedEvent({}, { tenants: new Set() })],
    ['what is misrouted', judgedEvent({ tenant: 'stranger' })],
    ['a verdict without an event', { record: native(), verdict: 'ok' }],
  ])('%s adds nothing and comes out as it was', (_, verdict) => {
    const { told, facts } = observed();
    expect(metering(implicitMeters(), facts).process(verdict, AT)).toEqual({ ...verdict, contributions: [] });
    expect(told).toEqual([]);
  });

  test('an event that no meter measures is told of, and comes out', () => {
    const { told, facts } = observed();
    expect(metering(meterSetOf([]), facts).process(judgedEvent({}), AT).contributions).toEqual([]);
    expect(metering(meterSetOf([])).process(judgedEvent({}), AT).contributions).toEqual([]);
    expect(told).toEqual(['tokens 1']);
  });

  test('a meter whose value is missing is told of, others measure', () => {
    const { told, facts } = observed();
    const meters = meterSetOf([{ ...METER, key: 'gone', value: ['gone'] }, METER]);
    expect(metering(meters, facts).process(judgedEvent({}), AT).contributions).toHaveLength(1);
    expect(metering(meters).process(judgedEvent({}), AT).contributions).toHaveLength(1);
    expect(told).toEqual(['gone 1']);
  });
});

test('each processor carries the name of its file', () => {
  expect([decode(), validate(rulesOf(), FOR_EVER), meter({ ruleSets: rulesOf() })].map(({ name }) => name)).toEqual([
    'decode',
    'validate',
    'meter',
  ]);
});
