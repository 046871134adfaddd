/** Keeps one lane running for every lineage that is not finished: all of them, or those that are this process's share. */
import type { Lineage, Sharing } from '../contract.ts';
import { asError } from '../errors.ts';
import { type LanePorts, runLane } from './lane.ts';
import type { Topology } from './pipeline.ts';
import { type Role, runRole } from './role.ts';

export interface SupervisorPorts extends Omit<LanePorts, 'source' | 'sinks' | 'processor'> {
  readonly topology: Topology;
  /** How often new lineages are looked for, ms. */
  readonly discoverMs: number;
  /** Absent: this process reads every lineage. */
  readonly sharing?: Sharing;
}

type Lane = (lineage: Lineage, stop: AbortSignal) => Promise<unknown>;

/** Runs until `stop` aborts and every lane has drained. Throws the first fatal error, after stopping the other lanes. */
export function supervise(ports: SupervisorPorts, stop: AbortSignal): Promise<void> {
  const { topology, sharing } = ports;
  const { source, processor } = topology;
  const lane: Lane = (lineage, until) => runLane({ ...ports, source, processor, sinks: topology.sinks() }, lineage, until);
  return sharing === undefined
    ? readAll(ports, lane, stop)
    : sharing.share((lineage, giveUp) => keep(lane, lineage, giveUp), stop);
}

/** A lineage that is read to its close stays with who read it: another would only read it again. */
async function keep(lane: Lane, lineage: Lineage, giveUp: AbortSignal): Promise<void> {
  await lane(lineage, giveUp);
  if (giveUp.aborted) return;
  await new Promise((resolve) => {
    giveUp.addEventListener('abort', resolve, { once: true });
  });
}

async function readAll({ topology, discoverMs, ...ports }: SupervisorPorts, lane: Lane, stop: AbortSignal): Promise<void> {
  const failed = new AbortController();
  const over = AbortSignal.any([stop, failed.signal]);
  const lanes = new Map<string, Promise<unknown>>();
  let error: Error | undefined;
  const fail = (cause: unknown): void => {
    error ??= asError(cause);
    failed.abort();
  };
  const discovery: Role = {
    name: 'discovery',
    everyMs: discoverMs,
    step: async () => {
      for (const lineage of await topology.source.lineages())
        if (!lanes.has(lineage.id)) lanes.set(lineage.id, lane(lineage, over).catch(fail));
    },
  };
  await runRole(ports, discovery, over).catch(fail);
  await Promise.all(lanes.values());
  if (error !== undefined) throw error;
}
