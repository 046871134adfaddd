import { describe, expect, test } from 'vitest';
import type { Cut, ListedGap } from '../contract.ts';
import { KnownGaps } from './gaps.ts';

const HOUR_MS = 3_600_000;
/** The last record before it arrived at hour 100, it was found at hour 110; events are taken up to 10 hours late. */
const GAP: ListedGap = {
  ...{ lineage: 'l0', segment: 3, from: '5', to: '9', places: 4, number: 1 },
  ...{ arrival: 100 * HOUR_MS, at: 110 * HOUR_MS, acknowledged: null },
};
const PAST_MS = 10 * HOUR_MS;
const cut = (gaps?: number): Cut => ({
  ...{ segments: 9, position: '9', arrival: 0, rules: 1 },
  ...(gaps === undefined ? {} : { gaps }),
});
const NONE: ReadonlyMap<string, Cut> = new Map();
const hours = (from: number, to: number): number[] => [from * 60, to * 60];

function knownOf(...answers: readonly (readonly ListedGap[])[]) {
  let looks = 0;
  const known = new KnownGaps({ gaps: () => Promise.resolve(answers[looks++] ?? answers.at(-1) ?? []) }, PAST_MS);
  return { known, looks: () => looks };
}

describe('gaps that an answer names', () => {
  test('are those whose lost events may lie in its range, to the minute', async () => {
    const { known } = knownOf([GAP]);
    await known.look();
    const isNamed = async (from: number, to: number): Promise<boolean> =>
      (await known.touching(NONE, [from, to])).length > 0;
    // From 10 hours before the last arrival to 5 minutes behind the discovery.
    const [since, until] = [90 * 60, 110 * 60 + 5];
    expect(await isNamed(0, since)).toBe(false);
    expect(await isNamed(0, since + 1)).toBe(true);
    expect(await isNamed(until - 1, until + 60)).toBe(true);
    expect(await isNamed(until, until + 60)).toBe(false);
  });

  test('say what is missing, from when to when, and who knows of it', async () => {
    const acknowledged = { at: 120 * HOUR_MS, note: 'settled' };
    const { known } = knownOf([GAP, { ...GAP, from: '11', arrival: 0, places: null, acknowledged }]);
    await known.look();
    expect(await known.touching(NONE, hours(95, 96))).toEqual([
      {
        ...{ lineage: 'l0', from: '5', to: '9', places: 4, since: '1970-01-04T18:00:00Z', until: '1970-01-05T14:05:00Z' },
        ...{ found_at: '1970-01-05T14:00:00Z', acknowledged_at: null, note: null },
      },
      // Nothing was read before it: of any time.
      {
        ...{ lineage: 'l0', from: '11', to: '9', places: null, since: null, until: '1970-01-05T14:05:00Z' },
        ...{ found_at: '1970-01-05T14:00:00Z', acknowledged_at: '1970-01-06T00:00:00Z', note: 'settled' },
      },
    ]);
    expect(await known.touching(NONE, hours(0, 1))).toHaveLength(1);
  });

  test('are looked for when the answer has folded more than this process knows, and not otherwise', async () => {
    const { known, looks } = knownOf([GAP], [GAP, { ...GAP, lineage: 'l1' }]);
    expect(await known.touching(new Map([['l0', cut()]]), hours(95, 96))).toEqual([]);
    expect(looks()).toBe(0);
    expect(await known.touching(new Map([['l0', cut(1)]]), hours(95, 96))).toHaveLength(1);
    expect(looks()).toBe(1);
    const both = new Map([
      ['l0', cut(1)],
      ['l1', cut(1)],
    ]);
    expect(await known.touching(both, hours(95, 96))).toHaveLength(2);
    expect(await known.touching(both, hours(95, 96))).toHaveLength(2);
    expect(looks()).toBe(2);
  });
});
