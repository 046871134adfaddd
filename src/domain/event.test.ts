import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkEvent, checkId, checkProperties, checkText, checkTime, type NativeFields, type UsageEvent } from './event.ts';
import { isFault, REJECT_CODES } from './fault.ts';
import { UnsafeNumber } from './json.ts';

const FIELDS: NativeFields = {
  tenant_id: 'acme',
  event_type: 'tokens',
  quantity: '12.5',
  idempotency_key: 'req-1',
  event_timestamp: '2026-11-24T10:00:03.000001Z',
};
const EVENT: UsageEvent = {
  tenant: 'acme',
  type: 'tokens',
  quantity: 12_500_000_000_000n,
  key: 'req-1',
  timestamp: 1_795_514_403_000_001,
  subject: null,
  properties: '{}',
};
const check = (change: NativeFields) => checkEvent({ ...FIELDS, ...change });
const unsafe = new UnsafeNumber('12345678901234567');

describe('checkEvent', () => {
  test('reads a good event, with nothing but the required fields', () => {
    expect(checkEvent(FIELDS)).toEqual(EVENT);
  });

  test('reads a good event with every field', () => {
    expect(check({ subject: 'user-7', properties: { model: 'small', a: [1, null, { b: 'é' }] } })).toEqual({
      ...EVENT,
      subject: 'user-7',
      properties: '{"a":[1,null,{"b":"é"}],"model":"small"}',
    });
  });

  test.each<[string, NativeFields, Partial<UsageEvent>]>([
    ['an optional field that is null is absent', { subject: null, properties: null }, {}],
    ['a number is a quantity', { quantity: 12.5 }, {}],
    ['an exponent is read', { quantity: '125e-1' }, {}],
    ['a quantity may be zero, of either sign', { quantity: '-0.00' }, { quantity: 0n }],
    ['26 digits before the point', { quantity: `${'9'.repeat(26)}.${'9'.repeat(12)}` }, { quantity: 10n ** 38n - 1n }],
    ['the least quantity', { quantity: 1e-12 }, { quantity: 1n }],
    ['an id of 256 bytes', { tenant_id: 'é'.repeat(128) }, { tenant: 'é'.repeat(128) }],
    ['1970 has begun', { event_timestamp: '1970-01-01T00:00:00Z' }, { timestamp: 0 }],
    ['an offset is applied', { event_timestamp: '2026-11-24T12:00:03.000001+02:00' }, {}],
    ['as late as Avro can write', { event_timestamp: '2255-06-05T23:47:34.740990Z' }, { timestamp: 9007199254740990 }],
    [
      'names of properties are free',
      { properties: { __proto__x: 1, code: 'a', reason: 'b' } },
      { properties: '{"__proto__x":1,"code":"a","reason":"b"}' },
    ],
  ])('accepts: %s', (_, change, expected) => {
    expect(check(change)).toEqual({ ...EVENT, ...expected });
  });

  test.each<[string, NativeFields, string, string]>([
    ['MISSING_FIELD', { tenant_id: undefined }, 'tenant_id', ''],
    ['MISSING_FIELD', { event_type: null }, 'event_type', ''],
    ['MISSING_FIELD', { idempotency_key: undefined }, 'idempotency_key', ''],
    ['MISSING_FIELD', { quantity: null }, 'quantity', ''],
    ['MISSING_FIELD', { quantity: undefined }, 'quantity', ''],
    ['MISSING_FIELD', { event_timestamp: null }, 'event_timestamp', ''],
    ['MISSING_FIELD', { event_timestamp: undefined }, 'event_timestamp', ''],
    ['UNKNOWN_FIELD', { value: 3 }, 'value', '3'],
    ['UNKNOWN_FIELD', { toString: 'x' }, 'toString', 'x'],
    ['WRONG_TYPE', { tenant_id: 7 }, 'tenant_id', '7'],
    ['WRONG_TYPE', { event_type: ['a'] }, 'event_type', '["a"]'],
    ['WRONG_TYPE', { idempotency_key: unsafe }, 'idempotency_key', unsafe.text],
    ['WRONG_TYPE', { subject: false }, 'subject', 'false'],
    ['WRONG_TYPE', { quantity: true }, 'quantity', 'true'],
    ['WRONG_TYPE', { quantity: {} }, 'quantity', '{}'],
    ['WRONG_TYPE', { event_timestamp: 1795514403 }, 'event_timestamp', '1795514403'],
    ['WRONG_TYPE', { properties: 'x' }, 'properties', 'x'],
    ['WRONG_TYPE', { properties: [] }, 'properties', '[]'],
    ['EMPTY', { tenant_id: '' }, 'tenant_id', ''],
    ['EMPTY', { subject: '' }, 'subject', ''],
    ['TOO_LONG', { event_type: 'x'.repeat(257) }, 'event_type', `${'x'.repeat(199)}…`],
    ['TOO_LONG', { subject: '€'.repeat(86) }, 'subject', '€'.repeat(86)],
    ['BAD_TEXT', { idempotency_key: 'a\0b' }, 'idempotency_key', '"a\\u0000b"'],
    ['BAD_TEXT', { tenant_id: 'a\ud800' }, 'tenant_id', '"a\\ud800"'],
    ['BAD_TEXT', { subject: '\ude00\ud83d' }, 'subject', '"\\ude00\\ud83d"'],
    ['BAD_TEXT', { properties: { a: [{ b: '\0' }] } }, 'properties.a.0.b', '"\\u0000"'],
    ['BAD_TEXT', { properties: { a: { 'k\0': 1 } } }, 'properties.a', '"k\\u0000"'],
    ['NOT_A_DECIMAL', { quantity: '' }, 'quantity', ''],
    ['NOT_A_DECIMAL', { quantity: ' 1' }, 'quantity', ' 1'],
    ['NOT_A_DECIMAL', { quantity: '1,5' }, 'quantity', '1,5'],
    ['NOT_A_DECIMAL', { quantity: '0x10' }, 'quantity', '0x10'],
    ['NOT_A_DECIMAL', { quantity: 'Infinity' }, 'quantity', 'Infinity'],
    ['NEGATIVE_QUANTITY', { quantity: '-0.000000000001' }, 'quantity', '-0.000000000001'],
    ['NEGATIVE_QUANTITY', { quantity: -1 }, 'quantity', '-1'],
    ['TOO_MANY_DIGITS', { quantity: '0.0000000000001' }, 'quantity', '0.0000000000001'],
    ['TOO_MANY_DIGITS', { quantity: 1e26 }, 'quantity', '1e+26'],
    ['TOO_MANY_DIGITS', { quantity: '1e999999999999' }, 'quantity', '1e999999999999'],
    ['NUMBER_NEEDS_STRING', { quantity: unsafe }, 'quantity', unsafe.text],
    ['NUMBER_NEEDS_STRING', { properties: { a: [0, unsafe] } }, 'properties.a.1', unsafe.text],
    ['NUMBER_NEEDS_STRING', { properties: unsafe }, 'properties', unsafe.text],
    ['BAD_TIME', { event_timestamp: '' }, 'event_timestamp', ''],
    ['BAD_TIME', { event_timestamp: '2026-11-24T10:00:03' }, 'event_timestamp', '2026-11-24T10:00:03'],
    ['BAD_TIME', { event_timestamp: '2026-02-29T10:00:03Z' }, 'event_timestamp', '2026-02-29T10:00:03Z'],
    [
      'TIME_BEFORE_1970',
      { event_timestamp: '1969-12-31T23:59:59.999999Z' },
      'event_timestamp',
      '1969-12-31T23:59:59.999999Z',
    ],
    ['TIME_BEFORE_1970', { event_timestamp: '0001-01-01T00:00Z' }, 'event_timestamp', '0001-01-01T00:00Z'],
    [
      'TOO_FAR_IN_FUTURE',
      { event_timestamp: '2255-06-05T23:47:34.740991Z' },
      'event_timestamp',
      '2255-06-05T23:47:34.740991Z',
    ],
    ['TOO_FAR_IN_FUTURE', { event_timestamp: '9999-12-31T23:59Z' }, 'event_timestamp', '9999-12-31T23:59Z'],
  ])('refuses with %s: %o', (code, change, field, value) => {
    expect(check(change)).toMatchObject({ code, field, value });
  });

  test('refuses a number in the place of an event', () => {
    const number = new UnsafeNumber('1e999') as unknown as NativeFields;
    expect(checkEvent(number)).toMatchObject({ code: 'NOT_AN_OBJECT', field: '', value: '1e999' });
  });

  test('names the known fields beside an unknown one', () => {
    expect(check({ tenant: 'acme' })).toMatchObject({ reason: expect.stringContaining('tenant_id, event_type') });
  });

  test('takes properties of 32 KiB and no more', () => {
    const fits = { a: 'é'.repeat((32 * 1024 - 8) / 2) };
    expect(check({ properties: fits })).toMatchObject({ properties: JSON.stringify(fits) });
    const tooLarge = check({ properties: { a: `${fits.a}x` } });
    expect(tooLarge).toMatchObject({ code: 'PROPERTIES_TOO_LARGE', field: 'properties' });
  });

  test('answers an event or a fault of the closed list for any JSON, and never throws', () => {
    const name = fc.oneof(fc.constantFrom(...Object.keys(FIELDS), 'subject', 'properties'), fc.string());
    fc.assert(
      fc.property(fc.dictionary(name, fc.jsonValue()), (change) => {
        const checked = check(change);
        if (isFault(checked)) expect(Object.keys(REJECT_CODES)).toContain(checked.code);
        else expect(checked.quantity).toBeTypeOf('bigint');
      }),
      { numRuns: 200 },
    );
  });
});

describe('checkId', () => {
  test('counts bytes of UTF-8, not characters', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', 'é', '€', '😀'), minLength: 60, maxLength: 260, size: 'max' }),
        (id) => {
          const checked = checkId('subject', id);
          expect(isFault(checked)).toBe(Buffer.byteLength(id) > 256);
        },
      ),
    );
  });
});

describe('checkText', () => {
  test('takes every text that is well-formed and without NUL', () => {
    expect(checkText('f', '')).toBeUndefined();
    expect(checkText('f', '😀\u0001\uffff')).toBeUndefined();
    expect(checkText('f', '\ud83d')).toMatchObject({ code: 'BAD_TEXT' });
  });
});

describe('checkProperties', () => {
  test('is canonical: it stays the same when it is read and checked again', () => {
    const value = fc.oneof(fc.integer(), fc.boolean(), fc.constant(null), fc.string());
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.oneof(value, fc.array(value), fc.dictionary(fc.string(), value))),
        (given) => {
          const text = checkProperties(given);
          expect(isFault(text) ? '' : checkProperties(JSON.parse(text))).toEqual(text);
        },
      ),
    );
  });
});

describe('checkTime', () => {
  const now = 1_795_514_403_000;
  const at = (ms: number, micros = 0): UsageEvent => ({ ...EVENT, timestamp: (now + ms) * 1000 + micros });
  const FIVE_MINUTES = 300_000;

  test('allows five minutes into the future, to the microsecond', () => {
    expect(checkTime(at(FIVE_MINUTES), now)).toBeUndefined();
    expect(checkTime(at(FIVE_MINUTES, 1), now)).toMatchObject({
      code: 'TOO_FAR_IN_FUTURE',
      field: 'event_timestamp',
      value: '2026-11-24T10:05:03.000001Z',
    });
  });

  test('allows the past up to the bound, to the microsecond', () => {
    const bounds = { pastBoundMs: 1000 };
    expect(checkTime(at(-1000), now, bounds)).toBeUndefined();
    expect(checkTime(at(-1000, -1), now, bounds)).toMatchObject({ code: 'TOO_OLD', value: '2026-11-24T10:00:01.999999Z' });
  });

  test('allows all of the past where no bound is given', () => {
    expect(checkTime({ ...EVENT, timestamp: 0 }, now)).toBeUndefined();
  });

  test('a bound of zero is a bound', () => {
    expect(checkTime(at(0, -1), now, { pastBoundMs: 0 })).toMatchObject({ code: 'TOO_OLD' });
  });
});
