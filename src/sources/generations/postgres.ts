/** The generations of the log on PostgreSQL. Every statement leaves alone what stands. */
import type { Pool } from 'pg';
import type { Position } from '../../contract.ts';
import { run } from '../../sinks/postgres/pool.ts';
import type { Generation, GenerationRegistry, Generations } from './registry.ts';

const GENERATION = 'generation AS number, topic, log, partitions, is_open AS "isOpen"';

const LOOK = `
  SELECT (SELECT coalesce(json_agg(g ORDER BY number), '[]') FROM (SELECT ${GENERATION} FROM log_generations) AS g) AS all,
    (SELECT coalesce(json_agg(e), '[]') FROM (SELECT lineage, position FROM log_ends WHERE position IS NOT NULL) AS e) AS ends`;

interface Row {
  readonly all: readonly Generation[];
  readonly ends: readonly { readonly lineage: string; readonly position: Position }[];
  readonly [column: string]: unknown;
}

const PLAN = `
  INSERT INTO log_generations (generation, topic, log, partitions, is_open) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`;
const CLOSING = 'INSERT INTO log_ends (lineage, before) VALUES ($1, $2) ON CONFLICT DO NOTHING';
const ENDED = 'UPDATE log_ends SET position = $2 WHERE lineage = $1 AND position IS NULL';
const OPEN = 'UPDATE log_generations SET is_open = true WHERE generation = $1';

async function look(pool: Pool): Promise<Generations> {
  const [row] = await run<Row>(pool, 'look for generations of the log', LOOK);
  return { all: row?.all ?? [], ends: new Map((row?.ends ?? []).map(({ lineage, position }) => [lineage, position])) };
}

export const postgresGenerations = (pool: Pool): GenerationRegistry => ({
  look: () => look(pool),
  plan: async (generation) => {
    const { number, topic, log, partitions, isOpen } = generation;
    await run(pool, `plan generation ${String(number)} of the log`, PLAN, [number, topic, log, partitions, isOpen]);
    const found = (await look(pool)).all.find((one) => one.number === number);
    return found ?? generation;
  },
  closing: async (lineage, before) => {
    const what = `note that ${lineage} is being closed`;
    await run(pool, what, CLOSING, [lineage, before]);
    const text = 'SELECT before FROM log_ends WHERE lineage = $1';
    return (await run<{ before: string }>(pool, what, text, [lineage]))[0]?.before ?? before;
  },
  ended: async (lineage, end) => void (await run(pool, `note the end of ${lineage}`, ENDED, [lineage, end])),
  open: async (generation) => void (await run(pool, `open generation ${String(generation)}`, OPEN, [generation])),
});
