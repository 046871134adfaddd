/** Sealed objects in S3: the rule of a 412, damage, and what another implementation of Avro reads in them. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeEach, describe, expect, test } from 'vitest';
import { at, lineage } from '../../src/conformance/places.ts';
import type { Archive, Catalog, Placed, PlacedBatch } from '../../src/contract.ts';
import { hasZstd } from '../../src/domain/codec.ts';
import { formatDecimal } from '../../src/domain/decimal.ts';
import { implicitMeters } from '../../src/domain/meter.ts';
import { decodeObject, encodeObject } from '../../src/domain/object.ts';
import type { Head, SegmentRow } from '../../src/domain/segment.ts';
import { segmentKey } from '../../src/sinks/archive/keys.ts';
import { objectKey, placeOf } from '../../src/sinks/archive/s3-layout.ts';
import { openS3Archive } from '../../src/sinks/archive/s3.ts';
import { readSegment, sha256 } from '../../src/sinks/archive/segments.ts';
import { ArchiveSink } from '../../src/sinks/archive/sink.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { avro } from '../support/services/avro.ts';
import { describeService } from '../support/services/suites.ts';
import { ownProgram } from '../support/services/ways.ts';
import { fixedRules, ruleSet } from '../support/rules.ts';
import { describeS3 } from '../support/s3-services.ts';
import { recordedFacts, silentFacts } from '../support/silent-facts.ts';

const COUNT = 1200;
const KEY = segmentKey({ lineage: 'l0', start: at(0) });

const headOf = (format: number): Head => ({
  ...{ lineage: 'l0', segment: 0, start: at(0), format, rules: 1, arrival: 0, ended: false },
});

/** Quantities of 38 digits: no float may have touched them. */
const quantityOf = (n: number): bigint => 10n ** 37n + BigInt(n) * 1_000_000_007n;

const placedAt = (n: number): Placed => ({
  record: { position: at(n), arrival: 1_795_514_403_000 + n, key: null, value: new Uint8Array([n % 256, 0xff]) },
  ...(n % 50 === 49
    ? { verdict: 'UNDECODABLE' }
    : {
        verdict: 'ok',
        event: {
          ...{ tenant: `t${n % 3}`, type: 'tokens', quantity: quantityOf(n), key: `k-${n}`, subject: null },
          ...{ timestamp: 1_795_514_403_000_000 + n, properties: '{"model":"größer"}' },
        },
      }),
  ...{ segment: 0, rules: 1, arrival: 1_795_514_403_000 + n, contributions: [] },
});

/** A whole log of one segment. */
function segment(format: number, count = COUNT): PlacedBatch {
  const [head, arrival] = [headOf(format), 1_795_514_403_000 + count];
  const next = { ...head, segment: 1, start: at(count), arrival };
  const records = Array.from({ length: count }, (_, n) => placedAt(n));
  const closed = [{ row: head, end: next.start, next }];
  return { lineage: 'l0', from: head.start, next: next.start, records, arrival, rules: 1, closed };
}

/** A sealer whose catalog takes whatever it is given. */
async function seal(archive: Archive, batch: PlacedBatch, facts = silentFacts()): Promise<SegmentRow> {
  const rows: SegmentRow[] = [];
  const catalog = {
    head: async () => batch.closed[0]!.row,
    seal: async (row: SegmentRow) => {
      rows.push(row);
      return 'sealed' as const;
    },
  } as unknown as Catalog;
  const ruleSets = fixedRules([ruleSet(implicitMeters())]);
  const sink = new ArchiveSink({ archive, catalog, clock: new ManualClock(), facts, ruleSets });
  await sink.open(lineage());
  await sink.write(batch);
  return rows[0]!;
}

describeS3('sealed objects in S3', (server) => {
  let archive: Archive & { close(): void };
  let bucket: string;
  beforeEach(async () => {
    bucket = await server().bucket();
    archive = await openS3Archive({ ...server().access, bucket });
    return () => {
      archive.close();
    };
  });
  const stored = () => ({ Bucket: bucket, Key: objectKey(placeOf({ bucket }), KEY) });

  describe('where an object is there already', () => {
    test('with the same bytes, the segment is sealed', async () => {
      const first = await seal(archive, segment(5));
      const { facts, count } = recordedFacts();
      expect(await seal(archive, segment(5), facts)).toEqual(first);
      expect([count('adopted'), count('misrouted')]).toEqual([0, 0]);
      expect(first.object).toMatchObject({ key: KEY, sha256: sha256(await archive.get(KEY)) });
    });

    test('with other bytes of the same records, it is adopted with its own sha-256', async () => {
      const records = await decodeObject(await sealedBytes(7));
      // What another version of a compression library might have made of them.
      const other = await encodeObject(records, headOf(4));
      await archive.put(KEY, other);
      const { facts, told } = recordedFacts();
      const row = await seal(archive, segment(7), facts);
      expect(told.filter(([name]) => name === 'adopted')).toEqual([['adopted', row.lineage, row.segment]]);
      expect(row.object).toEqual({ key: KEY, sha256: sha256(other), bytes: other.length });
      expect(await readSegment(archive, row)).toEqual(records);
    });

    test('with other records, the sealer stops, and says where they differ', async () => {
      await seal(archive, segment(5, COUNT - 1));
      await expect(seal(archive, segment(5))).rejects.toMatchObject({
        code: 'ARCHIVE_CONFLICT',
        kind: 'fatal',
        message: expect.stringMatching(new RegExp(`${KEY}.*${at(COUNT - 1)}`)),
      });
    });
  });

  const sealedBytes = async (format: number): Promise<Uint8Array> => {
    const elsewhere = await openS3Archive({ ...server().access, bucket, prefix: `format-${format}` });
    await seal(elsewhere, segment(format));
    const bytes = await elsewhere.get(KEY);
    elsewhere.close();
    return bytes;
  };

  test('damage and loss of an object are found by whoever reads its segment', async () => {
    const row = await seal(archive, segment(5));
    const bytes = Buffer.from(await archive.get(KEY));
    bytes[bytes.length - 30]! ^= 1;
    await server().client.send(new PutObjectCommand({ ...stored(), Body: bytes }));
    const message = expect.stringContaining(KEY);
    await expect(readSegment(archive, row)).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED', kind: 'fatal', message });
    await server().client.send(new DeleteObjectCommand(stored()));
    await expect(readSegment(archive, row)).rejects.toMatchObject({ code: 'ARCHIVE_MISSING', kind: 'fatal', message });
  });

  describeService('objects in another language', avro, 'own', () => {
    test('fastavro reads what is written in every codec, and counts the same to the last digit', async () => {
      const python = ownProgram(avro).path;
      const formats = [1, 4, 5, ...(hasZstd ? [6] : []), 7];
      const folder = await mkdtemp(join(tmpdir(), 'meterfold-objects-'));
      const paths = formats.map((format) => join(folder, `${format}.avro`));
      for (const [n, path] of paths.entries()) await writeFile(path, await sealedBytes(formats[n]!));
      const told = execFileSync(python, [new URL('../support/recount.py', import.meta.url).pathname, ...paths]);
      await rm(folder, { recursive: true });

      const { records } = segment(1);
      const sums: Record<string, string> = {};
      for (const tenant of ['t0', 't1', 't2']) {
        const sum = records.reduce((total, { event }) => total + (event?.tenant === tenant ? event.quantity : 0n), 0n);
        sums[`${tenant} tokens`] = twelveDigits(sum);
      }
      const expected = {
        ...{ lineage: 'l0', start: at(0), records: COUNT, sums, positions: records.map(({ record }) => record.position) },
        rejects: records
          .filter(({ verdict }) => verdict !== 'ok')
          .map(({ verdict, record }) => [verdict, Buffer.from(record.value).toString('hex')]),
      };
      const lines = told.toString().trim().split('\n');
      const codecs = ['null', 'null', 'snappy', ...(hasZstd ? ['zstandard'] : []), 'deflate'];
      expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(codecs.map((codec) => ({ codec, ...expected })));
    });
  });
});

/** As recount.py prints it. */
function twelveDigits(scaled: bigint): string {
  const [whole, fraction = ''] = formatDecimal(scaled).split('.');
  return `${whole}.${fraction.padEnd(12, '0')}`;
}
