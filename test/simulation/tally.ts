/** How often each fault and each check happened. A schedule that tests nothing shows here. */
export class Tally {
  readonly counts = new Map<string, number>();

  add(name: string, n = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + n);
  }
}

/** What every long run must have seen. */
export const EXPECTED = [
  'fault: process killed',
  'fault: request of a dead process arrived',
  'fault: process paused (zombie)',
  'fault: process asked to stop',
  'fault: error before a call took effect',
  'fault: error after a call took effect (lost reply)',
  'fault: speed store failed over, suffix lost',
  'fault: bucket wiped',
  'fault: lineage split',
  'fault: lineages merged',
  'fault: duplicate sent',
  'fault: old duplicate sent (an epoch or more)',
  'fault: acknowledgement lost, sent again',
  'fault: same key, other content',
  'fault: record in a foreign partition',
  'fault: late writer behind an END',
  'fault: garbage record',
  'fault: broker clock went back',
  'fault: event from the future',
  'fault: event older than keys are kept',
  'fault: gap in the offsets',
  'fault: archive format changed',
  'fault: transaction rolled back',
  'event: lock waited for',
  'event: object was there already',
  'event: head lost to another sealer',
  'event: apply refused',
  'event: advance refused',
  'event: record cropped at the fence',
  'event: bucket healed by advance',
  'event: epoch of digests dropped',
  'event: cells collected',
  'event: old keys forgotten',
  'event: look-up found a duplicate',
  'event: misrouted record relayed',
  'event: lane read to END',
  'event: reader took a second snapshot',
  'event: answer provisional',
  'event: answer waited for a write',
  'check: answer at its proof (7)',
  'check: other cut, same speed state (5)',
  'check: as_of of an answer',
  'check: bucket cells and keys (2, 3)',
  'check: rollups at a commit (4)',
  'check: object bytes repeated (6)',
  'check: segment against the log',
  'check: full truth at the end (8)',
  'check: two epochs at the end (8)',
  'check: rejects at the end',
] as const;
