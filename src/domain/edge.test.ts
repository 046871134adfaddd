import { describe, expect, test } from 'vitest';
import type { EdgeEvent, EdgeOutcome, EdgeProcessor } from '../contract.ts';
import { type Edge, edgeOf, type EdgeOptions, type Passed } from './edge.ts';
import type { UsageEvent } from './event.ts';
import { type Fault, fault, isFault } from './fault.ts';

const EVENT: UsageEvent = {
  tenant: 'acme',
  type: 'call',
  quantity: 12_500_000_000_000n,
  key: 'k1',
  timestamp: 1_790_000_000_000_000,
  subject: null,
  properties: '{"region":"eu","user":{"name":"planted-secret"}}',
};
const inTime = (): undefined => undefined;

const processor = (run: (event: EdgeEvent) => unknown, name = 'p', version = 1): EdgeProcessor => ({
  name,
  version,
  process: (event) => run(event) as EdgeOutcome,
});

const told: unknown[][] = [];
const open = (processors: readonly EdgeProcessor[], more: Partial<EdgeOptions> = {}): Edge => {
  told.length = 0;
  return edgeOf({
    processors,
    checks: true,
    conceal: (event) => event,
    onFault: (...args) => void told.push(args),
    ...more,
  });
};
const passed = (outcome: Passed | Fault): Passed => {
  if (isFault(outcome)) throw new Error(outcome.reason);
  return outcome;
};
const run = (one: (event: EdgeEvent) => unknown): Passed | Fault => open([processor(one)])(EVENT, inTime);

describe('the edge', () => {
  test('a processor sees the event under the names of HTTP, frozen', () => {
    let seen: EdgeEvent | undefined;
    passed(run((event) => ((seen = event), 'keep')));
    expect(seen).toEqual({
      tenant_id: 'acme',
      event_type: 'call',
      quantity: '12.5',
      idempotency_key: 'k1',
      event_timestamp: '2026-09-21T14:13:20Z',
      subject: null,
      properties: { region: 'eu', user: { name: 'planted-secret' } },
    });
    expect(Object.isFrozen(seen?.properties.user)).toBe(true);
  });

  test('filter: what is dropped has a code', () => {
    expect(run(() => ({ drop: 'TEST_TRAFFIC' }))).toEqual({ events: [], filtered: ['TEST_TRAFFIC'] });
  });

  test('enrich: the changed event goes on', () => {
    const { events } = passed(run((event) => ({ ...event, quantity: '3', properties: { plan: 'gold' } })));
    expect(events).toEqual([{ ...EVENT, quantity: 3_000_000_000_000n, properties: '{"plan":"gold"}' }]);
  });

  test('split: parts with keys of their own; the next processor sees each, and may drop one', () => {
    const split = processor((event) => ['a', 'b'].map((part) => ({ ...event, idempotency_key: `k1/${part}` })));
    const drop = processor((event) => (event.idempotency_key === 'k1/a' ? { drop: 'NOT_A' } : 'keep'), 'q');
    const { events, filtered } = passed(open([split, drop])(EVENT, inTime));
    expect(events.map(({ key }) => key)).toEqual(['k1/b']);
    expect(filtered).toEqual(['NOT_A']);
  });

  test.each<[string, (event: EdgeEvent) => unknown, RegExp]>([
    ['the same key twice', (e) => [e, e], /same idempotency key/],
    ['a foreign key', (e) => [e, { ...e, idempotency_key: 'other' }], /does not start with/],
    ['another key for the one event', (e) => ({ ...e, idempotency_key: 'k1/x' }), /changed the idempotency key/],
    ['an empty list', () => [], /a drop needs a code/],
    ['nothing', () => undefined, /neither keep, drop, an event nor a list/],
    ['another word', () => 'drop', /neither keep/],
    ['a list of words', () => ['keep'], /no event/],
    ['a promise', () => Promise.resolve('keep'), /a promise/],
    ['a drop without a code', () => ({ drop: true }), /without a code/],
    ['a drop whose code is what the event held', (e) => ({ drop: e.properties.region }), /without a code/],
    ['an event with a drop in it', (e) => ({ ...e, drop: 'X' }), /without a code/],
    ['a field that an event has not', (e) => ({ ...e, plan: 'gold' }), /UNKNOWN_FIELD/],
    ['a missing field', (e) => ({ ...e, event_type: undefined }), /MISSING_FIELD/],
    ['a quantity that passed through a float', (e) => ({ ...e, quantity: 0.1 + 0.2 }), /NUMBER_NEEDS_STRING/],
    ['a number that is none', (e) => ({ ...e, properties: { n: NaN } }), /a number that is none/],
    ['a bigint', (e) => ({ ...e, quantity: 5n }), /bigint/],
    ['an event too large', (e) => ({ ...e, properties: { text: 'x'.repeat(40_000) } }), /PROPERTIES_TOO_LARGE/],
    [
      '101 parts',
      (e) => Array.from({ length: 101 }, (_, n) => ({ ...e, idempotency_key: `k1/${String(n)}` })),
      /more than 100/,
    ],
    ['another result the second time', (e) => ({ ...e, properties: { n: (count += 1) } }), /two results/],
    ['an error', (e) => JSON.parse(`{${(e.properties.user as { name: string }).name}`), /threw an error/],
    ['a change of what it was given', (e) => (((e as { quantity: string }).quantity = '1'), 'keep'), /threw an error/],
    ['something too deep', (e) => ({ ...e, properties: { deep: deep(70) } }), /threw an error/],
  ])('%s rejects the event with PROCESSOR_FAULT that names the processor', (_, one, reason) => {
    const outcome = run(one);
    expect(outcome).toMatchObject({ code: 'PROCESSOR_FAULT', reason: expect.stringMatching(/^processor p@1 /) });
    expect((outcome as Fault).reason).toMatch(reason);
    expect(told).toHaveLength(1);
    expect(told[0]?.[0]).toBe('p');
    expect(String(told[0]?.[1])).not.toContain('planted-secret');
  });

  test('without checks an event is processed once', () => {
    let calls = 0;
    const one = processor(() => ((calls += 1), 'keep'));
    passed(open([one], { checks: false })(EVENT, inTime));
    expect(calls).toBe(1);
    passed(open([one])(EVENT, inTime));
    expect(calls).toBe(3);
  });

  test('what a processor made passes the bounds of time, too', () => {
    const late = (): Fault => fault('TOO_OLD', 'event_timestamp', '');
    const outcome = open([processor((event) => ({ ...event, event_timestamp: '2001-01-01T00:00:00Z' }))])(EVENT, late);
    expect(outcome).toMatchObject({ code: 'PROCESSOR_FAULT', field: 'event_timestamp' });
  });

  test('what is concealed is what the processors left', () => {
    const enrich = processor((event) => ({ ...event, subject: 'ann' }));
    const conceal = (event: UsageEvent): UsageEvent => ({ ...event, subject: `hidden ${String(event.subject)}` });
    expect(passed(open([enrich], { conceal })(EVENT, inTime)).events[0]?.subject).toBe('hidden ann');
    const refuse = (): Fault => fault('PROPERTIES_TOO_LARGE', 'properties', '');
    expect(open([enrich], { conceal: refuse })(EVENT, inTime)).toMatchObject({ code: 'PROPERTIES_TOO_LARGE' });
  });
});

let count = 0;
const deep = (levels: number): unknown => (levels === 0 ? 1 : { in: deep(levels - 1) });
