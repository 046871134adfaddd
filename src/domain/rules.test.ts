import { describe, expect, test } from 'vitest';
import { implicitMeters, type Meter, meterId, meterSetOf } from './meter.ts';
import { type Declared, firstRules, MAX_GROUPS, nextRules, type RuleSet } from './rules.ts';

const IMPLICIT = implicitMeters();
const meterOf = (key: string, change: Partial<Meter> = {}): Meter => ({
  ...{ key, eventType: 'tokens', aggregation: 'sum', value: 'quantity', groupBy: [], filter: new Map() },
  ...{ unit: null, holdMinutes: 0, version: 1 },
  ...change,
});
const [K, L] = [meterOf('k'), meterOf('l')];
const K_BY_MODEL = meterOf('k', { groupBy: ['model'] });
const K_BY_REGION = meterOf('k', { groupBy: ['region'] });

/** Starts of one installation after each other; a start may find that versions answer by now. */
class Installation {
  readonly history: RuleSet[] = [];
  readonly #serving = new Set<string>();

  /** Answers the version that is recorded, or undefined where nothing changed. */
  start(declared: Declared): RuleSet | undefined {
    const next = nextRules(this.history, declared, IMPLICIT, (meter) => this.#serving.has(meter));
    if (next === undefined) return undefined;
    // What the first file declares has no past to be filled with.
    if (next.version === 1) this.serve(...next.meters.meters.map(meterId));
    this.history.push(next);
    return next;
  }
  serve(...meters: readonly string[]): void {
    for (const meter of meters) this.#serving.add(meter);
  }
}

const measured = (set: RuleSet | undefined): string[] | undefined => set?.meters.meters.map(meterId).sort();
const current = (set: RuleSet | undefined): string[] | undefined => set?.current && [...set.current].sort();
/** An installation that began with these meters. */
function begun(...meters: readonly Meter[]): Installation {
  const installation = new Installation();
  installation.start({ meters });
  return installation;
}

describe('the first rule set', () => {
  test('is what the first start declares', () => {
    const tenants = new Set(['acme']);
    const spread = new Map([['acme', [{ from: 1, keys: 2 }]]]);
    const set = new Installation().start({ meters: [K, L], tenants, spread, maxGroups: 7 });
    expect(set).toMatchObject({ version: 1, tenants, spread, maxGroups: 7 });
    expect([measured(set), current(set)]).toEqual([
      ['k@1', 'l@1'],
      ['k@1', 'l@1'],
    ]);
  });

  test('without declarations measures every event type, knows every tenant and spreads none', () => {
    const set = firstRules({}, IMPLICIT);
    const rest = { tenants: 'open', spread: new Map(), maxGroups: MAX_GROUPS, schemas: new Map() };
    expect(set).toEqual({ version: 1, meters: IMPLICIT, current: undefined, ...rest });
  });

  test('of an empty file measures nothing', () => {
    const set = firstRules({ meters: [] }, IMPLICIT);
    expect([set.meters.implicit, set.meters.forType('tokens'), current(set)]).toEqual([false, [], []]);
  });
});

describe('a changed definition', () => {
  test('is the next version of its key, and the old one is measured until it answers', () => {
    const installation = begun(K, L);
    const second = installation.start({ meters: [K_BY_MODEL, L] });
    expect(second?.version).toBe(2);
    expect([measured(second), current(second)]).toEqual([
      ['k@1', 'k@2', 'l@1'],
      ['k@2', 'l@1'],
    ]);
    expect(second?.meters.find('k', 2)).toEqual({ ...K_BY_MODEL, version: 2 });
    installation.serve('k@2');
    expect(measured(installation.start({ meters: [K_BY_MODEL] }))).not.toContain('k@1');
  });

  test('that is changed again before it answers makes room for the next, and the one that answers goes on', () => {
    const installation = begun(K);
    installation.start({ meters: [K_BY_MODEL] });
    const third = installation.start({ meters: [K_BY_REGION] });
    expect([measured(third), current(third)]).toEqual([['k@1', 'k@3'], ['k@3']]);
  });

  test('leaves of several versions that answer only the newest', () => {
    const installation = begun(K);
    installation.start({ meters: [K_BY_MODEL] });
    installation.serve('k@2');
    expect(measured(installation.start({ meters: [K_BY_REGION] }))).toEqual(['k@2', 'k@3']);
  });

  test.each<Partial<Meter>>([
    { eventType: 'calls' },
    { aggregation: 'max' },
    { value: ['n'] },
    { groupBy: ['model'] },
    { filter: new Map([['region', new Set(['eu'])]]) },
    { unit: 'GB' },
    { holdMinutes: 5 },
  ])('is one where %o differs', (change) => {
    expect(current(begun(K).start({ meters: [{ ...K, ...change }] }))).toEqual(['k@2']);
  });

  test('is never one by its version, which a file does not name', () => {
    expect(begun(K).start({ meters: [{ ...K, version: 9 }] })).toBeUndefined();
  });
});

describe('going back to an earlier definition', () => {
  test('before the newer one answers goes back to the version that does, which never stopped', () => {
    const installation = begun(K);
    installation.start({ meters: [K_BY_MODEL] });
    const third = installation.start({ meters: [K] });
    expect([third?.version, measured(third), current(third)]).toEqual([3, ['k@1'], ['k@1']]);
  });

  test('while both answer leaves the newer one: it must not answer for the one that was gone back to', () => {
    const installation = begun(K);
    installation.start({ meters: [K_BY_MODEL] });
    installation.serve('k@2');
    const third = installation.start({ meters: [K] });
    expect([measured(third), current(third)]).toEqual([['k@1'], ['k@1']]);
    expect(third?.meters.find('k')?.version).toBe(1);
  });

  test('that is not measured any more makes a new version: its past has a gap', () => {
    const installation = begun(K);
    installation.start({ meters: [K_BY_MODEL] });
    installation.serve('k@2');
    installation.start({ meters: [K_BY_MODEL, L] });
    const fourth = installation.start({ meters: [K, L] });
    expect([measured(fourth), current(fourth)]).toEqual([
      ['k@2', 'k@3', 'l@1'],
      ['k@3', 'l@1'],
    ]);
  });

  test('never uses a number again, not even one that never answered', () => {
    const installation = begun(K);
    for (const meter of [K_BY_MODEL, K_BY_REGION, K_BY_MODEL, K_BY_REGION]) installation.start({ meters: [meter] });
    expect(installation.history.map(current)).toEqual([['k@1'], ['k@2'], ['k@3'], ['k@4'], ['k@5']]);
  });
});

describe('a key', () => {
  test('that is new begins with version 1, and does not touch the others', () => {
    const set = begun(K).start({ meters: [K, L] });
    expect([measured(set), current(set)]).toEqual([
      ['k@1', 'l@1'],
      ['k@1', 'l@1'],
    ]);
  });

  test('that is gone from the file is no meter of it; what answers goes on, what never did does not', () => {
    const installation = begun(K, L);
    const second = installation.start({ meters: [K] });
    expect([measured(second), current(second)]).toEqual([['k@1', 'l@1'], ['k@1']]);
    expect(installation.start({ meters: [K, L] })?.current).toEqual(new Set(['k@1', 'l@1']));
    installation.start({ meters: [K, L, meterOf('m')] });
    expect(measured(installation.start({ meters: [K] }))).toEqual(['k@1', 'l@1']);
  });
});

describe('from implicit meters to a file', () => {
  test('a key of the file is version 2: version 1 was implicit, which answers beside it', () => {
    const installation = new Installation();
    installation.start({});
    const second = installation.start({ meters: [K] });
    expect([second?.version, measured(second), current(second)]).toEqual([2, ['k@2'], ['k@2']]);
    expect(second?.meters.implicit).toBe(true);
    expect(second?.meters.find('k', 1)).toEqual(IMPLICIT.find('k'));
  });

  test('implicit meters go on until all that was declared after them answers, and their numbers are not used again', () => {
    const installation = new Installation();
    installation.start({});
    installation.start({ meters: [K] });
    expect(installation.start({ meters: [K, L] })?.meters.implicit).toBe(true);
    installation.serve('k@2', 'l@2');
    const last = installation.start({ meters: [L] });
    expect([last?.meters.implicit, measured(last)]).toEqual([false, ['k@2', 'l@2']]);
    expect(last?.meters.forType('calls')).toEqual([]);
  });

  test('an empty file is a change: nothing is measured by it but what is implicit, once more', () => {
    const installation = new Installation();
    installation.start({});
    const second = installation.start({ meters: [] });
    expect([current(second), second?.meters.implicit]).toEqual([[], true]);
    expect(installation.start({ meters: [] })).toBeUndefined();
  });
});

test('sets of versions are looked up by the newest of each key', () => {
  const set = begun(K).start({ meters: [K_BY_MODEL] });
  expect(set?.meters.find('k')).toEqual({ ...K_BY_MODEL, version: 2 });
  expect(meterSetOf([...set!.meters.meters].reverse()).find('k')).toEqual(set?.meters.find('k'));
});
