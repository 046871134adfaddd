import { describe, expect, test } from 'vitest';
import type { Control, Homeward, KeyRow, Reject, RejectFilter, Rejects } from '../contract.ts';
import { contentDigest } from '../domain/canonical.ts';
import { encodeEvent } from '../domain/avro.ts';
import type { UsageEvent } from '../domain/event.ts';
import { FOR_EVER, type Kept } from '../domain/kept.ts';
import { implicitMeters } from '../domain/meter.ts';
import type { RuleSet } from '../domain/rules.ts';
import { judge } from '../processors/judge.ts';
import { fixedRules, ruleSet } from '../../test/support/rules.ts';
import { redrive, type RedriveRequest } from './redrive.ts';

const MINUTE = 60_000;
/** 2026-06-01T12:00:00Z. */
const NOW = Date.UTC(2026, 5, 1, 12);

const event = (over: Partial<UsageEvent> = {}): UsageEvent => ({
  ...{ tenant: 'acme', type: 'calls', quantity: 5n, key: 'k1', timestamp: (NOW - MINUTE) * 1000 },
  ...{ subject: null, properties: '{}' },
  ...over,
});
let serial = 0;
const reject = (code: string, value: Uint8Array): Reject => ({
  ...{ lineage: 'l0', position: String((serial += 1)), code, field: null, reason: code, arrival: NOW - MINUTE },
  ...{ key: 'acme', tenant: 'acme', eventType: 'calls', value },
});

class FakeRejects implements Rejects {
  readonly pages: (readonly Reject[])[];
  readonly marked: Homeward[] = [];
  readonly filters: RejectFilter[] = [];
  conflicting = 0;
  /** Codes that this call marks, where another redrive has taken the rest. */
  takes: (homeward: Homeward) => boolean = () => true;

  constructor(...pages: (readonly Reject[])[]) {
    this.pages = pages;
  }
  waiting = async (filter: RejectFilter, { cursor }: { readonly limit: number; readonly cursor?: string }) => {
    this.filters.push(filter);
    const n = Number(cursor ?? 0);
    return { rejects: this.pages[n] ?? [], next: n + 1 < this.pages.length ? String(n + 1) : undefined };
  };
  conflicts = async () => this.conflicting;
  redrive = async (homeward: readonly Homeward[]) => {
    const taken = homeward.filter(this.takes);
    this.marked.push(...taken);
    const counts = new Map<string, number>();
    for (const { code } of taken) counts.set(code, (counts.get(code) ?? 0) + 1);
    return counts;
  };
}

interface World {
  readonly rules?: Partial<RuleSet>;
  readonly kept?: Kept;
  readonly holders?: readonly KeyRow[];
}

function make(rejects: FakeRejects, { rules = {}, kept = FOR_EVER, holders = [] }: World = {}) {
  const first = ruleSet(implicitMeters(), { tenants: new Set(['first']) });
  const newest = ruleSet(implicitMeters(), { version: 2, ...rules });
  const ruleSets = fixedRules(rules.version === 1 ? [newest] : [first, newest]);
  const steps: string[] = [];
  const told: [string, number][] = [];
  const ports = {
    rejects: {
      waiting: rejects.waiting,
      conflicts: rejects.conflicts,
      redrive: async (homeward: readonly Homeward[]) => {
        steps.push('redrive');
        return rejects.redrive(homeward);
      },
    },
    batch: { holders: async () => holders },
    producer: { control: async (control: Control) => void steps.push(JSON.stringify(control)) },
    ruleSets: { ...ruleSets, newest, refresh: async () => void steps.push('refresh') },
    judge: judge(ruleSets, kept),
    clock: { now: () => NOW, sleep: async () => {} },
    facts: { redriven: (code: string, count: number) => void told.push([code, count]) },
  };
  const run = (over: Partial<RedriveRequest> = {}) => redrive(ports, { filter: {}, dryRun: false, ...over });
  return { run, steps, told };
}

const registered = reject('UNKNOWN_TENANT', encodeEvent(event()));
const unregistered = reject('UNKNOWN_TENANT', encodeEvent(event({ tenant: 'never' })));
const garbage = reject('UNDECODABLE', new Uint8Array([1, 2, 3]));
const tenants = new Set(['acme']);

describe('redrive', () => {
  test('sends what would count by the newest rules, and leaves the others with the code they get now', async () => {
    const rejects = new FakeRejects([registered, unregistered, garbage]);
    const { run, told } = make(rejects, { rules: { tenants } });
    expect(await run()).toEqual({
      fates: [
        { code: 'UNKNOWN_TENANT', now: 'ok', rejects: 1 },
        { code: 'UNKNOWN_TENANT', now: 'UNKNOWN_TENANT', rejects: 1 },
        { code: 'UNDECODABLE', now: 'UNDECODABLE', rejects: 1 },
      ],
      redriven: 1,
      next: undefined,
    });
    const { lineage, position, code } = registered;
    expect(rejects.marked).toEqual([{ lineage, position, code, routingKey: 'acme' }]);
    expect(told).toEqual([['UNKNOWN_TENANT', 1]]);
  });

  test('a dry run says the same and writes nothing, not even a control record', async () => {
    const rejects = new FakeRejects([registered, unregistered, garbage]);
    const { run, steps, told } = make(rejects, { rules: { tenants } });
    const { fates } = await run();
    const dry = make(rejects, { rules: { tenants } });
    expect(await dry.run({ dryRun: true })).toEqual({ fates, redriven: 0, next: undefined });
    expect([dry.steps, dry.told]).toEqual([['refresh'], []]);
    expect([steps.length, told.length]).toEqual([3, 1]);
  });

  test('the newest rules are looked up first, and in force before what they let pass is sent', async () => {
    const { run, steps } = make(new FakeRejects([registered]), { rules: { tenants } });
    await run();
    expect(steps).toEqual(['refresh', '{"type":"rules","rules":2}', 'redrive']);
  });

  test('where nothing would count, nothing is sent; the first rules are in force by themselves', async () => {
    const none = make(new FakeRejects([unregistered]), { rules: { tenants } });
    expect((await none.run()).redriven).toBe(0);
    expect(none.steps).toEqual(['refresh']);
    const first = make(new FakeRejects([registered]), { rules: { version: 1, tenants } });
    expect((await first.run()).redriven).toBe(1);
    expect(first.steps).toEqual(['refresh', 'redrive']);
  });

  test.each([
    ['five minutes ahead counts', 5 * MINUTE, 'ok'],
    ['a millisecond more does not yet', 5 * MINUTE + 1, 'TOO_FAR_IN_FUTURE'],
  ])('a time %s, by the clock of now and not by the arrival of then', async (_, ahead, now) => {
    const early = reject('TOO_FAR_IN_FUTURE', encodeEvent(event({ timestamp: (NOW + ahead) * 1000 })));
    const { fates } = await make(new FakeRejects([early])).run();
    expect(fates).toEqual([{ code: 'TOO_FAR_IN_FUTURE', now, rejects: 1 }]);
  });

  test.each([
    ['that the relay has time to bring home', 5 * MINUTE, 'ok'],
    ['that might be too old when it arrives', 5 * MINUTE - 1, 'TOO_OLD'],
  ])('an event inside the bound of retention by a time %s', async (_, inside, now) => {
    const keyRetentionMs = 60 * MINUTE;
    const old = reject('UNKNOWN_TENANT', encodeEvent(event({ timestamp: (NOW - keyRetentionMs + inside) * 1000 })));
    const { fates } = await make(new FakeRejects([old]), { kept: { ...FOR_EVER, keyRetentionMs } }).run();
    expect(fates).toEqual([{ code: 'UNKNOWN_TENANT', now, rejects: 1 }]);
  });

  test('a key that counts already is not sent again: with the same content, or with another', async () => {
    const holder = (content: string): KeyRow => ({ tenant: 'acme', key: 'k1', lineage: 'l1', position: '9', content });
    const outcomes = [];
    for (const content of [contentDigest(event()), contentDigest(event({ quantity: 6n }))]) {
      const rejects = new FakeRejects([registered]);
      const { fates, redriven } = await make(rejects, { holders: [holder(content)] }).run();
      outcomes.push([fates[0]?.now, redriven, rejects.marked.length]);
    }
    expect(outcomes).toEqual([
      ['ALREADY_COUNTED', 0, 0],
      ['KEY_CONFLICT', 0, 0],
    ]);
    const other = await make(new FakeRejects([registered]), { holders: [{ ...holder('x'), tenant: 'other' }] }).run();
    expect(other.redriven).toBe(1);
  });

  test('conflicts are told once, with the first page, and never sent', async () => {
    const rejects = new FakeRejects([registered], [unregistered]);
    rejects.conflicting = 4;
    const { run } = make(rejects, { rules: { tenants } });
    const first = await run({ filter: { tenant: 'acme' } });
    expect(first).toMatchObject({ next: '1', redriven: 1 });
    expect(first.fates.at(-1)).toEqual({ code: 'KEY_CONFLICT', now: 'KEY_CONFLICT', rejects: 4 });
    expect(await run({ filter: { tenant: 'acme' }, cursor: '1' })).toEqual({
      fates: [{ code: 'UNKNOWN_TENANT', now: 'UNKNOWN_TENANT', rejects: 1 }],
      redriven: 0,
      next: undefined,
    });
    expect(rejects.filters).toEqual([{ tenant: 'acme' }, { tenant: 'acme' }]);
  });

  test('what another redrive has taken meanwhile is not counted as sent', async () => {
    const others = reject('UNKNOWN_TENANT', encodeEvent(event({ key: 'k2' })));
    const rejects = new FakeRejects([registered, others]);
    rejects.takes = ({ position }) => position !== others.position;
    const { run, told } = make(rejects, { rules: { tenants } });
    expect(await run()).toMatchObject({ fates: [{ now: 'ok', rejects: 2 }], redriven: 1 });
    expect(told).toEqual([['UNKNOWN_TENANT', 1]]);
  });

  test('a record goes to where its event belongs by the newest spread', async () => {
    const rejects = new FakeRejects([registered]);
    await make(rejects, { rules: { spread: new Map([['acme', [{ from: 0, keys: 4 }]]]) } }).run();
    expect(rejects.marked[0]?.routingKey).toMatch(/^acme#[0-3]$/);
  });
});
