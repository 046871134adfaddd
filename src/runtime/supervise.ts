/** Keeps one lane running for every lineage that is not finished. */
import type { Lineage } from '../contract.ts';
import { asError } from '../errors.ts';
import { type LanePorts, runLane } from './lane.ts';
import type { Topology } from './pipeline.ts';
import { type Role, runRole } from './role.ts';

export interface SupervisorPorts extends Omit<LanePorts, 'source' | 'sinks' | 'processor'> {
  readonly topology: Topology;
  /** How often new lineages are looked for, ms. */
  readonly discoverMs: number;
}

/** Runs until `stop` aborts and every lane has drained. Throws the first fatal error, after stopping the other lanes. */
export async function supervise(ports: SupervisorPorts, stop: AbortSignal): Promise<void> {
  const { topology, clock, discoverMs, ...lane } = ports;
  const failed = new AbortController();
  const over = AbortSignal.any([stop, failed.signal]);
  const lanes = new Map<string, Promise<unknown>>();
  let error: Error | undefined;
  const fail = (cause: unknown): void => {
    error ??= asError(cause);
    failed.abort();
  };
  const start = (lineage: Lineage): void => {
    const { source, processor } = topology;
    const running = runLane({ ...lane, clock, source, processor, sinks: topology.sinks() }, lineage, over);
    lanes.set(lineage.id, running.catch(fail));
  };
  const discovery: Role = {
    name: 'discovery',
    everyMs: discoverMs,
    step: async () => {
      for (const lineage of await topology.source.lineages()) if (!lanes.has(lineage.id)) start(lineage);
    },
  };
  await runRole({ clock, facts: lane.facts, random: lane.random }, discovery, over).catch(fail);
  await Promise.all(lanes.values());
  if (error !== undefined) throw error;
}
