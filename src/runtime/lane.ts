/** Keeps one lineage going: term after term, waiting out what is transient, stopping loudly at what is not. */
import type { Clock } from '../clock.ts';
import type { Facts, Lineage, Position } from '../contract.ts';
import { kindOf } from '../errors.ts';
import { backoff } from './backoff.ts';
import { earliestRow } from './resume.ts';
import { runTerm, type TermEnd, type TermPorts } from './term.ts';

export interface LanePorts extends Omit<TermPorts, 'taken'> {
  readonly clock: Clock;
  readonly facts: Facts;
  /** In [0, 1): jitter. */
  readonly random: () => number;
}

/** Opens every sink, then runs a term. `wait`: a sink is not ready, or wants another try. */
async function oneTerm(ports: TermPorts, lineage: Lineage, stop: AbortSignal): Promise<TermEnd | 'wait'> {
  const opened = [];
  for (const sink of ports.sinks) {
    const open = await sink.open(lineage);
    if (open === undefined) return 'wait';
    opened.push(open);
  }
  return runTerm(ports, lineage, earliestRow(opened), stop);
}

/** Resolves when the lineage is read to its close (`ended`) or `stop` aborts. Throws what is fatal. */
export async function runLane(ports: LanePorts, lineage: Lineage, stop: AbortSignal): Promise<'ended' | 'stopped'> {
  const { clock, facts, random } = ports;
  const what = `lineage ${lineage.id}`;
  let [failures, reached, isWaiting] = [0, '', false];
  // A replay proves nothing until it is past the place of the failure: a seal can fail behind batches that are taken again.
  const taken = (before: Position): void => {
    if (before <= reached) return;
    if (isWaiting) facts.recovered(what);
    [failures, reached, isWaiting] = [0, before, false];
  };
  /** What it waited for is another process's to wait for, if it waits at all. */
  const over = <T>(end: T): T => {
    if (isWaiting) facts.released(what);
    return end;
  };
  for (;;) {
    if (stop.aborted) return over('stopped');
    try {
      const end = await oneTerm({ ...ports, taken }, lineage, stop);
      if (end === 'ended' || end === 'stopped') return over(end);
      // Refused: another worker, or a loss that the next `open` heals. A short wait keeps two of them from spinning.
      failures = end === 'reopen' ? 1 : failures + 1;
    } catch (error) {
      if (kindOf(error) !== 'transient') {
        facts.stopped(what, error);
        throw error;
      }
      failures += 1;
      isWaiting = true;
      facts.waiting(what, error);
    }
    await clock.sleep(backoff(failures, random), stop);
  }
}
