import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeEvent, encodeEvent } from './avro.ts';
import { checkProperties, type UsageEvent } from './event.ts';
import { isFault, REJECT_CODES } from './fault.ts';
import { eventType, toWire, type WireEvent } from './wire.ts';

const EVENT: UsageEvent = {
  tenant: 'acme',
  type: 'tokens',
  quantity: 1_500_000_000_000n,
  key: 'k-1',
  timestamp: 1_795_514_403_000_001,
  subject: null,
  properties: '{"model":"small"}',
};

/** Any character that UTF-8 can hold (`unit: 'binary'` would take a second to begin). */
const character = fc
  .oneof(fc.integer({ min: 1, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((code) => String.fromCodePoint(code));
const text = fc.string({ unit: character, minLength: 1, maxLength: 60 });
const safeNumber = fc.tuple(fc.integer({ min: -999_999_999, max: 999_999_999 }), fc.integer({ min: -200, max: 200 }));
const scalar = fc.oneof(
  safeNumber.map(([m, e]) => Number(`${String(m)}e${String(e)}`)),
  text,
  fc.constantFrom(null, true, false),
);
const properties = fc
  .dictionary(text, fc.oneof(scalar, fc.array(scalar), fc.dictionary(text, scalar)), { maxKeys: 4 })
  .map((value) => checkProperties(value) as string);
const event: fc.Arbitrary<UsageEvent> = fc.record({
  tenant: text,
  type: text,
  quantity: fc.bigInt({ min: 0n, max: 10n ** 38n - 1n }),
  key: text,
  timestamp: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 1 }),
  subject: fc.option(text),
  properties,
});

/** What any bytes may become: an event that is written and read as itself, or a fault of the closed list. */
function expectEventOrFault(bytes: Uint8Array): void {
  const read = decodeEvent(bytes);
  if (isFault(read)) expect(Object.keys(REJECT_CODES)).toContain(read.code);
  else expect(decodeEvent(encodeEvent(read))).toEqual(read);
}

describe('an event as a single object', () => {
  const good = Buffer.from(encodeEvent(EVENT));
  const marker = good.subarray(0, 10);
  const written = (change: Partial<WireEvent>): Uint8Array =>
    Buffer.concat([marker, eventType.toBuffer({ ...toWire(EVENT), ...change })]);
  /** The bytes with one text replaced by bytes of the same number. */
  const patched = (old: string, hex: string): Uint8Array =>
    Buffer.from(good.toString('hex').replace(Buffer.from(old).toString('hex'), hex), 'hex');

  test('any valid event is read as it was written', () => {
    fc.assert(
      fc.property(event, (given) => {
        expect(decodeEvent(encodeEvent(given))).toEqual(given);
      }),
      { numRuns: 300 },
    );
  });

  test('the bytes are those that every version wrote: other writers rely on them', () => {
    expect(good.toString('hex')).toBe(
      'c301d0b71edc4485207c' +
        '0861636d65' +
        '0c746f6b656e73' +
        '0c015d3ef79800' +
        '066b2d31' +
        '82bbf0e2d8c0b006' +
        '00' +
        '227b226d6f64656c223a22736d616c6c227d',
    );
  });

  test('any bytes give an event or a fault, and never throw', () => {
    const body = fc.uint8Array({ maxLength: 60 });
    fc.assert(
      fc.property(body, (bytes) => expectEventOrFault(bytes)),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(body, (bytes) => expectEventOrFault(Buffer.concat([marker, bytes]))),
      { numRuns: 1000 },
    );
  });

  test('a damaged event gives an event or a fault, and never throws', () => {
    const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(damage, (changes) => {
        const bytes = Buffer.from(good);
        for (const [at, byte] of changes) bytes[at] = byte;
        expectEventOrFault(bytes);
      }),
      { numRuns: 1000 },
    );
    for (let bit = 0; bit < good.length * 8; bit += 1) {
      const bytes = Buffer.from(good);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expectEventOrFault(bytes);
    }
  });

  test('an event that breaks off, at any byte, or goes on is UNDECODABLE', () => {
    for (let end = 0; end < good.length; end += 1)
      expect(decodeEvent(good.subarray(0, end))).toMatchObject({ code: 'UNDECODABLE', field: '' });
    expect(decodeEvent(Buffer.concat([good, Buffer.of(0)]))).toMatchObject({ code: 'UNDECODABLE' });
  });

  test('a fault shows how the bytes begin', () => {
    const foreign = Buffer.concat([Buffer.of(0xc3, 1), Buffer.alloc(8, 7), good.subarray(10)]);
    const reason = 'neither JSON nor an event of a known schema';
    expect(decodeEvent(foreign)).toEqual({ code: 'UNDECODABLE', field: '', value: 'c3010707070707070707', reason });
    expect(decodeEvent(Buffer.concat([marker, Buffer.alloc(999, 0xff)]))).toMatchObject({
      value: 'f'.repeat(200),
      reason: expect.stringMatching(/^not an event of schema v1: /),
    });
  });

  test.each<[string, Partial<WireEvent>, string, string?]>([
    ['EMPTY', { tenant_id: '' }, 'tenant_id'],
    ['EMPTY', { event_type: '' }, 'event_type'],
    ['EMPTY', { idempotency_key: '' }, 'idempotency_key'],
    ['EMPTY', { subject: '' }, 'subject'],
    ['TOO_LONG', { tenant_id: 'x'.repeat(257) }, 'tenant_id'],
    ['BAD_TEXT', { idempotency_key: 'a\0' }, 'idempotency_key', '"a\\u0000"'],
    ['NEGATIVE_QUANTITY', { quantity: Buffer.of(0xff) }, 'quantity', '-0.000000000001'],
    ['NEGATIVE_QUANTITY', { quantity: Buffer.alloc(16, 0x80) }, 'quantity'],
    ['TOO_MANY_DIGITS', { quantity: toWire({ ...EVENT, quantity: 10n ** 38n }).quantity }, 'quantity', `1${'0'.repeat(26)}`],
    ['TOO_MANY_DIGITS', { quantity: Buffer.alloc(17) }, 'quantity', '17 bytes'],
    ['TOO_MANY_DIGITS', { quantity: Buffer.alloc(100_000, 0x7f) }, 'quantity', '100000 bytes'],
    ['TIME_BEFORE_1970', { event_timestamp: -1 }, 'event_timestamp', '1969-12-31T23:59:59.999999Z'],
    ['UNDECODABLE', { properties: '' }, 'properties'],
    ['UNDECODABLE', { properties: '{' }, 'properties', '{'],
    ['UNDECODABLE', { properties: '{"a":'.repeat(65) + '1' + '}'.repeat(65) }, 'properties'],
    ['UNDECODABLE', { properties: '{ }' }, 'properties', '{ }'],
    ['UNDECODABLE', { properties: '{"b":1,"a":2}' }, 'properties'],
    ['UNDECODABLE', { properties: '{"a":1.0}' }, 'properties'],
    ['UNDECODABLE', { properties: '{"a":1,"a":1}' }, 'properties'],
    ['UNDECODABLE', { properties: 'null' }, 'properties'],
    ['WRONG_TYPE', { properties: '[]' }, 'properties'],
    ['NUMBER_NEEDS_STRING', { properties: '{"a":12345678901234567}' }, 'properties.a', '12345678901234567'],
    ['BAD_TEXT', { properties: '{"a":"\\u0000"}' }, 'properties.a'],
    ['PROPERTIES_TOO_LARGE', { properties: `{"a":"${'x'.repeat(32_768)}"}` }, 'properties'],
  ])('passes the checks of the edge: %s of %o', (code, change, field, value) => {
    expect(decodeEvent(written(change))).toMatchObject({ code, field, ...(value === undefined ? {} : { value }) });
  });

  test.each([
    ['tenant_id', 'acme', '61ff6d65'],
    ['event_type', 'tokens', 'c3c3c3c3c3c3'],
    ['idempotency_key', 'k-1', 'eda080'],
    ['properties', 'small', '73c06c6c6c'],
  ])('a %s that is not UTF-8 is refused: two keys would become one', (field, old, hex) => {
    expect(decodeEvent(patched(old, hex))).toMatchObject({ code: 'BAD_TEXT', field, reason: `${field} is not UTF-8` });
  });

  test('the replacement character itself is a text like any other', () => {
    const strange = { ...EVENT, key: 'a\ufffd', subject: '\ufffd' };
    expect(decodeEvent(encodeEvent(strange))).toEqual(strange);
  });

  test('a quantity that another writer wrote in more bytes than needed is read', () => {
    expect(decodeEvent(written({ quantity: Buffer.from('000000000005', 'hex') }))).toEqual({ ...EVENT, quantity: 5n });
  });
});
