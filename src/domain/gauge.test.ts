import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SCALE } from './decimal.ts';
import {
  addReading,
  decodeReadings,
  encodeReadings,
  hoursOfSeconds,
  integrals,
  mergeReadings,
  type Reading,
  readingsOf,
  type Span,
} from './gauge.ts';

const LAST = 120;
const reading: fc.Arbitrary<Reading> = fc.record({
  second: fc.integer({ min: 0, max: LAST }),
  order: fc.nat(999).map((n) => String(n).padStart(3, '0')),
  value: fc.bigInt({ min: -20n, max: 20n }),
});
/** No two readings have one order: theirs is the place of an event in the log. */
const log = fc.uniqueArray(reading, { selector: ({ order }) => order, maxLength: 25 });

/** Spans with gaps between them, some of them side by side. */
const spans: fc.Arbitrary<Span[]> = fc
  .uniqueArray(fc.integer({ min: 0, max: LAST + 20 }), { maxLength: 10 })
  .map((edges) => edges.sort((a, b) => a - b))
  .chain((edges) => {
    const all = edges.slice(1).map((to, n) => ({ from: edges[n]!, to }));
    return fc.subarray(all);
  });

function gathered(readings: readonly Reading[]): Map<number, Reading> {
  const kept = new Map<number, Reading>();
  for (const one of readings) addReading(kept, one);
  return kept;
}

/** Every second on its own: what was read last is what holds. */
function walked(
  readings: readonly Reading[],
  span: Span,
  { holdSeconds, until }: { holdSeconds: number; until: number },
): bigint {
  let sum = 0n;
  for (let second = span.from; second < span.to && second < until; second += 1) {
    const last = readings
      .filter((r) => r.second <= second)
      .sort((a, b) => a.second - b.second || Number(a.order) - Number(b.order))
      .at(-1);
    if (last !== undefined && second < last.second + holdSeconds) sum += last.value;
  }
  return sum;
}

const at = (second: number, value: bigint, order = '0'): Reading => ({ second, order, value });
const integral = (readings: readonly Reading[], span: Span, holdSeconds = 1000, until = 1e9): bigint =>
  integrals(gathered(readings), [span], { holdSeconds, until })[0]!;

describe('the integral of readings', () => {
  test('is a walk through every second of each span, whatever order the readings came in', () => {
    const options = fc.record({
      holdSeconds: fc.integer({ min: 0, max: 60 }),
      until: fc.integer({ min: 0, max: LAST + 30 }),
    });
    fc.assert(
      fc.property(log, spans, options, (readings, spans, options) => {
        const expected = spans.map((span) => walked(readings, span, options));
        expect(integrals(gathered(readings), spans, options)).toEqual(expected);
        expect(integrals(gathered(readings.toReversed()), spans, options)).toEqual(expected);
      }),
      { numRuns: 600 },
    );
  });

  test('of spans side by side is the integral of all of them', () => {
    fc.assert(
      fc.property(log, fc.nat(LAST), fc.nat(LAST), (readings, a, b) => {
        const [from, cut, to] = [0, Math.min(a, b), Math.max(a, b)];
        const options = { holdSeconds: 30, until: LAST };
        const parts = integrals(
          gathered(readings),
          [
            { from, to: cut },
            { from: cut, to },
          ],
          options,
        );
        expect(parts[0]! + parts[1]!).toBe(integrals(gathered(readings), [{ from, to }], options)[0]);
      }),
    );
  });

  test('counts a reading until the next one, or for as long as it holds', () => {
    expect(integral([at(10, 5n), at(14, 1n)], { from: 0, to: 20 })).toBe(4n * 5n + 6n * 1n);
    expect(integral([at(10, 5n), at(14, 1n)], { from: 0, to: 20 }, 3)).toBe(3n * 5n + 3n * 1n);
  });

  test('goes no further than the answer does, and a reading from behind there counts nothing', () => {
    expect(integral([at(10, 5n)], { from: 0, to: 100 }, 1000, 30)).toBe(100n);
    expect(integral([at(10, 5n), at(50, 7n)], { from: 0, to: 100 }, 1000, 30)).toBe(100n);
    expect(integral([at(50, 7n)], { from: 0, to: 100 }, 1000, 50)).toBe(0n);
    expect(integral([at(50, 7n)], { from: 0, to: 100 }, 1000, 51)).toBe(7n);
  });

  test('reaches into a span from a reading before it, and not across its hold', () => {
    expect(integral([at(0, 2n)], { from: 50, to: 60 })).toBe(20n);
    expect(integral([at(0, 2n)], { from: 50, to: 60 }, 53)).toBe(6n);
    expect(integral([at(0, 2n)], { from: 50, to: 60 }, 50)).toBe(0n);
  });

  test('leaves out what lies between spans', () => {
    const two = [
      { from: 0, to: 10 },
      { from: 90, to: 100 },
    ];
    expect(integrals(gathered([at(5, 3n)]), two, { holdSeconds: 1000, until: 95 })).toEqual([15n, 15n]);
  });

  test('of nothing is nothing, in every span', () => {
    expect(integrals(new Map(), [{ from: 0, to: 9 }], { holdSeconds: 9, until: 9 })).toEqual([0n]);
    expect(integrals(gathered([at(0, 1n)]), [], { holdSeconds: 9, until: 9 })).toEqual([]);
  });

  test('in hours is rounded half to even, from whole numbers alone', () => {
    expect(hoursOfSeconds(5n * SCALE * 3600n)).toBe(5n * SCALE);
    expect([1800n, 1801n, 5400n, -1800n, -1801n].map(hoursOfSeconds)).toEqual([0n, 1n, 2n, 0n, -1n]);
    const huge = 10n ** 40n;
    expect(hoursOfSeconds(huge * 3600n + 1799n)).toBe(huge);
  });
});

describe('readings', () => {
  const readings = log.map(gathered);

  test('of one second are the latest of them, in whatever order they come', () => {
    const [early, late] = [at(7, 1n, 'a'), at(7, 9n, 'b')];
    for (const order of [
      [early, late],
      [late, early],
    ])
      expect(gathered(order)).toEqual(readingsOf(late));
  });

  test('merge to those of all their events, however they are cut, ordered and bracketed', () => {
    fc.assert(
      fc.property(log, fc.nat(25), fc.nat(25), (all, one, two) => {
        const [a, b, c] = [gathered(all.slice(0, one)), gathered(all.slice(one, one + two)), gathered(all.slice(one + two))];
        const text = encodeReadings(gathered(all));
        expect(encodeReadings(mergeReadings(mergeReadings(a, b), c)!)).toBe(text);
        expect(encodeReadings(mergeReadings(c, mergeReadings(b, a))!)).toBe(text);
        expect(encodeReadings(mergeReadings(gathered(all), b)!)).toBe(text);
      }),
    );
  });

  test('merged with none are what they were, and merging changes neither side', () => {
    const [a, b] = [gathered([at(1, 1n)]), gathered([at(1, 2n, '9'), at(2, 3n)])];
    expect([mergeReadings(a, undefined), mergeReadings(undefined, a), mergeReadings(undefined, undefined)]).toEqual([
      a,
      a,
      undefined,
    ]);
    const before = [a, b].map(encodeReadings);
    expect(encodeReadings(mergeReadings(a, b)!)).toBe(before[1]);
    expect([a, b].map(encodeReadings)).toEqual(before);
  });

  test('are read as they were written', () => {
    fc.assert(
      fc.property(readings, fc.bigInt(), (readings, value) => {
        const huge = mergeReadings(readings, readingsOf(at(LAST + 1, value, '0001795514403000000|0002|pg.a.0|07')))!;
        expect(decodeReadings(encodeReadings(huge))).toEqual(huge);
      }),
    );
  });

  test.each(['', 'E', '[]', 'R', 'R[', 'R{}', 'R[1]', 'R[[1,"o"]]', 'R[[1,"o","x"]]', 'R[[1,"o","1.5"]]'])(
    'are not read from %j',
    (text) => {
      expect(() => decodeReadings(text)).toThrow();
    },
  );
});
