// A processor that filters, enriches and splits. Configure it with `processors: [./processor-enrich.mjs]`; run by itself,
// this file starts the product with that setting and looks at what comes out.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startMeterfold } from 'meterfold';

const PLANS = { acme: 'gold' };

/** @type {import('meterfold').EdgeProcessor} */
export const processor = {
  name: 'plans',
  version: 1, // one more with every change of what comes out
  process(event) {
    // Filter: the code is what the caller is told, and what is counted.
    if (event.properties.test === true) return { drop: 'TEST_TRAFFIC' };
    // Enrich. Only from what is in this file or the event: the same event must give the same result.
    const plan = PLANS[event.tenant_id] ?? 'free';
    const enriched = { ...event, properties: { ...event.properties, plan } };
    if (event.event_type !== 'call') return enriched;
    // Split: every part has a key of its own that starts with that of the event.
    const part = (type, quantity) => ({
      ...enriched,
      event_type: type,
      quantity,
      idempotency_key: `${event.idempotency_key}/${type}`,
    });
    return [part('calls', '1'), part('seconds', event.quantity)];
  },
};

async function show() {
  const dataDir = await mkdtemp(join(tmpdir(), 'meterfold-processor-'));
  const meterfold = await startMeterfold({ dataDir, port: 'none', processors: [fileURLToPath(import.meta.url)] });
  try {
    const event_timestamp = new Date().toISOString();
    const call = { tenant_id: 'acme', event_type: 'call', quantity: '12.5', idempotency_key: 'call-1', event_timestamp };
    const { results, token } = await meterfold.ingest([
      call,
      { ...call, idempotency_key: 'call-2', properties: { test: true } },
    ]);
    console.log(results.map(({ status, code, parts }) => `${status} ${code ?? `as ${parts.length} events`}`).join(', '));
    const day = event_timestamp.slice(0, 10);
    const to = new Date(Date.parse(day) + 86_400_000).toISOString();
    for (const [meter, expected] of Object.entries({ calls: '1', seconds: '12.5' })) {
      const { rows } = await meterfold.query(meter, { tenant: 'acme', from: day, to, after: token });
      console.log(`${meter}: ${rows[0].value}`);
      if (rows[0].value !== expected) throw new Error(`expected ${expected}`);
    }
  } finally {
    await meterfold.close();
    await rm(dataDir, { recursive: true });
  }
}

// Not awaited here: the product imports this very module.
if (process.argv[1] === fileURLToPath(import.meta.url)) void show();
