import { describe, expect, test } from 'vitest';
import { parseMeters, parseMetersFile } from './meters-file.ts';

const MINUTE = 60_000_000;

/** What is wrong with a file; undefined where it is read. */
function refusal(text: string): string | undefined {
  try {
    parseMetersFile(text);
    return undefined;
  } catch (error) {
    expect(error).toMatchObject({ code: 'BAD_METERS' });
    return (error as Error).message.replace('read the meters file: ', '');
  }
}

describe('the hold of a gauge', () => {
  const gauge = (hold: string): string =>
    `meters: [{ key: disk, event_type: disk, aggregation: time_weighted_sum, unit: GB-hours${hold} }]`;

  test.each([
    ['1m', 1],
    ['90m', 90],
    ['24h', 1440],
    ['2d', 2880],
    ['31d', 44_640],
    ['744h', 44_640],
    ['44640m', 44_640],
    ['007h', 420],
  ])('%s is %i minutes', (hold, minutes) => {
    const [meter] = parseMeters(gauge(`, hold: ${hold}`)).meters;
    expect(meter).toMatchObject({ aggregation: 'time_weighted_sum', value: 'quantity', holdMinutes: minutes });
  });

  test.each(['', ', hold: ', ', hold: 0m', ', hold: 32d', ', hold: 745h', ', hold: 44641m', ', hold: 5', ', hold: 1.5h'])(
    'is demanded, from a minute to 31 days: not %j',
    (hold) => {
      expect(refusal(gauge(hold))).toMatch(
        /^line 1: hold is .*; allowed: how long a reading counts where none follows: 1m to/,
      );
    },
  );

  test.each(['1w', '-1h', '1h30m', '" 1h"', '"1 h"', '1H', '[1h]', '100000m', 'forever'])('is not %s', (hold) => {
    expect(refusal(gauge(`, hold: ${hold}`))).toContain('hold is');
  });

  test('is of gauges only', () => {
    expect(parseMeters('meters: [{ key: k, event_type: t, aggregation: sum }]').meters[0]?.holdMinutes).toBe(0);
    const text = 'meters: [{ key: k, event_type: t, aggregation: latest, hold: null }]';
    expect(refusal(text)).toBe('line 1: hold is null; allowed: nothing: only time_weighted_sum has a hold');
  });

  test('reads a value along a path as other meters do', () => {
    const [meter] = parseMeters(gauge(', hold: 1h, value: usage.gb')).meters;
    expect(meter?.value).toEqual(['usage', 'gb']);
  });
});

test('a unique count has a path: what is counted once', () => {
  const text = 'meters: [{ key: users, event_type: call, aggregation: unique_count, value: user.id, group_by: [plan] }]';
  expect(parseMeters(text).meters[0]).toMatchObject({ value: ['user', 'id'], groupBy: ['plan'], holdMinutes: 0 });
});

describe('the spread of tenants', () => {
  const spread = (text: string): string => `meters: []\nspread:\n${text}`;

  test('is read as steps of time and number of keys', () => {
    const text = spread(`  acme:
    - { from: "1970-01-01T00:01Z", keys: 4 }
    - { from: "1970-01-01T02:02+02:00", keys: 256 }
  zeta: [{ from: "1970-01-01T00:05Z", keys: 1 }]`);
    expect(parseMetersFile(text)).toEqual({
      meters: [],
      spread: new Map([
        [
          'acme',
          [
            { from: MINUTE, keys: 4 },
            { from: 2 * MINUTE, keys: 256 },
          ],
        ],
        ['zeta', [{ from: 5 * MINUTE, keys: 1 }]],
      ]),
    });
  });

  test('may stand alone: the meters then stay as they are, as the spread does in a file of meters', () => {
    expect(parseMetersFile('spread: {}')).toEqual({ meters: undefined, spread: new Map() });
    expect(parseMetersFile('meters: []')).toEqual({ meters: [], spread: undefined });
    expect(parseMeters('spread: {}').meters).toEqual([]);
    expect(refusal('meters: 7\nspread: {}')).toBe('meters: must be a list of meters');
  });

  test.each(['', '  - a', '  7', '  text'])('is a map of tenants, not %j', (text) => {
    expect(refusal(spread(text))).toBe('spread: must be a map of tenants, each with a list of { from, keys }');
  });

  const FROM = 'a time such as "2026-12-01T00:00Z"';
  const KEYS = 'a whole number from 1 to 256';
  test.each([
    ['{ from: 7, keys: 2 }', `from is 7; allowed: ${FROM}`],
    ['{ from: "2026-12-01", keys: 2 }', `from is "2026-12-01"; allowed: ${FROM}`],
    ['{ keys: 2 }', `from is missing; allowed: ${FROM}`],
    ['{ from: "2026-12-01T00:00Z" }', `keys is missing; allowed: ${KEYS}`],
    ['{ from: "2026-12-01T00:00Z", keys: 0 }', `keys is 0; allowed: ${KEYS}`],
    ['{ from: "2026-12-01T00:00Z", keys: 257 }', `keys is 257; allowed: ${KEYS}`],
    ['{ from: "2026-12-01T00:00Z", keys: 1.5 }', `keys is 1.5; allowed: ${KEYS}`],
    ['{ from: "2026-12-01T00:00Z", keys: "2" }', `keys is "2"; allowed: ${KEYS}`],
  ])('refuses the step %s', (step, fault) => {
    expect(refusal(spread(`  acme: [${step}]`))).toBe(`line 3: spread.acme.${fault}`);
  });

  test.each(['7', 'text', 'null', 'true', '[]'])('refuses the step %s, which has neither time nor keys', (step) => {
    const faults = refusal(spread(`  acme: [${step}]`));
    expect(faults).toContain(`spread.acme.from is missing; allowed: ${FROM}; `);
    expect(faults).toContain(`spread.acme.keys is missing; allowed: ${KEYS}`);
  });

  test('wants a list of steps in the order of their times', () => {
    expect(refusal(spread('  acme: 4'))).toBe('line 3: spread.acme is 4; allowed: a list of { from, keys }');
    const at = (...times: string[]): string => times.map((time) => `{ from: "${time}", keys: 2 }`).join(', ');
    const [one, two] = ['2026-12-01T00:00Z', '2026-12-02T00:00Z'];
    expect(refusal(spread(`  acme: [${at(one, two)}]`))).toBeUndefined();
    for (const steps of [at(two, one), at(one, one)])
      expect(refusal(spread(`  acme: [${steps}]`))).toMatch(/^line 3: spread\.acme is \[.*allowed: steps in the order/);
  });

  test('lists its faults together with those of the meters and of the file', () => {
    const text = `unit: GB
spread:
  acme: 4
  zeta: [{ from: x, keys: 2 }]
meters:
  - { key: a@1, event_type: t, aggregation: sum }
  - { key: b, event_type: t, aggregation: time_weighted_sum }`;
    expect(
      refusal(text)
        ?.split('; ')
        .filter((part) => !part.startsWith('allowed:')),
    ).toEqual([
      'unit: allowed here: meters, spread, schemas',
      'line 6: key is "a@1"',
      'line 7: hold is missing',
      'line 3: spread.acme is 4',
      'line 3: spread.zeta.from is "x"',
    ]);
  });

  test('says where an alias in it leads nowhere', () => {
    expect(refusal(spread('  acme: *gone'))).toMatch(/^line 3: Unresolved alias .*: gone; spread: must be a map/);
  });
});
