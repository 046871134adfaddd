// How the author of a log proves it: the suite of the project over the log of source-module.mjs, and the product on it.
//   npx vitest run examples
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startMeterfold } from 'meterfold';
import { sourceConformance } from 'meterfold/conformance';
import { expect, test } from 'vitest';
import { BATCH, openLog } from './source-module.mjs';

let made = 0;

sourceConformance('the memory log of the examples', async () => {
  const config = { dataDir: `log ${(made += 1)}` };
  return {
    log: await openLog({ config }),
    again: () => openLog({ config }),
    batch: BATCH,
    close: async () => {},
  };
});

test('the product runs on it', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'meterfold-source-'));
  const logModule = fileURLToPath(new URL('source-module.mjs', import.meta.url));
  const meterfold = await startMeterfold({ dataDir, port: 'none', logModule });
  try {
    const event_timestamp = new Date().toISOString();
    const event = (n) => ({
      tenant_id: 'acme',
      event_type: 'calls',
      quantity: '1',
      idempotency_key: `k${n}`,
      event_timestamp,
    });
    const { results, token } = await meterfold.ingest([event(1), event(2), event(2)]);
    expect(results[0].lineage).toMatch(/^memory\./);
    const from = event_timestamp.slice(0, 10);
    const to = new Date(Date.parse(from) + 86_400_000).toISOString();
    const { rows, proof } = await meterfold.query('calls', { from, to, after: token });
    expect(rows.map(({ value }) => value)).toEqual(['2']);
    expect(proof.lineages.map(({ lineage }) => lineage)).toContain(results[0].lineage);
    expect((await meterfold.verify()).ok).toBe(true);
  } finally {
    await meterfold.close();
    await rm(dataDir, { recursive: true });
  }
});
