/** The edge of this process: its processors recorded, and what they and the privacy rules make of an event. */
import type { Config } from '../config.ts';
import type { EdgeProcessor, Facts } from '../contract.ts';
import { type Edge, edgeOf } from '../domain/edge.ts';
import { concealing } from '../domain/privacy.ts';
import { recordProcessors } from '../sinks/postgres/processors.ts';
import type { Stores } from './stores.ts';

export interface EdgeParts {
  readonly stores: Pick<Stores, 'pool' | 'secret'>;
  readonly facts: Pick<Facts, 'processorFaulted' | 'processorChanged'>;
  readonly processors: readonly EdgeProcessor[];
}

/** Throws INSTALLATION_DIFFERS for a processor whose version went back. */
export async function openEdge(
  { checkProcessors, privacy = {} }: Config,
  { stores, facts, processors }: EdgeParts,
): Promise<Edge> {
  for (const { name, from, to } of await recordProcessors(stores.pool, processors)) facts.processorChanged(name, from, to);
  return edgeOf({
    processors,
    checks: checkProcessors === 'on',
    conceal: concealing(privacy, stores.secret),
    onFault: facts.processorFaulted,
  });
}
