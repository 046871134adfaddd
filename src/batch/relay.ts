/** Brings misrouted and redriven records home: from the outbox into their own lineage. */
import type { Catalog, Facts, Producer } from '../contract.ts';

/** Rows taken at a time. */
const PAGE = 500;

export interface RelayPorts {
  readonly catalog: Pick<Catalog, 'outbox' | 'settle'>;
  readonly producer: Producer;
  readonly facts: Facts;
}

/**
 * One round. Dying between the append and the mark repeats the append: the copy has the same key, so it counts once.
 * Answers how many records came home.
 */
export async function relay({ catalog, producer, facts }: RelayPorts): Promise<number> {
  const rows = await catalog.outbox(PAGE);
  if (rows.length === 0) return 0;
  const outcomes = await producer.append(rows);
  const done = rows.filter((_, n) => !(outcomes[n] instanceof Error)).map((row) => row.id);
  await catalog.settle(done);
  facts.relayed(done.length);
  return done.length;
}
