import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkEvent, EVENT_FIELDS, type NativeFields, type UsageEvent } from './event.ts';
import type { Fault } from './fault.ts';
import { parseJson } from './json.ts';
import { readPlainEvent } from './plain-event.ts';

const EVENT = {
  tenant_id: 'acme',
  event_type: 'tokens',
  quantity: '12.5',
  idempotency_key: 'req-1',
  event_timestamp: '2026-11-24T10:00:03.25Z',
  subject: 'user-7',
  properties: { model: 'small', region: 'eu-west-1', status: 200 },
};

/** The long way, which alone says what an event is. */
function read(bytes: Buffer): UsageEvent | Fault | Error {
  try {
    return checkEvent(parseJson(bytes) as NativeFields);
  } catch (error) {
    return error as Error;
  }
}

/** What the short way reads is what the long way reads; where the short way reads nothing, anything may be there. */
function demandSame(text: string): boolean {
  const bytes = Buffer.from(text);
  const plain = readPlainEvent(bytes);
  if (plain !== undefined) expect(plain).toEqual(read(bytes));
  return plain !== undefined;
}

/** Values near what is plain: numbers at every bound, texts with what must not be taken for an end. */
const texts = fc.oneof(
  fc.constantFrom(
    '',
    'a',
    '0',
    '9',
    '{',
    '}',
    ',',
    ':',
    '[]',
    'é',
    '\u007f',
    'null',
    ' ',
    '\\',
    '"',
    '\n',
    '__proto__',
    'Z',
  ),
  fc.string({ maxLength: 12 }),
  fc.integer({ min: 250, max: 260 }).map((length) => 'x'.repeat(length)),
);
const numbers = fc.oneof(
  fc.constantFrom('0', '-0', '00', '01', '1.0', '1.5', '1e3', '1E3', '.5', '5.', '-1', '+1', '0.0000001', '0.10'),
  fc.constantFrom('999999999999999', '1234567890123456', '0.1234567890123', '1.00000000000000000', 'NaN', 'true', 'null'),
  fc.double({ noNaN: true }).map(String),
  fc.nat().map(String),
);
const scalars = fc.oneof(
  texts.map((text) => JSON.stringify(text)),
  numbers,
  fc.constantFrom('true', 'false', 'null', '[]', '{}', '[1]', '{"a":1}'),
);
const times = fc.oneof(
  fc.date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true }).map((date) => date.toISOString()),
  fc.constantFrom(
    '2026-02-29T00:00:00Z',
    '1969-12-31T23:59:59Z',
    '2300-01-01T00:00:00Z',
    '2026-01-01T00:00:00',
    '2026-01-01',
  ),
);
const properties = fc
  .uniqueArray(fc.tuple(fc.oneof(texts, fc.constantFrom('a', 'b', 'c', '1', '2')), scalars), { maxLength: 4 })
  .map((pairs) => `{${pairs.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`);

/** Good in nine of ten, so that whole events come out, too. */
const mostly = (good: fc.Arbitrary<string>, other = scalars): fc.Arbitrary<string> =>
  fc.oneof({ weight: 9, arbitrary: good }, { weight: 1, arbitrary: other });
const quoted = (text: fc.Arbitrary<string>): fc.Arbitrary<string> => text.map((t) => JSON.stringify(t));
const ids = quoted(fc.stringMatching(/^[a-zA-Z0-9 _.-]{1,20}$/));
const plainProperties = fc
  .uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 4 })
  .map((names) => `{${names.map((name, n) => `"${name}":${['1', '0.5', 'true', '"x"'][n] ?? 'false'}`).join(',')}}`);

const valueOf = (name: string): fc.Arbitrary<string> => {
  if (name === 'properties') return mostly(fc.oneof(plainProperties, properties));
  if (name === 'event_timestamp') return mostly(quoted(times));
  if (name === 'quantity')
    return mostly(fc.oneof(quoted(fc.nat().map(String)), fc.nat().map(String), numbers, quoted(numbers)));
  return mostly(ids);
};
const fields = (names: readonly string[]): fc.Arbitrary<string> =>
  fc.tuple(...names.map(valueOf)).map((values) => `{${values.map((v, n) => `"${names[n] ?? ''}":${v}`).join(',')}}`);
const events = fc.oneof(
  { weight: 4, arbitrary: fc.shuffledSubarray([...EVENT_FIELDS], { minLength: EVENT_FIELDS.length }).chain(fields) },
  { weight: 1, arbitrary: fc.array(fc.constantFrom(...EVENT_FIELDS, 'specversion'), { maxLength: 9 }).chain(fields) },
);

describe('the short way through an event', () => {
  test('reads what most records are, without an object', () => {
    expect(readPlainEvent(Buffer.from(JSON.stringify(EVENT)))).toEqual(read(Buffer.from(JSON.stringify(EVENT))));
    expect(demandSame(JSON.stringify({ ...EVENT, quantity: 3, subject: null, properties: {} }))).toBe(true);
  });

  test('reads as the long way or not at all, whatever is between the braces', () => {
    let short = 0;
    fc.assert(
      fc.property(events, (text) => {
        if (demandSame(text)) short += 1;
      }),
      { numRuns: 3000 },
    );
    expect(short).toBeGreaterThan(100);
  });

  test('reads as the long way or not at all, one character away from an event', () => {
    const good = JSON.stringify(EVENT);
    const characters = Array.from('"{}[],:\\ \t0a-.eEZ\0é\u007f');
    for (let at = 0; at <= good.length; at += 1) {
      demandSame(good.slice(0, at) + good.slice(at + 1));
      for (const c of characters) {
        demandSame(good.slice(0, at) + c + good.slice(at + 1));
        demandSame(good.slice(0, at) + c + good.slice(at));
      }
    }
  });

  test.each([
    ['an escape', JSON.stringify({ ...EVENT, subject: 'a"b' })],
    ['text beyond ASCII', JSON.stringify({ ...EVENT, subject: 'é' })],
    ['white space', JSON.stringify(EVENT, undefined, 1)],
    ['a field twice', JSON.stringify(EVENT).replace('{', '{"subject":"other",')],
    ['a field that is not known', JSON.stringify({ ...EVENT, more: 1 })],
    ['nested properties', JSON.stringify({ ...EVENT, properties: { a: { b: 1 } } })],
    ['properties in another order', JSON.stringify({ ...EVENT, properties: { b: 1, a: 1 } })],
    ['a name that JavaScript puts first', JSON.stringify(EVENT).replace('"model"', '"10"')],
    ['a number that is not in its shortest form', JSON.stringify(EVENT).replace('200', '2.0')],
    ['a fault', JSON.stringify({ ...EVENT, quantity: '-1' })],
    ['what is behind it', `${JSON.stringify(EVENT)} `],
    ['a byte order mark', `\ufeff${JSON.stringify(EVENT)}`],
    ['nothing', ''],
  ])('leaves %s to the long way', (_, text) => {
    expect(readPlainEvent(Buffer.from(text))).toBeUndefined();
  });
});
