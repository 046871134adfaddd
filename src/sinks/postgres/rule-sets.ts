/** Versions of the rule set on PostgreSQL, and what one process knows of them. */
import type { Pool } from 'pg';
import type { RuleSets } from '../../contract.ts';
import { demandWider } from '../../domain/event-schema-change.ts';
import { implicitMeters, type Meter, meterId } from '../../domain/meter.ts';
import { demandAhead } from '../../domain/routing.ts';
import { type Declared, nextRules, type RuleSet } from '../../domain/rules.ts';
import { decodeRules, encodeRules } from '../../domain/rules-text.ts';
import { MeterError } from '../../errors.ts';
import { servingOf } from './batch-view.ts';
import { inTransaction, type Queryable, run } from './pool.ts';

const implicit = implicitMeters();

interface Row {
  readonly version: number;
  readonly body: string;
  readonly [column: string]: unknown;
}
const HISTORY = 'SELECT version, body FROM rule_sets WHERE version > $1 ORDER BY version';

/** What meters are to this process: their filters may know more than is recorded. */
type As = (meters: readonly Meter[]) => readonly Meter[];

/** Versions behind `after`. */
const historyOf = async (on: Queryable, as?: As, after = 0): Promise<RuleSet[]> =>
  (await run<Row>(on, 'read the rule sets', HISTORY, [after])).map(({ version, body }) =>
    decodeRules(version, body, implicit, as),
  );

/**
 * Records what a start declares, if it is new. Of several starts at once one records, the others find it. Throws BAD_METERS
 * for a spread step that is not ahead of its time, and for a schema that takes less than the one that is recorded.
 */
export async function declareRules(pool: Pool, declared: Declared, now: number): Promise<void> {
  await inTransaction(pool, 'record the rule set', async (client) => {
    // Two starts with different files take turns; each sees what the other recorded.
    await run(client, 'lock the rule sets', 'LOCK TABLE rule_sets IN EXCLUSIVE MODE');
    const history = await historyOf(client);
    const serving = await servingOf(client);
    const newest = history.at(-1);
    if (newest !== undefined) demandAhead(newest.spread, declared.spread ?? newest.spread, now);
    if (newest !== undefined && declared.schemas !== undefined) demandWider(newest.schemas, declared.schemas);
    const next = nextRules(history, declared, implicit, (meter) => serving.has(meter));
    if (next === undefined) return;
    await run(client, 'record the rule set', 'INSERT INTO rule_sets (version, body) VALUES ($1, $2)', [
      next.version,
      encodeRules(next),
    ]);
    if (next.version > 1) return;
    // Nothing lies before the first version: its meters answer at once.
    const text = 'INSERT INTO meters_serving (meter) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING';
    await run(client, 'let the first meters answer', text, [next.meters.meters.map(meterId)]);
  });
}

/** What this process knows of the rule sets. `declareRules` ran before. */
export async function openRuleSets(pool: Pool, as?: As): Promise<RuleSets> {
  const known = new Map<number, RuleSet>();
  let serving: ReadonlySet<string> = new Set();
  const look = async (): Promise<void> => {
    // They are append-only, and recorded one at a time under a lock: none comes to be below one that is known.
    for (const set of await historyOf(pool, as, Math.max(0, ...known.keys()))) known.set(set.version, set);
    serving = await servingOf(pool);
  };
  const get = (version: number): RuleSet => {
    const found = known.get(version);
    if (found === undefined) throw new RangeError(`rule set ${String(version)} is not known to this process`);
    return found;
  };
  await look();
  return {
    get newest() {
      return get(Math.max(...known.keys()));
    },
    get serving() {
      return serving;
    },
    get,
    refresh: look,
    demand: async (version) => {
      if (!known.has(version)) await look();
      if (!known.has(version))
        throw new MeterError('DATA_DIR_NEWER', `rule set ${String(version)} is in force in the log, and not recorded`);
    },
  };
}
