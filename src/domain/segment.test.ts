import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Control, LogRecord, Position } from '../contract.ts';
import { type ArchiveFormats, type Closed, type Gap, type Head, SegmentCounter } from './segment.ts';

const FORMATS: ArchiveFormats = new Map([
  [1, { records: 4, bytes: 30, ageMs: 100, idleMs: 150 }],
  [2, { records: 3, bytes: 50, ageMs: 40, idleMs: 60 }],
  [3, { records: 1, bytes: 1000, ageMs: 1000, idleMs: 1000 }],
]);
const position = (n: number): Position => String(n).padStart(20, '0');
const after = (p: Position): Position => position(Number(p) + 1);
const START: Head = { lineage: 'l', segment: 7, start: position(0), format: 1, rules: 1, arrival: 1000, ended: false };

interface Count {
  readonly closed: readonly Closed[];
  readonly counter: SegmentCounter;
  /** The segment of each record. */
  readonly segments: readonly number[];
  /** The version of the rules that each record is judged by. */
  readonly rules: readonly number[];
}
function count(row: Head, records: readonly LogRecord[], formats = FORMATS): Count {
  const closed: Closed[] = [];
  const counter = new SegmentCounter(row, formats, after);
  const places = records.map((record) => counter.place(record, (segment) => closed.push(segment)));
  return { closed, counter, segments: places.map((p) => p.segment), rules: places.map((p) => p.rules) };
}

/** A record, drawn; positions have gaps and arrivals go back. */
interface Drawn {
  readonly gap: number;
  readonly step: number;
  readonly key: string | null;
  readonly bytes: number;
  readonly control: Control | undefined;
}
const control = fc.oneof(
  fc.constant<Control>({ type: 'tick' }),
  fc.constantFrom(1, 2, 3).map((format): Control => ({ type: 'format', format })),
  fc.constantFrom(1, 2, 3, 4).map((rules): Control => ({ type: 'rules', rules })),
);
const drawn: fc.Arbitrary<Drawn> = fc.record({
  gap: fc.constantFrom(0, 0, 0, 1, 5),
  step: fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: -20, max: 30 }) },
    { weight: 1, arbitrary: fc.integer({ min: -300, max: 200 }) },
  ),
  key: fc.constantFrom(null, '', 'acme', 'ü€'),
  bytes: fc.nat(14),
  control: fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 2, arbitrary: control }),
});
function logOf(list: readonly Drawn[]): LogRecord[] {
  let [at, arrival] = [0, START.arrival];
  return list.map(({ gap, step, key, bytes, control }) => {
    at += gap;
    arrival += step;
    const record = { position: position(at), arrival, key, value: new Uint8Array(bytes) };
    at += 1;
    return control === undefined ? record : { ...record, control };
  });
}
const log = fc.array(drawn, { maxLength: 80 }).map(logOf);

// The rules as sentences about a slice of the log that starts at a row; nothing is carried from record to record.
const counts = (slice: readonly LogRecord[]): LogRecord[] => slice.filter((r) => r.control === undefined);
const latest = (row: Head, slice: readonly LogRecord[]): number => Math.max(row.arrival, ...slice.map((r) => r.arrival));
/** The format that the slice ends with. */
const formatAt = (row: Head, slice: readonly LogRecord[]): number =>
  slice.reduce((format, { control }) => (control?.type === 'format' ? control.format : format), row.format);
/** The rules that the slice ends with: the newest that it names. */
const rulesAt = (row: Head, slice: readonly LogRecord[]): number =>
  Math.max(row.rules, ...slice.map(({ control }) => (control?.type === 'rules' ? control.rules : 0)));
const beforeFirst = (slice: readonly LogRecord[]): number => {
  const first = slice.findIndex((r) => r.control === undefined);
  return first < 0 ? slice.length : first;
};

function isFull(row: Head, slice: readonly LogRecord[]): boolean {
  const [own, lead] = [counts(slice), beforeFirst(slice)];
  const { records, bytes } = FORMATS.get(formatAt(row, slice.slice(0, lead)))!;
  const size = own.reduce((sum, r) => sum + r.value.length + Buffer.byteLength(r.key ?? ''), 0);
  const reformatted = slice.slice(lead).some((r) => r.control?.type === 'format');
  if (rulesAt(row, slice) > row.rules) return true;
  return own.length > 0 && (reformatted || own.length >= records || size >= bytes);
}
function isOver(row: Head, slice: readonly LogRecord[], next: LogRecord): boolean {
  const lead = beforeFirst(slice);
  const { ageMs, idleMs } = FORMATS.get(formatAt(row, slice.slice(0, lead)))!;
  const now = latest(row, [...slice, next]);
  if (lead === slice.length) return slice.length > 0 && now >= row.arrival + idleMs;
  return now >= latest(row, slice.slice(0, lead + 1)) + ageMs;
}

/** All closed segments by those sentences: the first prefix that is full, or over before the record behind it. */
function closedBySentences(row: Head, records: readonly LogRecord[]): Closed[] {
  const length = records.findIndex((_, n) => {
    const next = records[n + 1];
    return isFull(row, records.slice(0, n + 1)) || (next !== undefined && isOver(row, records.slice(0, n + 1), next));
  });
  if (length < 0) return [];
  const slice = records.slice(0, length + 1);
  const end = after(slice.at(-1)!.position);
  const next = {
    ...row,
    segment: row.segment + 1,
    start: end,
    format: formatAt(row, slice),
    rules: rulesAt(row, slice),
    arrival: latest(row, slice),
  };
  return [{ row, end, next }, ...closedBySentences(next, records.slice(length + 1))];
}

describe('the segments of any log', () => {
  test('are those of the rules, read as sentences about slices', () => {
    fc.assert(
      fc.property(log, (records) => {
        expect(count(START, records).closed).toEqual(closedBySentences(START, records));
      }),
      { numRuns: 500 },
    );
  });

  test('are the same, counted from the start or from any of their rows', () => {
    fc.assert(
      fc.property(log, (records) => {
        const whole = count(START, records);
        for (const [n, { next }] of whole.closed.entries()) {
          const rest = records.filter((r) => r.position >= next.start);
          const again = count(next, rest);
          expect(again.closed).toEqual(whole.closed.slice(n + 1));
          expect(again.segments).toEqual(whole.segments.slice(records.length - rest.length));
          expect(again.rules).toEqual(whole.rules.slice(records.length - rest.length));
          expect([again.counter.row, again.counter.arrival]).toEqual([whole.counter.row, whole.counter.arrival]);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('follow each other without a gap, and hold the records placed in them', () => {
    fc.assert(
      fc.property(log, (records) => {
        const { closed, counter, segments, rules } = count(START, records);
        expect([START, ...closed.map((c) => c.next)]).toEqual([...closed.map((c) => c.row), counter.row]);
        for (const { row, end, next } of closed) expect(next.start === end && row.start < end).toBe(true);
        const holder = ({ position: p }: LogRecord): Head => closed.find(({ end }) => p < end)?.row ?? counter.row;
        expect(segments).toEqual(records.map((r) => holder(r).segment));
        // One segment has one version: that of its row.
        expect(rules).toEqual(records.map((r) => holder(r).rules));
        expect(counter.rules).toBe(rulesAt(START, records));
        expect(counter.arrival).toBe(latest(START, records));
      }),
    );
  });
});

/** A log by hand: `[arrival, bytes or control]`, positions dense. */
type Line = readonly [arrival: number, what: number | Control];
const lines = (...list: readonly Line[]): LogRecord[] =>
  list.map(([arrival, what], n) => {
    const record = { position: position(n), arrival, key: null, value: new Uint8Array(typeof what === 'number' ? what : 0) };
    return typeof what === 'number' ? record : { ...record, control: what };
  });
const TICK: Control = { type: 'tick' };
const toFormat = (format: number): Control => ({ type: 'format', format });
/** Where segments end, as indices behind their last record. */
const ends = ({ closed }: Count): number[] => closed.map(({ end }) => Number(end));

describe('a segment closes', () => {
  test('right behind the record that fills it by number', () => {
    const full = lines([1000, 1], [1001, 1], [1002, 1], [1003, 1]);
    expect(ends(count(START, full.slice(0, 3)))).toEqual([]);
    expect(ends(count(START, full))).toEqual([4]);
  });

  test('right behind the record that fills it by bytes of key and value', () => {
    const [small, large] = lines([1000, 14], [1001, 14]) as [LogRecord, LogRecord];
    expect(ends(count(START, [small, large]))).toEqual([]);
    expect(ends(count(START, [small, { ...large, key: 'ü' }]))).toEqual([2]);
  });

  test('before the record that arrives when it is old, counted from its first event', () => {
    expect(ends(count(START, lines([1090, TICK], [1100, 1], [1199, 1])))).toEqual([]);
    const { closed, segments } = count(START, lines([1090, TICK], [1100, 1], [1200, 1]));
    expect(closed).toMatchObject([{ end: position(2), next: { segment: 8, start: position(2), arrival: 1100 } }]);
    expect(segments).toEqual([7, 7, 8]);
  });

  test('before the record that arrives an idle epoch after its row, where nothing counted', () => {
    expect(ends(count(START, lines([1100, TICK], [1149, TICK])))).toEqual([]);
    expect(ends(count(START, lines([1100, TICK], [1150, TICK])))).toEqual([1]);
    expect(ends(count(START, lines([1100, TICK], [1150, 1])))).toEqual([1]);
  });

  test('never while it holds no record at all, however long it waited', () => {
    expect(ends(count(START, lines([999_999, 1])))).toEqual([]);
    expect(ends(count(START, lines([999_999, TICK])))).toEqual([]);
  });

  test('right behind a change of the format, which the next one has', () => {
    const { closed } = count(START, lines([1000, 1], [1001, toFormat(2)], [1002, 1], [1042, 1]));
    expect(closed).toMatchObject([
      { end: position(2), row: { format: 1 }, next: { format: 2, arrival: 1001 } },
      { end: position(3), row: { format: 2 }, next: { format: 2 } },
    ]);
  });

  test('by the limits of a new format at once, where nothing counted before the change', () => {
    const counted = count(START, lines([1000, toFormat(3)], [1001, 1], [1002, 1]));
    expect(ends(counted)).toEqual([2, 3]);
    expect(counted.closed.map(({ row }) => row.format)).toEqual([1, 3]);
  });

  test('by the running maximum of arrival, which never goes back', () => {
    const back = count(START, lines([1090, 1], [400, 1], [1189, 1]));
    expect([ends(back), back.counter.arrival]).toEqual([[], 1189]);
    expect(ends(count(START, lines([1090, 1], [400, 1], [1190, 1])))).toEqual([2]);
    expect(count(START, lines([400, 1])).counter.arrival).toBe(START.arrival);
  });
});

describe('the end of a lineage', () => {
  const endOf = (...list: readonly Line[]): Closed[] => {
    const closed: Closed[] = [];
    count(START, lines(...list)).counter.end((segment) => closed.push(segment));
    return closed;
  };

  test('closes a segment in which something counted', () => {
    const next = { ...START, segment: 8, start: position(2), arrival: 1005 };
    expect(endOf([1005, 1], [1001, TICK])).toEqual([{ row: START, end: position(2), next }]);
  });

  test('leaves one open in which nothing did', () => {
    expect(endOf([1005, TICK])).toEqual([]);
    expect(endOf()).toEqual([]);
    expect(endOf([1000, 8], [1001, 8], [1002, 14])).toEqual([]);
  });
});

test('a format that this version does not know stops the count, as soon as its limits matter', () => {
  const counter = new SegmentCounter({ ...START, format: 9 }, FORMATS, after);
  const [tick, event] = lines([1000, TICK], [1001, 1]) as [LogRecord, LogRecord];
  counter.place(tick, () => expect.unreachable());
  expect(() => counter.place(event, () => expect.unreachable())).toThrow('archive format 9 is not known');
});

describe('a gap', () => {
  const gap: Gap = { from: position(2), places: 7 };
  const records = (n: number): LogRecord[] =>
    Array.from({ length: n }, (_, at) => ({
      position: position(at),
      arrival: 1000 + at,
      key: null,
      value: new Uint8Array(1),
    }));

  test('closes the segment at what was read, whatever it holds, and the next one starts behind it under the newest rules', () => {
    for (const [n, segment] of [
      [0, 7],
      [2, 7],
      [4, 8],
    ] as const) {
      const { counter } = count(START, records(n));
      const { row, end, next, gap: told } = counter.gap(gap, position(9), 5);
      expect([row.segment, end, told]).toEqual([segment, position(9), gap]);
      const arrival = 1000 + Math.max(0, n - 1);
      expect(next).toEqual({ ...START, segment: segment + 1, start: position(9), rules: 5, arrival });
      expect([counter.row, counter.rules, counter.arrival]).toEqual([next, 5, arrival]);
    }
  });

  test('takes no rules back, and what follows it is counted anew', () => {
    const { counter } = count({ ...START, rules: 6 }, records(3));
    expect(counter.gap(gap, position(9), 5).next.rules).toBe(6);
    const closed: Closed[] = [];
    for (const record of records(3))
      counter.place({ ...record, position: after(record.position) }, (one) => closed.push(one));
    expect(closed).toEqual([]);
  });
});
