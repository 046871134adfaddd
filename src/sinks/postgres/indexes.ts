/** Indexes that a setting asks for: made or dropped at the start of the server, which waits for it. */
import type { Pool } from 'pg';
import { asFailure, run } from './pool.ts';

/** Event rows by what their properties contain: `properties @> '{"model": "large"}'`. */
const PROPERTIES = `CREATE INDEX IF NOT EXISTS metering_events_properties ON metering_events USING gin (properties)`;
/** Rows that retention of event rows has not emptied yet. The predicate is that of its query. */
const PAYLOAD = `CREATE INDEX IF NOT EXISTS metering_events_payload ON metering_events (event_timestamp)
  WHERE subject IS NOT NULL OR properties <> '{}'::jsonb`;

export interface IndexSettings {
  readonly propertiesIndex: 'off' | 'on';
  readonly eventRowRetentionMs: number;
}

const shaped = (
  settings: IndexSettings,
): readonly { readonly name: string; readonly text: string; readonly on: boolean }[] => [
  { name: 'metering_events_properties', text: PROPERTIES, on: settings.propertiesIndex === 'on' },
  { name: 'metering_events_payload', text: PAYLOAD, on: settings.eventRowRetentionMs > 0 },
];

/** What makes them, on tables that are empty. */
export const indexTexts = (settings: IndexSettings): readonly string[] =>
  shaped(settings).flatMap(({ text, on }) => (on ? [text] : []));

/** Throws DATABASE_UNAVAILABLE. Writers of event rows wait while an index is made: GIN takes 14 s a million rows. */
export async function shapeIndexes(pool: Pool, settings: IndexSettings): Promise<void> {
  const what = 'read the indexes of event rows';
  for (const { name, text, on } of shaped(settings)) {
    const [found] = await run<{ there: boolean }>(pool, what, 'SELECT to_regclass($1) IS NOT NULL AS there', [name]);
    if (found?.there !== on) await alone(pool, on ? text : `DROP INDEX IF EXISTS ${name}`);
  }
}

/** Without the limit that other statements have: an index of many rows takes as long as it takes. */
async function alone(pool: Pool, text: string): Promise<void> {
  const what = `change an index: ${text}`;
  const client = await pool.connect().catch((error: unknown) => {
    throw asFailure(error, what);
  });
  try {
    await client.query('SET statement_timeout = 0');
    await client.query(text);
  } catch (error) {
    throw asFailure(error, what);
  } finally {
    client.release(true);
  }
}
