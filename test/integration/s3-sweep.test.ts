/** The sweep beside sealers that race each other: real sealers, a real catalog, a real S3. */
import { expect, test } from 'vitest';
import { at, lineage } from '../../src/conformance/places.ts';
import type { Archive, Catalog, PlacedBatch } from '../../src/contract.ts';
import { implicitMeters } from '../../src/domain/meter.ts';
import type { Head } from '../../src/domain/segment.ts';
import { segmentKey } from '../../src/sinks/archive/keys.ts';
import { openS3Sweep } from '../../src/sinks/archive/s3-sweep.ts';
import { openS3Archive } from '../../src/sinks/archive/s3.ts';
import { manifestRows, readSegment } from '../../src/sinks/archive/segments.ts';
import { ArchiveSink } from '../../src/sinks/archive/sink.ts';
import { sweepOrphans } from '../../src/sinks/archive/sweep.ts';
import { postgresCatalog } from '../../src/sinks/postgres/catalog.ts';
import { migrate } from '../../src/sinks/postgres/migrate.ts';
import { openPool } from '../../src/sinks/postgres/pool.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { fixedRules, ruleSet } from '../support/rules.ts';
import { describeS3 } from '../support/s3-services.ts';
import { describeEachDatabase } from '../support/postgres-services.ts';
import { silentFacts } from '../support/silent-facts.ts';

const LINEAGES = ['l0', 'l1', 'l2'];
const SEGMENTS = 12;
/** Records of a segment. */
const LENGTH = 4;

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const found = [];
  for await (const value of values) found.push(value);
  return found;
}

/** The batch that closes the segment at a head: a function of it, as the log is. */
function closing(head: Head): PlacedBatch {
  const start = Number(head.start);
  const offsets = Array.from({ length: LENGTH }, (_, n) => start + n);
  const [rules, arrival] = [1, start + LENGTH];
  const next: Head = { ...head, segment: head.segment + 1, start: at(start + LENGTH), arrival };
  const records = offsets.map((offset) => ({
    record: { position: at(offset), arrival: offset, key: null, value: new Uint8Array([offset % 256]) },
    ...{ verdict: 'EMPTY', segment: head.segment, rules, arrival: offset, contributions: [] },
  }));
  const closed = [{ row: head, end: next.start, next }];
  return { lineage: head.lineage, from: head.start, next: next.start, records, arrival, rules, closed };
}

/** One process that seals a lineage to its end, whoever else does. */
async function sealAll(archive: Archive, catalog: Catalog, id: string): Promise<void> {
  const ruleSets = fixedRules([ruleSet(implicitMeters())]);
  const sink = new ArchiveSink({ archive, catalog, clock: new ManualClock(), facts: silentFacts(), ruleSets });
  for (;;) {
    const { row } = (await sink.open(lineage(id)))!;
    if (row.segment >= SEGMENTS) return;
    await sink.write(closing(row));
  }
}

describeS3('the sweep of orphans', (server) => {
  describeEachDatabase('beside sealers', (database) => {
    test('removes every orphan, and nothing that a sealer has put or is about to claim', async () => {
      const pool = openPool(await database.empty(), { max: database.kind === 'pglite' ? 1 : 10 });
      await migrate(pool);
      const catalog = postgresCatalog(pool, { firstFormat: 1 });
      const options = { ...server().access, bucket: await server().bucket() };
      const [archive, store] = [await openS3Archive(options), openS3Sweep(options)];
      // What a sealer with another idea of where segments end has left: in sealed ground, ahead, and of a lost lineage.
      const within = LINEAGES.flatMap((id) => [2, 21, 45].map((start) => segmentKey({ lineage: id, start: at(start) })));
      const ahead = segmentKey({ lineage: 'l0', start: at(SEGMENTS * LENGTH + 2) });
      const lost = segmentKey({ lineage: 'gone', start: at(0) });
      for (const key of [...within, ahead, lost]) await archive.put(key, new Uint8Array([1]));

      const state = { isSealed: false };
      const sealers = [1, 2].flatMap(() => LINEAGES.map((id) => sealAll(archive, catalog, id)));
      const sealed = Promise.all(sealers).finally(() => (state.isSealed = true));
      const removed: string[] = [];
      const sweep = async (): Promise<void> => {
        const { orphans } = await sweepOrphans(store, catalog, { before: Infinity, mode: 'remove' });
        removed.push(...orphans);
      };
      let sweeps = 0;
      while (!state.isSealed) {
        await sweep();
        sweeps += 1;
      }
      await sealed;
      await sweep();

      expect(sweeps).toBeGreaterThan(2);
      expect([...removed].sort()).toEqual([...within].sort());
      for (const id of LINEAGES) {
        const rows = await all(manifestRows(catalog, id));
        expect(rows).toHaveLength(SEGMENTS);
        for (const row of rows) expect(await readSegment(archive, row)).toHaveLength(LENGTH);
      }
      const left = await all(archive.list(''));
      expect(left).toHaveLength(LINEAGES.length * SEGMENTS + 2);
      expect(left).toEqual(expect.arrayContaining([ahead, lost]));
      archive.close();
      store.close();
      await pool.end();
    });
  });
});
