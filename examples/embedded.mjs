// The embedded product inside a program: start, send, ask, close.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startMeterfold } from 'meterfold';

const dataDir = await mkdtemp(join(tmpdir(), 'meterfold-embedded-'));
const meterfold = await startMeterfold({ dataDir, port: 'none' });
try {
  const now = new Date();
  const event = (n) => ({
    tenant_id: 'acme',
    event_type: 'tokens',
    quantity: '0.1',
    idempotency_key: `request-${n}`,
    event_timestamp: now.toISOString(),
  });
  // The third has the key of the first, so it counts once.
  const { accepted, token } = await meterfold.ingest([event(1), event(2), event(1)]);

  const day = 86_400_000;
  const from = new Date(now - (now % day)).toISOString();
  const to = new Date(now - (now % day) + day).toISOString();
  const { rows, proof } = await meterfold.query('tokens', { tenant: 'acme', from, to, after: token });
  console.log(`${accepted} accepted, ${rows[0].count} counted, sum ${rows[0].value}, ${proof.state}`);
  if (rows[0].value !== '0.2' || proof.state !== 'exact') throw new Error('expected 0.2, exact');
  if (!(await meterfold.verify()).ok) throw new Error('the recount differs');
} finally {
  await meterfold.close();
  await rm(dataDir, { recursive: true });
}
