import type { Facts } from '../../src/contract.ts';

export type Told = readonly [fact: keyof Facts, ...args: unknown[]];

/** Facts that are kept instead of logged. */
export function recordedFacts(): { facts: Facts; told: Told[]; count: (fact: keyof Facts) => number } {
  const told: Told[] = [];
  const tell =
    (fact: keyof Facts) =>
    (...args: unknown[]): void =>
      void told.push([fact, ...args]);
  const names: (keyof Facts)[] = [
    'accepted',
    'refused',
    'filtered',
    'processorFaulted',
    'processorChanged',
    'applied',
    'cropped',
    'sealed',
    'gapped',
    'adopted',
    'published',
    'rejected',
    'misrouted',
    'ticked',
    'stocked',
    'redriven',
    'healing',
    'relayed',
    'unmetered',
    'skippedMeter',
    'otherGroup',
    'filled',
    'serving',
    'rebuilt',
    'waiting',
    'recovered',
    'released',
    'stopped',
  ];
  const facts = Object.fromEntries(names.map((name) => [name, tell(name)])) as unknown as Facts;
  return { facts, told, count: (fact) => told.filter(([name]) => name === fact).length };
}

export const silentFacts = (): Facts => recordedFacts().facts;
