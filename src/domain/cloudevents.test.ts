import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromCloudEvent } from './cloudevents.ts';
import { checkEvent } from './event.ts';
import { isFault } from './fault.ts';
import { UnsafeNumber } from './json.ts';

const CLOUD_EVENT = {
  specversion: '1.0',
  id: 'e-1',
  source: '/gateway',
  type: 'tokens',
  time: '2026-11-24T10:00:03Z',
  subject: 'acme',
  data: { quantity: '3.5', model: 'small' },
};
const given = (change: Record<string, unknown>) => fromCloudEvent({ ...CLOUD_EVENT, ...change });

function fieldsOf(change: Record<string, unknown>): Record<string, unknown> {
  const fields = given(change);
  if (isFault(fields)) throw new Error(fields.reason);
  return fields;
}

const keyOf = (source: string, id: string): unknown => fieldsOf({ source, id }).idempotency_key;

describe('fromCloudEvent', () => {
  test('maps each attribute to a field; what stands beside the quantity are the properties', () => {
    expect(fromCloudEvent(CLOUD_EVENT)).toEqual({
      tenant_id: 'acme',
      event_type: 'tokens',
      idempotency_key: '8:/gateway:e-1',
      event_timestamp: '2026-11-24T10:00:03Z',
      quantity: '3.5',
      properties: { model: 'small' },
    });
  });

  test('what it makes passes the checks of an event', () => {
    expect(checkEvent(fieldsOf({}))).toMatchObject({ tenant: 'acme', quantity: 3_500_000_000_000n, subject: null });
  });

  test('tenantid names the tenant, and the subject is then the own one of the event', () => {
    expect(fieldsOf({ tenantid: 't', subject: 's' })).toMatchObject({ tenant_id: 't', subject: 's' });
    expect(fieldsOf({ tenantid: 't', subject: undefined })).toMatchObject({ tenant_id: 't', subject: undefined });
    expect(fieldsOf({ tenantid: null })).toMatchObject({ tenant_id: 'acme' });
  });

  test.each([
    ['without data', undefined, 1, {}],
    ['with data of null', null, 1, {}],
    ['with data that name none', { model: 'small' }, 1, { model: 'small' }],
    ['with one', { quantity: 0 }, 0, {}],
    ['with one of null, which the checks refuse', { quantity: null }, null, {}],
    ['with one that a double would change', { quantity: new UnsafeNumber('1e999') }, new UnsafeNumber('1e999'), {}],
  ])('the quantity is that of the data, one where it is absent: %s', (_, data, quantity, properties) => {
    expect(fieldsOf({ data })).toMatchObject({ quantity, properties });
  });

  test('other attributes of a CloudEvent are let pass', () => {
    const extensions = {
      datacontenttype: 'application/json',
      dataschema: 'urn:x',
      traceparent: '00-1',
      data_base64: undefined,
    };
    expect(fieldsOf(extensions)).toEqual(fromCloudEvent(CLOUD_EVENT));
  });

  test.each<[string, Record<string, unknown>, string, string]>([
    ['UNSUPPORTED_CLOUDEVENT', { specversion: '0.3' }, 'specversion', '0.3'],
    ['UNSUPPORTED_CLOUDEVENT', { specversion: undefined }, 'specversion', ''],
    ['UNSUPPORTED_CLOUDEVENT', { specversion: 1 }, 'specversion', '1'],
    ['UNSUPPORTED_CLOUDEVENT', { data_base64: 'e30=' }, 'data_base64', ''],
    ['WRONG_TYPE', { data: 'text' }, 'data', 'text'],
    ['WRONG_TYPE', { data: [1] }, 'data', '[1]'],
    ['WRONG_TYPE', { data: new UnsafeNumber('1e999') }, 'data', '1e999'],
    ['WRONG_TYPE', { id: 7 }, 'id', '7'],
    ['WRONG_TYPE', { time: new UnsafeNumber('1e999') }, 'time', '1e999'],
    ['MISSING_FIELD', { source: undefined }, 'source', ''],
    ['MISSING_FIELD', { id: null }, 'id', ''],
    ['MISSING_FIELD', { type: undefined }, 'type', ''],
    ['MISSING_FIELD', { time: undefined }, 'time', ''],
    ['MISSING_FIELD', { subject: undefined }, 'subject', ''],
    ['MISSING_FIELD', { subject: null, tenantid: null }, 'subject', ''],
    ['EMPTY', { source: '' }, 'source', ''],
    ['EMPTY', { id: '' }, 'id', ''],
    ['EMPTY', { type: '' }, 'type', ''],
    ['EMPTY', { time: '' }, 'time', ''],
    ['BAD_TEXT', { id: 'a\0' }, 'id', '"a\\u0000"'],
    ['BAD_TEXT', { source: '\ud800' }, 'source', '"\\ud800"'],
  ])('refuses with %s: %o', (code, change, field, value) => {
    expect(given(change)).toMatchObject({ code, field, value });
  });

  test.each([null, undefined, [], 'text', 1, true, new UnsafeNumber('1e999')])('refuses %o: it is no object', (json) => {
    expect(fromCloudEvent(json)).toMatchObject({ code: 'NOT_AN_OBJECT', field: '' });
  });
});

describe('the key of (source, id)', () => {
  /** Colons and digits, where a weaker join would collide. */
  const tricky = fc.string({ unit: fc.constantFrom('1', '2', ':', 'a'), minLength: 1, maxLength: 5 });
  const long = fc.string({ unit: fc.constantFrom(':', 'a', '€'), minLength: 60, maxLength: 200, size: 'max' });
  const part = fc.oneof(tricky, tricky, long);

  test('two pairs have one key exactly where they are one', () => {
    fc.assert(
      fc.property(part, part, part, part, (source, id, otherSource, otherId) => {
        const isSame = source === otherSource && id === otherId;
        return (keyOf(source, id) === keyOf(otherSource, otherId)) === isSame;
      }),
      { numRuns: 1000 },
    );
  });

  test('what moves from the source to the id makes another key', () => {
    const whole = fc.tuple(part, part, fc.nat(), fc.nat()).map(([a, b, ...cuts]) => ({ text: a + b, cuts }));
    fc.assert(
      fc.property(whole, ({ text, cuts }) => {
        const [one = 1, two = 1] = cuts.map((cut) => 1 + (cut % (text.length - 1)));
        const key = (at: number): unknown => keyOf(text.slice(0, at), text.slice(at));
        return (key(one) === key(two)) === (one === two);
      }),
      { numRuns: 1000 },
    );
  });

  test('fits the bound of an id, however long the pair is', () => {
    const fits = keyOf('s'.repeat(200), 'i'.repeat(51));
    expect(fits).toBe(`200:${'s'.repeat(200)}:${'i'.repeat(51)}`);
    expect(keyOf('s'.repeat(200), 'i'.repeat(52))).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(keyOf('é'.repeat(127), 'i')).toMatch(/^sha256:/);
  });

  test('the digest of a long pair is the key of that pair alone', () => {
    const long = keyOf('s'.repeat(300), 'i') as string;
    const [source = '', id = ''] = long.split(':');
    expect(keyOf(source, id)).not.toBe(long);
  });
});
