import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatMinute,
  isZone,
  MAX_WINDOWS,
  parseMinute,
  windowEdges,
  type WindowRequest,
  type WindowSize,
} from './window.ts';

const DAY = 1440;
/** Days before the range from which the walk knows which days and months have been. */
const LEAD = 3 * DAY;

const minuteOf = (iso: string): number => Date.parse(iso) / 60_000;
const isoOf = (minute: number): string => new Date(minute * 60_000).toISOString().slice(0, 16);
const isoEdges = (request: WindowRequest): string[] => windowEdges(request)!.map(isoOf);

interface WallClock {
  readonly format: Intl.DateTimeFormat;
  readonly shown: Map<number, string>;
}
const wallClocks = new Map<string, WallClock>();
function newWallClock(zone: string): WallClock {
  const digits = { month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit' } as const;
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, year: 'numeric', ...digits });
  return { format, shown: new Map() };
}
/** `2026-03-29 03:00`: sorts by the wall clock. Looked at once a minute, because ranges overlap. */
function wallClock(zone: string, minute: number): string {
  const { format, shown } = wallClocks.get(zone) ?? newWallClock(zone);
  const text = shown.get(minute) ?? format.format(minute * 60_000);
  wallClocks.set(zone, { format, shown: shown.set(minute, text) });
  return text;
}

/** Looks at the wall clock every minute: an hour begins at :00, a day or month where a date shows that never was before. */
function walk({ from, to, window, zone }: WindowRequest): number[] {
  if (window === 'range') return [from, to];
  const edges = [from];
  const shown = window === 'day' ? 10 : 7;
  let latest = '';
  for (let minute = from - LEAD; minute < to; minute += 1) {
    const local = wallClock(zone, minute);
    const begins = window === 'minute' || (window === 'hour' ? local.endsWith(':00') : local.slice(0, shown) > latest);
    if (local.slice(0, shown) > latest) latest = local.slice(0, shown);
    if (begins && minute > from) edges.push(minute);
  }
  return [...edges, to];
}

/** Where clocks were set, and how. */
const CHANGES: readonly (readonly [zone: string, at: string])[] = [
  ['UTC', '2026-01-01T00:00Z'],
  ['Europe/Paris', '2026-03-29T01:00Z'],
  ['Europe/Paris', '2026-10-25T01:00Z'],
  ['America/New_York', '2026-03-08T07:00Z'],
  ['America/New_York', '2026-11-01T06:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00Z'], // back by 30 minutes
  ['Australia/Lord_Howe', '2026-10-03T15:30Z'], // on by 30 minutes
  ['Asia/Kathmandu', '1985-12-31T18:30Z'], // on by 15 minutes at midnight, new year
  ['Asia/Kathmandu', '2026-05-31T18:15Z'],
  ['Africa/Casablanca', '2026-02-15T02:00Z'], // back for Ramadan
  ['Africa/Casablanca', '2026-03-22T02:00Z'],
  ['America/Sao_Paulo', '2018-11-04T03:00Z'], // no midnight
  ['America/Sao_Paulo', '2018-02-18T02:00Z'], // 23:00 twice
  ['America/St_Johns', '2010-11-07T02:31Z'], // 00:01 back to 23:01: midnight twice
  ['America/Havana', '2026-11-01T05:00Z'], // 01:00 back to 00:00: midnight twice
  ['Antarctica/Troll', '2026-03-29T01:00Z'], // on by two hours
  ['America/Caracas', '2007-12-09T07:00Z'], // back by 30 minutes, for good
  ['Asia/Pyongyang', '2018-05-04T15:00Z'], // 23:30 on to midnight
  ['Pacific/Apia', '2011-12-30T10:00Z'], // a whole day left out
  ['Pacific/Kwajalein', '1993-08-21T12:00Z'], // likewise
];

/** Ranges from minutes to three days around such a change. */
const around: fc.Arbitrary<Omit<WindowRequest, 'window'>> = fc
  .record({ change: fc.constantFrom(...CHANGES), before: fc.nat(2000), after: fc.integer({ min: 1, max: 2000 }) })
  .map(({ change: [zone, at], before, after }) => ({ zone, from: minuteOf(at) - before, to: minuteOf(at) + after }));

describe('the windows of a range', () => {
  test.each([
    ['minute', 10],
    ['hour', 80],
    ['day', 80],
    ['month', 40],
    ['range', 10],
  ] as const)('of a %s are what a walk over every minute of the wall clock finds', (window, numRuns) => {
    fc.assert(
      fc.property(around, (range) => {
        const request = { ...range, window };
        expect(windowEdges(request)).toEqual(walk(request));
      }),
      { numRuns },
    );
  });

  test.each(CHANGES)('of %s meet the change at %s, also when they begin or end there', (zone, at) => {
    for (const window of ['hour', 'day', 'month'] as const) {
      const change = minuteOf(at);
      for (const [from, to] of [
        [change - 1600, change],
        [change, change + 1600],
        [change - 1, change + 1],
      ] as const) {
        const request = { from, to, window, zone };
        expect(windowEdges(request)).toEqual(walk(request));
      }
    }
  });

  test('are the months of the wall clock through both changes of a year', () => {
    const [from, to] = ['2018-01-20T10:00', '2018-12-05T00:00'];
    const range = { from: minuteOf(`${from}Z`), to: minuteOf(`${to}Z`) };
    const starts = ['01-31T23:00', '02-28T23:00', '03-31T22:00', '04-30T22:00', '05-31T22:00', '06-30T22:00'];
    const later = ['07-31T22:00', '08-31T22:00', '09-30T22:00', '10-31T23:00', '11-30T23:00'];
    const inner = [...starts, ...later].map((rest) => `2018-${rest}`);
    expect(isoEdges({ ...range, window: 'month', zone: 'Europe/Paris' })).toEqual([from, ...inner, to]);
  });

  test('do not depend on where the range begins', () => {
    fc.assert(
      fc.property(around, fc.constantFrom<WindowSize>('hour', 'day', 'month'), fc.nat(1999), (range, window, cut) => {
        const from = Math.min(range.from + cut, range.to - 1);
        const all = windowEdges({ ...range, window })!;
        expect(windowEdges({ ...range, from, window })).toEqual([from, ...all.filter((edge) => edge > from)]);
      }),
    );
  });
});

describe('a day', () => {
  const hours = (zone: string, from: string, to: string): number[] => {
    const edges = windowEdges({ from: minuteOf(from), to: minuteOf(to), window: 'day', zone })!;
    return edges.slice(1).map((edge, n) => (edge - edges[n]!) / 60);
  };

  test('has 23 hours when the clock is set on, 25 when it is set back', () => {
    expect(hours('Europe/Paris', '2026-03-27T23:00Z', '2026-03-30T22:00Z')).toEqual([24, 23, 24]);
    expect(hours('Europe/Paris', '2026-10-23T22:00Z', '2026-10-26T23:00Z')).toEqual([24, 25, 24]);
    expect(hours('Australia/Lord_Howe', '2026-04-04T13:00Z', '2026-04-05T13:30Z')).toEqual([24.5]);
  });

  test('starts at one o’clock where there is no midnight', () => {
    expect(hours('America/Sao_Paulo', '2018-11-03T03:00Z', '2018-11-06T02:00Z')).toEqual([24, 23, 24]);
  });

  test('that the calendar left out has no window', () => {
    const request = { from: minuteOf('2011-12-29T10:00Z'), to: minuteOf('2011-12-31T10:00Z'), window: 'day' } as const;
    const edges = ['2011-12-29T10:00', '2011-12-30T10:00', '2011-12-31T10:00'];
    expect(isoEdges({ ...request, zone: 'Pacific/Apia' })).toEqual(edges);
  });

  test('cut by the range is shorter', () => {
    const request = { from: minuteOf('2026-06-01T12:34Z'), to: minuteOf('2026-06-02T07:08Z'), window: 'day' } as const;
    expect(isoEdges({ ...request, zone: 'UTC' })).toEqual(['2026-06-01T12:34', '2026-06-02T00:00', '2026-06-02T07:08']);
    expect(isoEdges({ ...request, zone: 'Asia/Kathmandu' })).toEqual([
      '2026-06-01T12:34',
      '2026-06-01T18:15',
      '2026-06-02T07:08',
    ]);
  });
});

describe('an hour', () => {
  const edges = (zone: string, from: string, to: string): string[] =>
    isoEdges({ from: minuteOf(from), to: minuteOf(to), window: 'hour', zone }).map((edge) => edge.slice(11));

  test('is one and a half where Lord Howe sets its clock by half an hour', () => {
    expect(edges('Australia/Lord_Howe', '2026-04-04T13:00Z', '2026-04-04T17:30Z')).toEqual([
      '13:00',
      '14:00',
      '15:30',
      '16:30',
      '17:30',
    ]);
    expect(edges('Australia/Lord_Howe', '2026-10-03T13:30Z', '2026-10-03T17:00Z')).toEqual([
      '13:30',
      '14:30',
      '16:00',
      '17:00',
    ]);
  });

  test('is full by the clock of its zone', () => {
    expect(edges('UTC', '2026-06-01T12:10Z', '2026-06-01T14:20Z')).toEqual(['12:10', '13:00', '14:00', '14:20']);
    const inKathmandu = edges('Asia/Kathmandu', '2026-06-01T12:10Z', '2026-06-01T13:20Z');
    expect(inKathmandu).toEqual(['12:10', '12:15', '13:15', '13:20']);
  });
});

describe('too many windows', () => {
  const from = minuteOf('2020-01-01T00:00Z');
  test.each([
    ['minute', 1],
    ['hour', 60],
    ['day', DAY],
  ] as const)('of a %s make no answer, as many as allowed do', (window, minutes) => {
    const request = { from, window, zone: 'UTC' };
    const to = from + MAX_WINDOWS * minutes;
    expect(windowEdges({ ...request, to })).toHaveLength(MAX_WINDOWS + 1);
    expect(windowEdges({ ...request, to: to + 1 })).toBeUndefined();
  });
});

describe('a zone', () => {
  test.each(['UTC', 'Europe/Paris', 'europe/paris', 'Asia/Calcutta', 'Etc/GMT+5', 'EST'])('may be %s', (name) => {
    expect(isZone(name)).toBe(true);
  });

  const times = ['2026-01-01', '2026-01-01T00:00Z', '2026-01-01T00:00[Europe/Paris]'];
  test.each(['', 'Mars/Base', 'Z', 'a\0b', '+05:30', '-03', ...times])('may not be %j', (name) => {
    expect(isZone(name)).toBe(false);
  });
});

describe('a minute', () => {
  test('reads as it was written', () => {
    fc.assert(
      fc.property(fc.integer({ min: minuteOf('0000-01-01T00:00Z'), max: minuteOf('9999-12-31T23:59Z') }), (minute) => {
        expect(formatMinute(minute)).toBe(`${isoOf(minute)}:00Z`);
        expect(parseMinute(formatMinute(minute))).toBe(minute);
      }),
    );
  });

  test('may be a date, or a time with an offset', () => {
    expect(parseMinute('2026-11-24')).toBe(minuteOf('2026-11-24T00:00Z'));
    expect(parseMinute('2026-11-24T10:07+05:30')).toBe(minuteOf('2026-11-24T04:37Z'));
    expect(parseMinute('1969-12-31T23:59Z')).toBe(-1);
  });

  test.each(['2026-11-24T10:00:01Z', '2026-11-24T10:00:00.000001Z', '2026-11-24T10:00', '2026-02-30', '2026-11', '', 'now'])(
    'is not %j',
    (text) => {
      expect(parseMinute(text)).toBeUndefined();
    },
  );
});
