import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { at } from '../../test/support/scripted-source.ts';
import { type Batch, END, type Opened } from '../contract.ts';
import { demandContinuation, earliestRow, isEnd } from './resume.ts';

const opened = (start: string, segment = 0): Opened => ({
  row: { lineage: 'l0', segment, start, format: 1, rules: 1, arrival: 0, ended: start === END },
});
const batch = (from: string, next: string): Batch => ({ lineage: 'l0', from, next, records: [] });

describe('the row to resume from', () => {
  test('is the earliest that any sink needs, whatever the order of the sinks', () => {
    const starts = fc.array(fc.nat(1000), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(starts, (offsets) => {
        const rows = offsets.map((offset) => opened(at(offset), offset));
        expect(earliestRow(rows)).toEqual(opened(at(Math.min(...offsets)), Math.min(...offsets)).row);
      }),
    );
  });

  test('is that of the sink behind, where another has read the lineage to its close', () => {
    expect(earliestRow([opened(END, 9), opened(at(7), 3)]).segment).toBe(3);
    expect(earliestRow([opened(END, 9), opened(END, 9)]).start).toBe(END);
  });

  test('is none without sinks: a defect, said at once', () => {
    expect(() => earliestRow([])).toThrow(new RangeError('resume: a lineage without sinks has nowhere to start'));
  });
});

describe('a batch', () => {
  test.each([
    ['goes on', at(5), at(8)],
    ['is empty', at(5), at(5)],
    ['reaches the close', at(5), END],
  ])('that %s where the last one ended is taken', (_, from, next) => {
    expect(() => demandContinuation(batch(from, next), from)).not.toThrow();
  });

  test.each([
    ['leaves records out', batch(at(6), at(8)), `a batch starts at ${at(6)}, expected ${at(5)}`],
    ['repeats records', batch(at(4), at(8)), `a batch starts at ${at(4)}, expected ${at(5)}`],
    ['goes back', batch(at(5), at(4)), `a batch at ${at(5)} goes back to ${at(4)}`],
  ])('that %s is refused for good, with lineage and positions', (_, refused, fact) => {
    expect(() => demandContinuation(refused, at(5))).toThrow(
      expect.objectContaining({ code: 'LOG_DISORDER', kind: 'fatal', message: `read l0: ${fact}` }),
    );
  });

  test('only END is the end of a lineage', () => {
    expect([END, at(0), ''].map(isEnd)).toEqual([true, false, false]);
  });
});
