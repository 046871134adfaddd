import { expect, describe, test } from 'vitest';
import { fixedRules, ruleSet } from '../../test/support/rules.ts';
import type { At, Lineage } from '../contract.ts';
import type { UsageEvent } from '../domain/event.ts';
import { FOR_EVER } from '../domain/kept.ts';
import { type Meter, meterSetOf } from '../domain/meter.ts';
import { meter } from './meter.ts';
import { validate } from './validate.ts';

const LINEAGE: Lineage = { id: 'pg.a.0', parents: [], depth: 2, origin: '00', owns: () => true };
const AT: At = { lineage: LINEAGE, segment: 0, rules: 1 };
const EVENT: UsageEvent = {
  ...{ tenant: 'acme', type: 'tokens', quantity: 1n, key: 'k-1', timestamp: 1_000_000, subject: null, properties: '{}' },
};
const RECORD = { position: '07', arrival: 1000, key: 'acme', value: new Uint8Array() };
const of = (change: Partial<UsageEvent> = {}) => ({ record: RECORD, event: { ...EVENT, ...change } });

describe('the version of the rules that is in force where a record lies', () => {
  const CHANGED: At = { ...AT, rules: 2 };
  const meterOf = (key: string): Meter => ({
    ...{ key, eventType: 'tokens', aggregation: 'sum', value: 'quantity', groupBy: ['model'], filter: new Map() },
    ...{ unit: null, holdMinutes: 0, version: 1 },
  });
  const before = ruleSet(meterSetOf([meterOf('a')]), { tenants: 'open' });
  const after = ruleSet(meterSetOf([meterOf('b')]), {
    ...{ version: 2, tenants: new Set(['other', 'stranger']), maxGroups: 1 },
    spread: new Map([['acme', [{ from: 0, keys: 2 }]]]),
  });
  const sets = fixedRules([before, after]);

  test('says which tenants are known', () => {
    const { verdict } = validate(sets, FOR_EVER).process(of({ tenant: 'new' }), AT);
    const later = validate(sets, FOR_EVER).process(of({ tenant: 'new' }), CHANGED);
    expect([verdict, later.verdict]).toEqual(['ok', 'UNKNOWN_TENANT']);
  });

  test('says by which routing key an event is at home', () => {
    const asked: string[] = [];
    const lineage: Lineage = { ...LINEAGE, owns: (key) => (asked.push(key), false) };
    for (const at of [AT, CHANGED]) {
      const found = validate(sets, FOR_EVER).process(of(), { ...at, lineage });
      expect(found.verdict).toBe('MISROUTED');
    }
    expect(asked).toEqual(['acme', expect.stringMatching(/^acme#[01]$/)]);
  });

  test('says which schema the properties of an event keep', () => {
    const schemas = (region: readonly string[]) =>
      new Map([['tokens', { version: 1, properties: { properties: { region: { enum: region } } } }]]);
    const [first, second] = [['eu'], ['eu', 'us']].map((regions, n) =>
      ruleSet(meterSetOf([]), { version: n + 1, schemas: schemas(regions) }),
    );
    const { process } = validate(fixedRules([first!, second!]), FOR_EVER);
    const us = of({ properties: '{"region":"us"}' });
    expect(process(us, AT)).toEqual({
      ...us,
      ...{ verdict: 'SCHEMA_VIOLATION', field: 'properties.region' },
      reason: 'enum: ["eu"] (version 1 of the schema of tokens)',
    });
    expect(process(us, CHANGED)).toEqual({ ...us, verdict: 'ok' });
    expect(process(of({ properties: '{"region":"us"}', type: 'calls' }), AT).verdict).toBe('ok');
    // What is not at home is judged there, and an event that lies in the future is that first of all.
    expect(process(us, { ...AT, lineage: { ...LINEAGE, owns: () => false } }).verdict).toBe('MISROUTED');
    expect(process(of({ ...us.event, timestamp: 1e12 }), AT).verdict).toBe('TOO_FAR_IN_FUTURE');
  });

  test('says which meters measure, and how many groups they may have in a segment', () => {
    const process = meter({ ruleSets: sets }).process;
    const groupsAt = (at: At): string[] =>
      ['x', 'y', 'x'].flatMap((model) => {
        const verdict = { ...of({ properties: JSON.stringify({ model }) }), verdict: 'ok' };
        return process(verdict, at).contributions.map((c) => `${c.meter} ${c.group}`);
      });
    expect(groupsAt(AT)).toEqual(['a@1 ["x"]', 'a@1 ["y"]', 'a@1 ["x"]']);
    expect(groupsAt({ ...CHANGED, segment: 1 })).toEqual(['b@1 ["x"]', 'b@1 "other"', 'b@1 ["x"]']);
    expect(groupsAt({ ...CHANGED, segment: 2 })).toEqual(['b@1 ["x"]', 'b@1 "other"', 'b@1 ["x"]']);
  });

  test('a group beyond the bound is told of', () => {
    const told: string[] = [];
    const facts = { skippedMeter: () => {}, unmetered: () => {}, otherGroup: (id: string) => void told.push(id) };
    const { process } = meter({ ruleSets: sets, facts });
    for (const model of ['x', 'y', 'z'])
      process({ ...of({ properties: JSON.stringify({ model }) }), verdict: 'ok' }, CHANGED);
    expect(told).toEqual(['b@1', 'b@1']);
  });
});
