import { describe, expect, test } from 'vitest';
import { ruleSet } from '../../test/support/rules.ts';
import { silentFacts } from '../../test/support/silent-facts.ts';
import type { Control, Outgoing } from '../contract.ts';
import { decodeEvent } from '../domain/avro.ts';
import type { Edge } from '../domain/edge.ts';
import type { UsageEvent } from '../domain/event.ts';
import type { Schema } from '../domain/event-schema.ts';
import { FOR_EVER } from '../domain/kept.ts';
import { implicitMeters } from '../domain/meter.ts';
import type { RuleSet } from '../domain/rules.ts';
import { Ingest, type Receipt } from './ingest.ts';

const NOW = Date.UTC(2026, 5, 1, 12);
const config = { pastBoundMs: 86_400_000, maxEventsPerRequest: 100, ...FOR_EVER };
const regions = (...names: readonly string[]): Schema => ({ properties: { region: { enum: names } } });
const rulesOf = (version: number, properties: Schema): RuleSet =>
  ruleSet(implicitMeters(), { version, schemas: new Map([['calls', { version, properties }]]) });
const eventOf = (region: unknown, key: string) => ({
  ...{ tenant_id: 't', event_type: 'calls', quantity: 1, idempotency_key: key },
  ...{ event_timestamp: '2026-06-01T12:00:00Z', properties: { region } },
});

/** An edge that knows the first set; each look finds what is recorded by then. */
function edgeThatKnows(first: RuleSet, edge?: Edge) {
  const state = { now: NOW, looks: 0, newest: first, recorded: first, isAway: false };
  const order: (Control | string)[] = [];
  const producer = {
    append: async (outgoing: readonly Outgoing[]) =>
      outgoing.map(({ value }, n) => {
        order.push((decodeEvent(value) as UsageEvent).key);
        return { lineage: 'l', position: String(n) };
      }),
    control: async (control: Control) => void order.push(control),
  };
  const ruleSets = {
    get newest() {
      return state.newest;
    },
    refresh: async () => {
      if (state.isAway) throw new Error('the database is away');
      state.looks += 1;
      state.newest = state.recorded;
    },
  };
  const clock = { now: () => state.now, sleep: async () => {} };
  const ingest = new Ingest({ producer, ruleSets, clock, config, facts: silentFacts(), ...(edge && { edge }) });
  const take = (...events: readonly (readonly [region: unknown, key: string])[]): Promise<Receipt> =>
    ingest.take(Buffer.from(JSON.stringify(events.map(([region, key]) => eventOf(region, key)))), 'native', {
      isHistory: false,
    });
  return { state, order, take };
}

describe('an edge with schemas', () => {
  test('refuses what violates them, by name, and writes the rest', async () => {
    const { take, order } = edgeThatKnows(rulesOf(1, regions('eu')));
    const { accepted, rejected, results } = await take(['eu', 'a'], ['us', 'b'], ['eu', 'c']);
    expect([accepted, rejected, order]).toEqual([2, 1, ['a', 'c']]);
    expect(results[1]).toEqual({
      ...{ index: 1, status: 'rejected', code: 'SCHEMA_VIOLATION', field: 'properties.region', value: 'us' },
      reason: 'enum: ["eu"] (version 1 of the schema of calls)',
    });
  });

  test('judges what is left of an event, so that it agrees with the worker; of many parts one is enough', async () => {
    const hashing: Edge = (event) => ({ events: [{ ...event, properties: '{"region":"h:1"}' }], filtered: [] });
    expect(await edgeThatKnows(rulesOf(1, regions('h:1')), hashing).take(['eu', 'a'])).toMatchObject({ accepted: 1 });
    const splitting: Edge = (event) => ({ events: [event, { ...event, properties: '{"region":5}' }], filtered: [] });
    const { take, order } = edgeThatKnows(rulesOf(1, regions('eu')), splitting);
    expect((await take(['eu', 'a'])).results[0]).toMatchObject({ code: 'SCHEMA_VIOLATION', value: '5' });
    expect(order).toEqual([]);
  });

  test('that has not heard of a wider schema looks before it refuses, and announces the rules before it takes by them', async () => {
    const { take, state, order } = edgeThatKnows(rulesOf(1, regions('eu')));
    state.recorded = rulesOf(2, regions('eu', 'us'));
    expect(await take(['us', 'a'], ['eu', 'b'])).toMatchObject({ accepted: 2, rejected: 0 });
    await take(['us', 'c']);
    expect(order).toEqual([{ type: 'rules', rules: 2 }, 'a', 'b', 'c']);
    expect(state.looks).toBe(1);
  });

  test('looks once a second at most, and not for other faults', async () => {
    const { take, state } = edgeThatKnows(rulesOf(1, regions('eu')));
    await take(['eu', '']);
    expect(state.looks).toBe(0);
    for (const [wait, looks] of [
      [0, 1],
      [999, 1],
      [1, 2],
      [0, 2],
    ] as const) {
      state.now += wait;
      expect(await take(['us', 'a'])).toMatchObject({ rejected: 1 });
      expect(state.looks).toBe(looks);
    }
  });

  test('refuses nothing while it cannot look: the same events may be sent again', async () => {
    const { take, state, order } = edgeThatKnows(rulesOf(1, regions('eu')));
    state.isAway = true;
    await expect(take(['eu', 'a'], ['us', 'b'])).rejects.toThrow('away');
    state.isAway = false;
    expect(await take(['eu', 'a'], ['us', 'b'])).toMatchObject({ accepted: 1, rejected: 1 });
    expect(order).toEqual(['a']);
  });

  test('hears of rules from elsewhere, and announces them all the same', async () => {
    const { take, state, order } = edgeThatKnows(rulesOf(1, regions('eu')));
    state.newest = rulesOf(3, regions('eu', 'us'));
    await take(['us', 'a']);
    expect([order, state.looks]).toEqual([[{ type: 'rules', rules: 3 }, 'a'], 0]);
  });
});
