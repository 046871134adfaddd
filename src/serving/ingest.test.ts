import { describe, expect, test } from 'vitest';
import type { Outgoing, Written } from '../contract.ts';
import { fixedRules, ruleSet } from '../../test/support/rules.ts';
import { silentFacts } from '../../test/support/silent-facts.ts';
import { FOR_EVER } from '../domain/kept.ts';
import { implicitMeters } from '../domain/meter.ts';
import { Ingest } from './ingest.ts';

const NOW = Date.UTC(2026, 5, 1, 12);
const clock = { now: () => NOW, sleep: async () => {} };
const config = { pastBoundMs: 86_400_000, maxEventsPerRequest: 60_000, ...FOR_EVER };
const ruleSets = fixedRules([ruleSet(implicitMeters())]);
const body = (count: number): Uint8Array =>
  Buffer.from(
    JSON.stringify(
      Array.from({ length: count }, (_, n) => ({
        tenant_id: 't',
        event_type: 'e',
        quantity: 1,
        idempotency_key: `k${n}`,
        event_timestamp: '2026-06-01T12:00:00Z',
      })),
    ),
  );
/** Nothing is announced here. */
const control = async (): Promise<void> => Promise.reject(new Error('announced'));
const written = (records: readonly Outgoing[]): Written[] => records.map((_, n) => ({ lineage: 'l', position: String(n) }));

describe('ingest', () => {
  test('takes no more while too many events wait for the log, and again once they are through', async () => {
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => (open = resolve));
    const producer = { append: async (records: readonly Outgoing[]) => (await gate, written(records)), control };
    const ingest = new Ingest({ producer, ruleSets, clock, config, facts: silentFacts() });
    const waiting = [60_000, 60_000].map((n) => ingest.take(body(n), 'native', { isHistory: false }));
    await expect(ingest.take(body(1), 'native', { isHistory: false })).rejects.toMatchObject({ code: 'OVERLOADED' });
    open();
    await Promise.all(waiting);
    await expect(ingest.take(body(1), 'native', { isHistory: false })).resolves.toMatchObject({ accepted: 1 });
  });

  test('counts as accepted only what was acknowledged', async () => {
    const counted: [string, number][] = [];
    const facts = {
      accepted: (events: number) => void counted.push(['accepted', events]),
      refused: (code: string, events: number) => void counted.push([code, events]),
      filtered: (code: string, events: number) => void counted.push([code, events]),
    };
    const failing = { append: async () => Promise.resolve([new Error('no')]), control };
    await expect(
      new Ingest({ producer: failing, ruleSets, clock, config, facts }).take(body(1), 'native', { isHistory: false }),
    ).rejects.toThrow();
    expect(counted).toEqual([]);
    const producer = { append: async (records: readonly Outgoing[]) => Promise.resolve(written(records)), control };
    const mixed = Buffer.from(`[${Buffer.from(body(2)).toString().slice(1, -1)},{},{},1]`);
    await new Ingest({ producer, ruleSets, clock, config, facts }).take(mixed, 'native', { isHistory: false });
    expect(counted).toEqual([
      ['accepted', 2],
      ['MISSING_FIELD', 2],
      ['NOT_AN_OBJECT', 1],
    ]);
  });

  test('a producer that answers for fewer records than it was given is a defect, not a success', async () => {
    const producer = { append: async () => Promise.resolve([]), control };
    await expect(
      new Ingest({ producer, ruleSets, clock, config, facts: silentFacts() }).take(body(1), 'native', { isHistory: false }),
    ).rejects.toThrow('fewer outcomes');
  });
});
