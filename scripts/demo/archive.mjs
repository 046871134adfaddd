// A recount of the archive: every Avro object, read with a reader that is not Meterfold's.
import avro from 'avsc';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { once } from 'node:events';

async function* objects(dir) {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) yield* objects(join(dir, entry.name));
    else if (entry.name.endsWith('.avro')) yield join(dir, entry.name);
  }
}

/** tenant -> events that count, first copies only. */
export async function recountArchive(dataDir) {
  const seen = new Set();
  const counts = new Map();
  for await (const path of objects(join(dataDir, 'archive'))) {
    const reader = avro.createFileDecoder(path);
    reader.on('data', ({ verdict, event }) => {
      const fields = event?.['dev.meterfold.v1.UsageEvent'] ?? event;
      if (verdict !== 'ok' || fields === null) return;
      const key = JSON.stringify([fields.tenant_id, fields.idempotency_key]);
      if (seen.has(key)) return;
      seen.add(key);
      counts.set(fields.tenant_id, (counts.get(fields.tenant_id) ?? 0) + 1);
    });
    await once(reader, 'end');
  }
  return counts;
}
