import { describe, expect, test } from 'vitest';
import { settled } from '../../test/support/manual-clock.ts';
import { versions } from '../../test/support/rules.ts';
import { at, DOWN, lineage, record, ScriptedSource } from '../../test/support/scripted-source.ts';
import { END, type Opened, type PlacedBatch, type Sink } from '../contract.ts';
import type { Head } from '../domain/segment.ts';
import { MeterError } from '../errors.ts';
import { runTerm, type TermPorts } from './term.ts';

const FORMATS = new Map([[1, { records: 2, bytes: 1e9, ageMs: 1e9, idleMs: 1e9 }]]);
const ORIGIN: Head = { lineage: 'l0', segment: 0, start: at(0), format: 1, rules: 1, arrival: 0, ended: false };
const log = (n: number) => Array.from({ length: n }, (_, offset) => record(offset));
const upTo = (n: number) => Array.from({ length: n }, (_, offset) => offset);
const offsets = ({ records }: PlacedBatch): number[] => records.map((placed) => Number(placed.record.position));

interface TermOptions {
  readonly maxUnsettled?: number;
  readonly row?: Head;
  readonly processor?: TermPorts['processor'];
  readonly ruleSets?: TermPorts['ruleSets'];
  readonly taken?: TermPorts['taken'];
}

function term(source: ScriptedSource, sinks: readonly Sink[], options: TermOptions = {}) {
  const stop = new AbortController();
  const { row = ORIGIN, ...rest } = options;
  const processor: TermPorts['processor'] = () => (raw) => ({ record: raw, verdict: 'ok', contributions: [] });
  const ruleSets = versions();
  const ports = { source, sinks, formats: FORMATS, processor, ruleSets, maxUnsettled: 1000, ...rest };
  const ending = { over: false };
  const end = runTerm(ports, lineage(), row, stop.signal).finally(() => (ending.over = true));
  // A test looks at the end when it wants to, which may be after a failure.
  end.catch(() => undefined);
  return { stop, end, isOver: () => ending.over };
}

type Answer = 'ok' | 'reopen' | Error;

/** Answers each write when the test says so. */
class HeldSink implements Sink {
  readonly name = 'held';
  /** Offsets of each batch, as its write begins. */
  readonly begun: number[][] = [];
  readonly #open: ((answer: Answer) => void)[] = [];
  mostAtOnce = 0;

  open(): Promise<Opened> {
    return Promise.resolve({ row: ORIGIN });
  }
  async write(batch: PlacedBatch): Promise<'ok' | 'reopen'> {
    this.begun.push(offsets(batch));
    const given = new Promise<Answer>((resolve) => this.#open.push(resolve));
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#open.length);
    const answer = await given;
    if (answer instanceof Error) throw answer;
    return answer;
  }
  /** Answers the write under way, and lets what follows from it happen. */
  async answer(answer: Answer = 'ok'): Promise<void> {
    const give = this.#open.shift();
    if (give === undefined) throw new Error('no write is under way');
    give(answer);
    await settled();
  }
}

/** Answers at once: what it was told to, then `ok`. */
class QuickSink implements Sink {
  readonly name = 'quick';
  readonly taken: number[] = [];
  readonly #answers: unknown[];

  constructor(...answers: unknown[]) {
    this.#answers = answers;
  }
  open(): Promise<Opened> {
    return Promise.resolve({ row: ORIGIN });
  }
  async write(batch: PlacedBatch): Promise<'ok' | 'reopen'> {
    this.taken.push(...offsets(batch));
    const answer = this.#answers.length > 0 ? this.#answers.shift() : 'ok';
    if (answer === 'ok' || answer === 'reopen') return answer;
    throw answer;
  }
}

const down = () => new MeterError('SPEED_UNAVAILABLE', 'apply: down');

describe('back-pressure', () => {
  const bounds = [
    { maxUnsettled: 1, records: 1, reads: 1 },
    { maxUnsettled: 3, records: 1, reads: 3 },
    { maxUnsettled: 10, records: 2, reads: 5 },
    { maxUnsettled: 10, records: 3, reads: 4 },
    { maxUnsettled: 10, records: 25, reads: 1 },
  ];
  test.each(bounds)(
    'with a bound of $maxUnsettled, exactly $reads batches of $records are read against a stuck sink, and one more for each it takes',
    async ({ maxUnsettled, records, reads }) => {
      const source = new ScriptedSource(log(200), Array<number>(50).fill(records));
      const stuck = new HeldSink();
      const { stop, end } = term(source, [stuck, new QuickSink()], { maxUnsettled });
      await settled();
      expect([source.reads, stuck.begun.length]).toEqual([reads, 1]);
      // Falling below the bound takes as many batches as went over it: with these numbers, one.
      for (const more of [1, 2, 3]) {
        await stuck.answer();
        expect([source.reads, stuck.begun.length]).toEqual([reads + more, 1 + more]);
      }
      stop.abort();
      for (let n = 0; n < reads; n += 1) await stuck.answer();
      expect(await end).toBe('stopped');
    },
  );

  test('a large batch holds everything up until enough of what is open is taken', async () => {
    const source = new ScriptedSource(log(100), [2, 9, 1, 1, 2, 2]);
    const stuck = new HeldSink();
    const { stop, end } = term(source, [stuck], { maxUnsettled: 4 });
    await settled();
    expect(source.reads).toBe(2);
    await stuck.answer();
    expect(source.reads).toBe(2);
    await stuck.answer();
    expect(source.reads).toBe(5);
    stop.abort();
    for (let n = 0; n < 3; n += 1) await stuck.answer();
    expect(await end).toBe('stopped');
  });

  test('sinks do not wait for each other, and each gets one batch at a time, in order', async () => {
    const source = new ScriptedSource(log(6), [1, 2, 3]);
    source.close();
    const [slow, quick] = [new HeldSink(), new QuickSink()];
    const { end } = term(source, [slow, quick]);
    await settled();
    expect([slow.begun, quick.taken]).toEqual([[[0]], upTo(6)]);
    for (let n = 0; n < 3; n += 1) await slow.answer();
    expect(await end).toBe('ended');
    expect([slow.begun, slow.mostAtOnce]).toEqual([[[0], [1, 2], [3, 4, 5]], 1]);
  });

  test('a batch is taken once the slowest sink has it', async () => {
    const source = new ScriptedSource(log(4), [1, 3]);
    source.close();
    const slow = new HeldSink();
    const taken: string[] = [];
    const { end } = term(source, [new QuickSink(), slow], { taken: (before) => taken.push(before) });
    await settled();
    expect(taken).toEqual([]);
    await slow.answer();
    expect(taken).toEqual([at(1)]);
    await slow.answer();
    await end;
    expect(taken).toEqual([at(1), END]);
  });
});

/** Keeps what lies behind its fence: effect and mark are one step, as in the speed store. */
class FencedSink implements Sink {
  readonly name = 'fenced';
  readonly kept: number[] = [];
  row = ORIGIN;
  #fence = ORIGIN.start;

  open(): Promise<Opened> {
    return Promise.resolve({ row: this.row });
  }
  write(batch: PlacedBatch): Promise<'ok'> {
    this.kept.push(...offsets(batch).filter((offset) => at(offset) >= this.#fence));
    if (batch.next > this.#fence) this.#fence = batch.next;
    for (const { next } of batch.closed) this.row = next;
    return Promise.resolve('ok');
  }
}

/** Keeps a segment when it closes, as the archive; what is open is void with the term. */
class SealingSink implements Sink {
  readonly name = 'sealing';
  readonly kept: number[] = [];
  row = ORIGIN;
  #open: { readonly segment: number; readonly offset: number }[] = [];

  open(): Promise<Opened> {
    this.#open = [];
    return Promise.resolve({ row: this.row });
  }
  write({ records, closed }: PlacedBatch): Promise<'ok'> {
    this.#open.push(...records.map(({ segment, record: { position } }) => ({ segment, offset: Number(position) })));
    for (const { row, next } of closed) {
      this.kept.push(...this.#open.filter(({ segment }) => segment === row.segment).map(({ offset }) => offset));
      this.row = next;
    }
    return Promise.resolve('ok');
  }
}

describe('a crash', () => {
  const ABORT = DOWN;
  const kinds: [string, () => FencedSink | SealingSink, number[]][] = [
    ['fences', () => new FencedSink(), [0, 1, 2]],
    ['seals', () => new SealingSink(), [0, 1]],
  ];
  // After Bytewax's recovery tests: the input says where it dies.
  test.each(kinds)('leaves a sink that %s as if there had been none', async (_, make, before) => {
    const inputs = [0, 1, 2, ABORT, 3, 4] as const;
    const source = new ScriptedSource(
      log(5),
      inputs.map((n) => (n === ABORT ? ABORT : 1)),
    );
    source.close();
    const sink = make();
    const run = async () => term(source, [sink], { row: (await sink.open()).row }).end;
    await expect(run()).rejects.toThrow('down');
    expect(sink.kept).toEqual(before);
    expect(await run()).toBe('ended');
    expect(sink.kept).toEqual([0, 1, 2, 3, 4]);
  });
});

describe('two signals', () => {
  test('stop: no more is read, and all that was read is given to every sink and finished', async () => {
    const source = new ScriptedSource(log(6), [1, 1, 1]);
    const [held, quick] = [new HeldSink(), new QuickSink()];
    const { stop, end, isOver } = term(source, [held, quick], { maxUnsettled: 3 });
    await settled();
    stop.abort();
    await held.answer();
    await held.answer();
    expect([source.reads, held.begun, isOver()]).toEqual([3, [[0], [1], [2]], false]);
    await held.answer();
    expect(await end).toBe('stopped');
    expect([source.reads, quick.taken, source.open_]).toEqual([3, [0, 1, 2], 0]);
  });

  test('failed: what is under way is finished, what is queued behind it is void', async () => {
    const source = new ScriptedSource(log(6), [1, 1, 1]);
    const [held, refusing] = [new HeldSink(), new QuickSink('ok', 'reopen')];
    const taken: string[] = [];
    const { end, isOver } = term(source, [held, refusing], { maxUnsettled: 3, taken: (before) => taken.push(before) });
    await settled();
    expect([refusing.taken, isOver()]).toEqual([[0, 1], false]);
    await held.answer();
    expect(await end).toBe('reopen');
    expect([source.reads, held.begun, source.open_, taken]).toEqual([3, [[0]], 0, []]);
  });

  test('stopped while it waits for records, a term ends at once', async () => {
    const source = new ScriptedSource(log(2));
    const { stop, end } = term(source, [new QuickSink()]);
    await settled();
    stop.abort();
    expect(await end).toBe('stopped');
    expect(source.open_).toBe(0);
  });

  test('stopped before it begins, a term reads nothing', async () => {
    const source = new ScriptedSource(log(2));
    const { stop, end } = term(source, [new QuickSink()]);
    stop.abort();
    expect(await end).toBe('stopped');
    expect([source.reads, source.open_]).toEqual([0, 0]);
  });
});

describe('the end of a term', () => {
  test('a lineage that is read to its close has ended, also when nothing is left of it', async () => {
    const source = new ScriptedSource(log(2));
    source.close();
    const sink = new QuickSink();
    expect(await term(source, [sink]).end).toBe('ended');
    const reads = source.reads;
    expect(await term(source, [sink], { row: { ...ORIGIN, start: END } }).end).toBe('ended');
    expect([source.reads, sink.taken]).toEqual([reads, [0, 1]]);
  });

  test('a sink that refuses the last batch of a closed lineage is opened anew: the lineage has not ended', async () => {
    const source = new ScriptedSource(log(2));
    source.close();
    expect(await term(source, [new QuickSink('reopen')]).end).toBe('reopen');
  });

  test('a stop does not hide a refusal', async () => {
    const source = new ScriptedSource(log(2));
    const held = new HeldSink();
    const { stop, end } = term(source, [held]);
    await settled();
    stop.abort();
    await held.answer('reopen');
    expect(await end).toBe('reopen');
  });

  test('throws what a sink threw once the others have finished what they hold', async () => {
    const source = new ScriptedSource(log(4));
    const held = new HeldSink();
    const { end, isOver } = term(source, [held, new QuickSink(down())]);
    await settled();
    expect([source.open_, isOver()]).toEqual([1, false]);
    await held.answer();
    await expect(end).rejects.toMatchObject({ code: 'SPEED_UNAVAILABLE' });
    expect(source.open_).toBe(0);
  });

  test('throws the first of what two sinks threw, and an error rather than a refusal', async () => {
    const [one, two, refusing] = [new HeldSink(), new HeldSink(), new QuickSink('reopen')];
    const { end } = term(new ScriptedSource(log(1)), [one, two, refusing]);
    await settled();
    await two.answer(down());
    await one.answer(new MeterError('ARCHIVE_DAMAGED', 'read x: damaged'));
    await expect(end).rejects.toMatchObject({ code: 'SPEED_UNAVAILABLE' });
  });

  test('makes an Error of what a sink threw that is none', async () => {
    const { end } = term(new ScriptedSource(log(1)), [new QuickSink('no disk')]);
    await expect(end).rejects.toThrow(new Error('no disk'));
  });

  test('throws what the source threw only when no write is under way any more, whatever that comes to', async () => {
    const source = new ScriptedSource(log(4), [2, DOWN]);
    const held = new HeldSink();
    const { end, isOver } = term(source, [held]);
    await settled();
    expect([source.reads, isOver()]).toEqual([2, false]);
    await held.answer(new MeterError('ARCHIVE_UNAVAILABLE', 'put x: down'));
    await expect(end).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' });
    expect(source.open_).toBe(0);
  });

  test('a defect in a step ends the term like a failure of the source', async () => {
    const source = new ScriptedSource(log(4));
    const processor = () => (): never => {
      throw new TypeError('a defect');
    };
    const sink = new QuickSink();
    await expect(term(source, [sink], { processor }).end).rejects.toThrow('a defect');
    expect([sink.taken, source.open_]).toEqual([[], 0]);
  });
});

describe('the rules of a term', () => {
  const rules = (offset: number, version: number) => ({
    ...record(offset, offset, ''),
    control: { type: 'rules', rules: version } as const,
  });

  test('a step is told where each record lies and which rules are in force there, a rules record still by the old ones', async () => {
    const source = new ScriptedSource([record(0), rules(1, 3), record(2), rules(3, 2), record(4)], [2, 3]);
    source.close();
    const told: string[] = [];
    const processor: TermPorts['processor'] = () => (raw, where) => {
      told.push(`${where.lineage.id} ${String(where.segment)} ${String(where.rules)}`);
      return { record: raw, verdict: 'ok', contributions: [] };
    };
    expect(await term(source, [new QuickSink()], { processor }).end).toBe('ended');
    expect(told).toEqual(['l0 0 1', 'l0 0 1', 'l0 1 3', 'l0 1 3', 'l0 1 3']);
  });

  test('a sink is told the rules of each record, and those behind each batch', async () => {
    const source = new ScriptedSource([record(0), rules(1, 3), record(2)], [1, 1, 1]);
    source.close();
    const told: (readonly number[])[] = [];
    const sink: Sink = {
      ...{ name: 'told', open: () => Promise.resolve({ row: ORIGIN }) },
      write: (batch) => Promise.resolve((told.push([batch.records[0]!.rules, batch.rules]), 'ok' as const)),
    };
    await term(source, [sink]).end;
    expect(told).toEqual([
      [1, 1],
      [1, 3],
      [3, 3],
    ]);
  });

  test('a version is made known before any record is judged by it: that of the row, and each that the log names', async () => {
    const source = new ScriptedSource([record(0), rules(1, 8), record(2)], [3]);
    source.close();
    const order: string[] = [];
    const processor: TermPorts['processor'] = () => (raw, where) => {
      order.push(`judged by ${String(where.rules)}`);
      return { record: raw, verdict: 'ok', contributions: [] };
    };
    const ruleSets = versions((version) => Promise.resolve(void order.push(`known ${String(version)}`)));
    await term(source, [new QuickSink()], { processor, ruleSets, row: { ...ORIGIN, rules: 7 } }).end;
    expect(order).toEqual(['known 7', 'known 8', 'judged by 7', 'judged by 7', 'judged by 8']);
  });

  test('a version that nobody recorded stops the term before its batch reaches a sink', async () => {
    const source = new ScriptedSource([record(0), rules(1, 8), record(2)], [1, 2]);
    const sink = new QuickSink();
    const ruleSets = versions((version) =>
      version === 8 ? Promise.reject(new MeterError('DATA_DIR_NEWER', 'read rules 8')) : Promise.resolve(),
    );
    await expect(term(source, [sink], { ruleSets }).end).rejects.toMatchObject({ code: 'DATA_DIR_NEWER' });
    expect([sink.taken, source.open_]).toEqual([[0], 0]);
  });

  test('each term has steps of its own', async () => {
    const source = new ScriptedSource(log(2));
    source.close();
    let made = 0;
    const processor: TermPorts['processor'] = () => {
      made += 1;
      return (raw) => ({ record: raw, verdict: 'ok', contributions: [] });
    };
    for (const n of [1, 2]) {
      await term(source, [new QuickSink()], { processor }).end;
      expect(made).toBe(n);
    }
  });
});

describe('what the log has let go of', () => {
  /** Keeps what it is told of gaps, and answers as who keeps the record of segments, or who does not. */
  class GapSink extends QuickSink {
    readonly gaps: PlacedBatch[] = [];
    readonly #ofGap: 'ok' | 'reopen' | Error;

    constructor(answer: 'ok' | 'reopen' | Error) {
      super();
      this.#ofGap = answer;
    }

    override write(batch: PlacedBatch): Promise<'ok' | 'reopen'> {
      if (batch.isGap !== true) return super.write(batch);
      this.gaps.push(batch);
      return this.#ofGap instanceof Error ? Promise.reject(this.#ofGap) : Promise.resolve(this.#ofGap);
    }
  }

  test('what the log has let go of is told to every sink, behind what was read, and ends the term', async () => {
    const source = new ScriptedSource(log(9), [2]);
    const [keeper, counter] = [new GapSink('reopen'), new GapSink('ok')];
    const { end } = term(source, [counter, keeper], {
      ruleSets: versions(undefined, 4),
      processor: () => (raw) => {
        source.first = 6;
        return { record: raw, verdict: 'ok', contributions: [] };
      },
    });
    expect(await end).toBe('trimmed');
    const places = { lineage: 'l0', from: at(2), next: at(6), records: [], isGap: true, rules: 4 };
    expect(keeper.gaps).toMatchObject([{ ...places, closed: [{ end: at(6), gap: { from: at(2), places: null } }] }]);
    expect([keeper.taken, counter.gaps, source.open_]).toEqual([[0, 1], keeper.gaps, 0]);
  });

  test('a gap that no sink keeps on record stops the term with LOG_TRIMMED', async () => {
    const source = new ScriptedSource(log(9));
    source.first = 3;
    await expect(term(source, [new GapSink('ok')]).end).rejects.toMatchObject({ code: 'LOG_TRIMMED' });
  });

  test('a failure to record a gap is what the term ends with', async () => {
    const source = new ScriptedSource(log(9));
    source.first = 3;
    const down = new MeterError('DATABASE_UNAVAILABLE', 'seal: down');
    await expect(term(source, [new GapSink(down)]).end).rejects.toBe(down);
  });

  test('a node that is behind the others is asked again, and nothing is told', async () => {
    const source = new ScriptedSource(log(9));
    source.first = 3;
    source.bounds = () => Promise.resolve({ first: at(0), end: at(9) });
    const sink = new GapSink('reopen');
    expect(await term(source, [sink]).end).toBe('trimmed');
    expect(sink.gaps).toEqual([]);
  });
});
