import { describe, expect, test } from 'vitest';
import type { Control, LogRecord, Position } from '../contract.ts';
import { type ArchiveFormats, type Closed, type Head, SegmentCounter } from './segment.ts';

const FORMATS: ArchiveFormats = new Map([
  [1, { records: 4, bytes: 30, ageMs: 100, idleMs: 150 }],
  [2, { records: 3, bytes: 50, ageMs: 40, idleMs: 60 }],
]);
const position = (n: number): Position => String(n).padStart(20, '0');
const START: Head = {
  ...{ lineage: 'l', segment: 7, start: position(0), format: 1, rules: 1, arrival: 1000, ended: false },
};
const TICK: Control = { type: 'tick' };
const toFormat = (format: number): Control => ({ type: 'format', format });
const toRules = (rules: number): Control => ({ type: 'rules', rules });

/** A log by hand: an event of one byte, or a control record. */
const lines = (...list: readonly (readonly [arrival: number, what: 1 | Control])[]): LogRecord[] =>
  list.map(([arrival, what], n) => {
    const record = { position: position(n), arrival, key: null, value: new Uint8Array(1) };
    return what === 1 ? record : { ...record, control: what };
  });

function count(row: Head, records: readonly LogRecord[]) {
  const closed: Closed[] = [];
  const counter = new SegmentCounter(row, FORMATS, (p) => position(Number(p) + 1));
  const places = records.map((record) => counter.place(record, (segment) => closed.push(segment)));
  return { closed, counter, segments: places.map((p) => p.segment), rules: places.map((p) => p.rules) };
}
/** Where segments end, as indices behind their last record. */
const ends = ({ closed }: ReturnType<typeof count>): number[] => closed.map(({ end }) => Number(end));

describe('a record that puts other rules in force', () => {
  test('closes the segment right behind it, which has the old ones to its end', () => {
    const { closed, segments, rules } = count(START, lines([1000, 1], [1001, toRules(2)], [1002, 1]));
    expect(closed).toMatchObject([{ end: position(2), row: { rules: 1 }, next: { segment: 8, rules: 2, arrival: 1001 } }]);
    expect([segments, rules]).toEqual([
      [7, 7, 8],
      [1, 1, 2],
    ]);
  });

  test('closes it also where nothing counted, even as the very first record: the head says how far a version has come', () => {
    expect(ends(count(START, lines([1000, TICK], [1001, toRules(2)])))).toEqual([2]);
    const { closed } = count(START, lines([1000, toRules(2)], [1001, toRules(3)]));
    expect(closed.map(({ row, next }) => [row.rules, next.rules])).toEqual([
      [1, 2],
      [2, 3],
    ]);
  });

  test.each([0, 1, 2])('of version %i changes nothing where version 2 is in force', (version) => {
    const row = { ...START, rules: 2 };
    const { closed, counter, rules } = count(row, lines([1000, 1], [1001, toRules(version)], [1002, 1]));
    expect([closed, rules, counter.rules, counter.row]).toEqual([[], [2, 2, 2], 2, row]);
  });

  test('closes first what is over by its time, then the rest of one record: itself', () => {
    const { closed, rules } = count(START, lines([1000, 1], [1100, toRules(2)]));
    expect(closed.map(({ end, row, next }) => [Number(end), row.rules, next.rules])).toEqual([
      [1, 1, 1],
      [2, 1, 2],
    ]);
    expect(rules).toEqual([1, 1]);
  });

  test('leaves the format as it is, and a change of format the rules', () => {
    const { closed } = count(
      START,
      lines([1000, 1], [1001, toFormat(2)], [1002, toRules(5)], [1003, 1], [1004, toFormat(1)]),
    );
    expect(closed.map(({ next }) => [next.format, next.rules])).toEqual([
      [2, 1],
      [2, 5],
      [1, 5],
    ]);
  });
});
