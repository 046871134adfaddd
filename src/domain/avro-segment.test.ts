import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import avsc from 'avsc';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MeterError } from '../errors.ts';
import { type ArchiveRecord, decodeSegment, encodeSegment, type SegmentHeader } from './avro.ts';
import type { UsageEvent } from './event.ts';
import { RECORD_SCHEMA, recordType, toWire } from './wire.ts';

const EVENT: UsageEvent = {
  tenant: 'acme',
  type: 'tokens',
  quantity: 1_500_000_000_000n,
  key: 'k-1',
  timestamp: 1_795_514_403_000_001,
  subject: null,
  properties: '{"model":"small"}',
};

const HEADER: SegmentHeader = { lineage: 'pg.31', start: '0', format: 1 };
const recordAt = (n: number, value: Uint8Array | null = null): ArchiveRecord => ({
  position: String(n).padStart(20, '0'),
  arrival: 1_795_514_403_000 + n,
  key: 'acme',
  verdict: value === null ? 'ok' : 'EMPTY',
  rules: 1,
  event: value === null ? EVENT : null,
  value,
});
const RECORDS = [recordAt(0), recordAt(1, Buffer.from('{}'))];
const SMALL = Buffer.from(encodeSegment(RECORDS, HEADER));
const SYNC = createHash('sha256').update('pg.31\n0').digest().subarray(0, 16);
const HEADER_BYTES = SMALL.indexOf(SYNC) + SYNC.length;
const BODY = SMALL.subarray(HEADER_BYTES);

function refusal(bytes: Uint8Array): string {
  try {
    decodeSegment(bytes);
  } catch (error) {
    if (error instanceof MeterError && error.code === 'ARCHIVE_DAMAGED')
      return error.message.replace('decode a segment: ', '');
    throw error;
  }
  return 'none';
}

/** A container of the same format by another writer: its metadata changed, its blocks as given. */
function container(
  change: Readonly<Record<string, string | undefined>>,
  blocks: Uint8Array = BODY,
  sync = SYNC,
): Uint8Array {
  const meta = {
    'avro.schema': RECORD_SCHEMA,
    'avro.codec': 'null',
    'meterfold.lineage': 'pg.31',
    'meterfold.start': '0',
    'meterfold.format': '1',
    'meterfold.records': '2',
    ...change,
  };
  const entries = Object.entries<string | undefined>(meta).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, Buffer.from(value)] as const],
  );
  const bytes = avsc.Type.forSchema({ type: 'map', values: 'bytes' }).toBuffer(Object.fromEntries(entries));
  return Buffer.concat([Buffer.from('Obj\x01'), bytes, sync, blocks]);
}

const long = avsc.Type.forSchema('long');
const blockOf = (count: number, body: Uint8Array, sync = SYNC): Buffer =>
  Buffer.concat([long.toBuffer(count), long.toBuffer(body.length), body, sync]);
const encoded = (record: ArchiveRecord): Buffer =>
  recordType.toBuffer({ ...record, event: record.event && toWire(record.event) });
const otherSchema = (from: string, to: string) => ({ 'avro.schema': RECORD_SCHEMA.replaceAll(from, to) });

/** Any character that UTF-8 can hold (`unit: 'binary'` would take a second to begin). */
const character = fc
  .oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
  .map((code) => String.fromCodePoint(code));
const text = fc.string({ unit: character, maxLength: 40 });
const micros = fc.nat(1000).map((n) => Number.MAX_SAFE_INTEGER - 1 - n);
const event: fc.Arbitrary<UsageEvent> = fc.record({
  tenant: text,
  type: text,
  quantity: fc.bigInt({ min: 0n, max: 10n ** 38n - 1n }),
  key: text,
  timestamp: micros,
  subject: fc.option(text),
  properties: text,
});

describe('a segment', () => {
  const record: fc.Arbitrary<ArchiveRecord> = fc.record({
    position: text,
    arrival: micros,
    key: fc.option(text),
    verdict: fc.constantFrom('ok', 'MISROUTED', 'EMPTY'),
    rules: fc.nat(9),
    event: fc.option(event),
    value: fc.option(fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))),
  });

  test('any records are read as they were written, and written again to the same bytes', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 8 }), text, text, (records, lineage, start) => {
        const bytes = encodeSegment(records, { lineage, start, format: 1 });
        const read = decodeSegment(bytes);
        expect(read).toEqual(records);
        expect(Buffer.from(bytes).equals(encodeSegment(read, { lineage, start, format: 1 }))).toBe(true);
      }),
    );
  });

  test('the bytes are those that every version wrote: a replay seals the same object', () => {
    expect(createHash('sha256').update(SMALL).digest('hex')).toBe(
      'e118579ff2845d7635b930b41c56740ccbcaa0147fbf0b84a6bbc4038bf50a22',
    );
    expect(SMALL.equals(container({}))).toBe(true);
  });

  test('blocks end with the record that reaches 500, or a MiB', () => {
    const blocks = (records: readonly ArchiveRecord[]): number =>
      Buffer.from(encodeSegment(records, HEADER)).toString('latin1').split(SYNC.toString('latin1')).length - 2;
    const many = Array.from({ length: 1001 }, (_, n) => recordAt(n));
    expect([0, 1, 500, 501, 1000, 1001].map((n) => blocks(many.slice(0, n)))).toEqual([0, 1, 1, 2, 2, 3]);
    const big = recordAt(0, Buffer.alloc(1024 * 1024));
    expect(blocks([big, big, recordAt(1), recordAt(2)])).toBe(3);
    expect(decodeSegment(encodeSegment([big, ...many], HEADER))).toHaveLength(1002);
  });

  test('any reader of Avro containers reads it, with the metadata', async () => {
    const decoder = new avsc.streams.BlockDecoder();
    const metadata = new Promise<Record<string, Buffer>>((resolve) =>
      decoder.once('metadata', (_, __, header) => resolve(header.meta)),
    );
    const read: unknown[] = [];
    for await (const { event: found } of Readable.from([SMALL]).pipe(decoder)) read.push(found);
    expect(read).toMatchObject([toWire(EVENT), null]);
    const meta = await metadata;
    expect(meta['meterfold.lineage']?.toString()).toBe('pg.31');
    expect(meta['meterfold.records']?.toString()).toBe('2');
  });

  test('that breaks off at any byte is refused, also behind its header or a block', () => {
    const bytes = Buffer.concat([SMALL.subarray(0, HEADER_BYTES), ...RECORDS.map((one) => blockOf(1, encoded(one)))]);
    expect(decodeSegment(bytes)).toEqual(RECORDS);
    for (let end = 0; end < bytes.length; end += 1) expect(refusal(bytes.subarray(0, end))).not.toBe('none');
  });

  test('with any bit of its header changed is refused, or read as before', () => {
    for (let bit = 0; bit < HEADER_BYTES * 8; bit += 13) {
      const bytes = Buffer.from(SMALL);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      if (refusal(bytes) === 'none') expect(decodeSegment(bytes)).toEqual(RECORDS);
    }
  });

  test('whose header counts more entries than it has bytes is refused at once', () => {
    const bytes = Buffer.from(SMALL);
    // The end of the map becomes a count of hundreds of millions, because the marker of this lineage begins with high bits.
    bytes[HEADER_BYTES - SYNC.length - 1] = 0x80;
    expect(refusal(bytes)).toBe('an entry of its header breaks off');
  });

  test.each<[string, Uint8Array, RegExp]>([
    ['nothing', Buffer.alloc(0), /^it does not begin as an Avro container$/],
    ['other bytes', Buffer.from('{"a":1}'), /^it does not begin as/],
    ['another codec', container({ 'avro.codec': 'deflate' }), /^its codec is deflate, not null$/],
    ['no codec', container({ 'avro.codec': undefined }), /^its codec is , not null$/],
    ['another schema', container(otherSchema('"verdict"', '"judgement"')), /^its schema is none that this version knows$/],
    ['no schema', container({ 'avro.schema': undefined }), /^it breaks off, or/],
    ['another lineage', container({ 'meterfold.lineage': 'pg.32' }), /^its marker is not that of its lineage and start$/],
    ['another start', container({ 'meterfold.start': '1' }), /^its marker is not/],
    ['another marker', container({}, BODY, Buffer.alloc(16)), /^its marker is not/],
    [
      'another marker behind its block',
      container({}, blockOf(1, encoded(RECORDS[0]!), Buffer.alloc(16))),
      /^the marker behind its block at byte \d+ is/,
    ],
    ['a record too few', container({ 'meterfold.records': '3' }), /^it holds 2 records, its header says 3$/],
    ['a record too many', container({ 'meterfold.records': '1' }), /^it holds 2 records, its header says 1$/],
    ['a count that is none', container({ 'meterfold.records': 'x' }), /^it holds 2 records, its header says NaN$/],
    ['no count', container({ 'meterfold.records': undefined }), /^it holds 2 records, its header says 0$/],
    [
      'a block that counts too many',
      container({}, blockOf(9e15, encoded(RECORDS[0]!))),
      /^a record of a block at byte \d+ breaks off$/,
    ],
    [
      'a block that counts too few',
      container({}, blockOf(0, encoded(RECORDS[0]!))),
      /^a block holds more bytes than its records$/,
    ],
    [
      'a record of another shape',
      container({}, blockOf(1, Buffer.from('000004', 'hex'))),
      /^it breaks off, or a record is not of the schema$/,
    ],
  ])('of %s is ARCHIVE_DAMAGED, and says why', (_, bytes, message) => {
    expect(refusal(bytes)).toMatch(message);
  });

  test('whose schema is written in another way is read', () => {
    const pretty = JSON.stringify({ doc: 'words', ...(JSON.parse(RECORD_SCHEMA) as object) }, undefined, 2);
    expect(decodeSegment(container({ 'avro.schema': pretty }))).toEqual(RECORDS);
  });
});
