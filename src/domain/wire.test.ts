import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { UsageEvent } from './event.ts';
import { buffer, canonicalSchema, eventType, fingerprint, fromWire, RECORD_SCHEMA, recordType, toWire } from './wire.ts';

const EVENT: UsageEvent = {
  tenant: 'acme',
  type: 'tokens',
  quantity: 0n,
  key: 'k',
  timestamp: 1,
  subject: null,
  properties: '{}',
};
const bytesOf = (quantity: bigint): Buffer => toWire({ ...EVENT, quantity }).quantity;
const quantityOf = (hex: string): bigint => fromWire({ ...toWire(EVENT), quantity: Buffer.from(hex, 'hex') }).quantity;

describe('a quantity on the wire', () => {
  test.each<[bigint, string]>([
    [0n, '00'],
    [1n, '01'],
    [127n, '7f'],
    [128n, '0080'],
    [255n, '00ff'],
    [256n, '0100'],
    [32767n, '7fff'],
    [32768n, '008000'],
    [10n ** 12n, '00e8d4a51000'],
    [10n ** 38n - 1n, '4b3b4ca85a86c47a098a223fffffffff'],
  ])('%s is %s: two’s complement in as few bytes as hold it', (quantity, hex) => {
    expect(bytesOf(quantity).toString('hex')).toBe(hex);
    expect(quantityOf(hex)).toBe(quantity);
  });

  test.each<[string, bigint]>([
    ['', 0n],
    ['0000', 0n],
    ['00000005', 5n],
    ['ff', -1n],
    ['80', -128n],
    ['ffffffffffff', -1n],
    ['ffffffffffffff', -1n],
    ['ffffffffffffffffffffffff', -1n],
    ['ff7fffffffffff', -(2n ** 47n) - 1n],
    [`80${'00'.repeat(15)}`, -(2n ** 127n)],
  ])('reads %j of another writer as %s', (hex, quantity) => {
    expect(quantityOf(hex)).toBe(quantity);
  });

  test('any number is read from any number of bytes that holds it', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 127n), max: 2n ** 127n - 1n }), fc.nat(60), (wide, shift) => {
        const quantity = wide >> BigInt(2 * shift);
        for (let length = 1; length <= 16; length += 1) {
          if (BigInt.asIntN(length * 8, quantity) !== quantity) continue;
          const hex = BigInt.asUintN(length * 8, quantity)
            .toString(16)
            .padStart(length * 2, '0');
          expect(quantityOf(hex)).toBe(quantity);
        }
      }),
    );
  });

  test('what is written is read again', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 10n ** 38n - 1n }),
        (q) => fromWire(toWire({ ...EVENT, quantity: q })).quantity === q,
      ),
    );
  });
});

describe('fingerprint', () => {
  // schema-tests.txt of Apache Avro.
  test.each([
    ['"null"', 0x63dd24e7cc258f8an],
    ['"int"', 0x7275d51a3f395c8fn],
    ['"string"', 0x8f014872634503c7n],
    ['"bytes"', 0x4fc016dac3201965n],
    ['', 0xc15d213aa4d7a795n],
  ])('of %s is that of the Avro project', (schema, expected) => {
    expect(fingerprint(schema).readBigUInt64LE()).toBe(expected);
  });
});

describe('a schema', () => {
  test('of events is fingerprinted in its parsing canonical form', () => {
    const field = (name: string, type: string): string => `{"name":"${name}","type":${type}}`;
    const fields = [
      field('tenant_id', '"string"'),
      field('event_type', '"string"'),
      field('quantity', '"bytes"'),
      field('idempotency_key', '"string"'),
      field('event_timestamp', '"long"'),
      field('subject', '["null","string"]'),
      field('properties', '"string"'),
    ];
    expect(canonicalSchema(eventType)).toBe(
      `{"name":"dev.meterfold.v1.UsageEvent","type":"record","fields":[${fields.join(',')}]}`,
    );
  });

  test('of records is carried whole by containers: with logical types and the event, without docs', () => {
    expect(RECORD_SCHEMA).not.toContain('"doc"');
    const { fields } = JSON.parse(RECORD_SCHEMA) as {
      readonly fields: readonly { readonly name: string; readonly type: unknown }[];
    };
    expect(fields.map(({ name }) => name)).toEqual(['position', 'arrival', 'key', 'verdict', 'rules', 'event', 'value']);
    expect(fields[5]?.type).toMatchObject(['null', { name: 'UsageEvent', namespace: 'dev.meterfold.v1' }]);
    expect(RECORD_SCHEMA).toContain('{"type":"bytes","logicalType":"decimal","precision":38,"scale":12}');
    expect(canonicalSchema(recordType)).toContain('"name":"dev.meterfold.v1.ArchiveRecord"');
  });
});

test('buffer is a view of the same memory', () => {
  const bytes = Uint8Array.from([0, 1, 2, 3]).subarray(1, 3);
  const view = buffer(bytes);
  expect([...view]).toEqual([1, 2]);
  bytes[0] = 9;
  expect(view[0]).toBe(9);
});
