import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ManualClock, settled } from '../../test/support/manual-clock.ts';
import { versions } from '../../test/support/rules.ts';
import { at, DOWN, lineage, LOST, record, ScriptedSource, tick } from '../../test/support/scripted-source.ts';
import { recordedFacts } from '../../test/support/silent-facts.ts';
import type { LogRecord, Opened, PlacedBatch, Sink } from '../contract.ts';
import type { Closed, Head } from '../domain/segment.ts';
import { MeterError } from '../errors.ts';
import { type LanePorts, runLane } from './lane.ts';

const FORMATS = new Map([[1, { records: 3, bytes: 1e9, ageMs: 1e9, idleMs: 1e9 }]]);
const row = (start = 0, segment = 0): Head => ({
  lineage: 'l0',
  segment,
  start: at(start),
  format: 1,
  rules: 1,
  arrival: 0,
  ended: false,
});

class RecordingSink implements Sink {
  readonly name: string;
  readonly batches: PlacedBatch[] = [];
  opens = 0;
  row = row();
  openResults: (Opened | undefined)[] = [];
  results: ('ok' | 'reopen' | Error | Promise<'ok'>)[] = [];

  constructor(name = 'recording') {
    this.name = name;
  }
  open(): Promise<Opened | undefined> {
    this.opens += 1;
    return Promise.resolve(this.openResults.length > 0 ? this.openResults.shift() : { row: this.row });
  }
  write(batch: PlacedBatch): Promise<'ok' | 'reopen'> {
    this.batches.push(batch);
    const result = this.results.shift() ?? 'ok';
    return result instanceof Error ? Promise.reject(result) : Promise.resolve(result);
  }
  get positions(): string[] {
    return this.batches.flatMap((b) => b.records.map((r) => r.record.position));
  }
}

function lane(source: ScriptedSource, sinks: readonly Sink[], options: Partial<LanePorts> = {}) {
  const clock = new ManualClock();
  const { facts, told, count } = recordedFacts();
  const processor: LanePorts['processor'] = () => (r) => ({ record: r, verdict: 'ok', contributions: [] });
  const ruleSets = versions();
  const own = { source, sinks, formats: FORMATS, processor, ruleSets, maxUnsettled: 1000, clock, facts, random: () => 0 };
  const ports: LanePorts = { ...own, ...options };
  const stop = new AbortController();
  const done = runLane(ports, lineage(), stop.signal);
  return { clock, told, count, stop, done };
}
const log = (n: number) => Array.from({ length: n }, (_, offset) => record(offset));

describe('a lane', () => {
  test('gives every sink every record in order and ends where the lineage ends', async () => {
    const source = new ScriptedSource(log(7));
    source.close();
    const sinks = [new RecordingSink('a'), new RecordingSink('b')];
    expect(await lane(source, sinks).done).toBe('ended');
    for (const sink of sinks) expect(sink.positions).toEqual(log(7).map((r) => r.position));
    expect(source.open_).toBe(0);
  });

  test('starts at the earliest row that a sink needs', async () => {
    const source = new ScriptedSource(log(6));
    source.close();
    const [ahead, behind] = [new RecordingSink('ahead'), new RecordingSink('behind')];
    ahead.row = row(6, 2);
    behind.row = row(3, 1);
    await lane(source, [ahead, behind]).done;
    expect(ahead.positions[0]).toBe(at(3));
  });

  test('tells sinks which segments closed, also the last one of a closed lineage', async () => {
    const source = new ScriptedSource([...log(4), tick(4)], [2, 3]);
    source.close();
    const sink = new RecordingSink();
    await lane(source, [sink]).done;
    const closed = sink.batches.flatMap((b) => b.closed.map((c) => [c.row.segment, c.end]));
    expect(closed).toEqual([
      [0, at(3)],
      [1, at(5)],
    ]);
    expect(sink.batches.flatMap((b) => b.records.map((r) => r.segment))).toEqual([0, 0, 0, 1, 1]);
  });

  test('with a sink that is stuck, it reads exactly as many records as the bound and one batch', async () => {
    const source = new ScriptedSource(log(100));
    const stuck = new RecordingSink();
    let release: (value: 'ok') => void = () => undefined;
    stuck.results = [new Promise<'ok'>((resolve) => (release = resolve))];
    const { stop, done } = lane(source, [stuck, new RecordingSink('quick')], { maxUnsettled: 10 });
    await settled();
    expect(source.reads).toBe(5);
    stop.abort();
    release('ok');
    expect(await done).toBe('stopped');
  });

  test('stops taking more when asked, and finishes what it took', async () => {
    const source = new ScriptedSource(log(4));
    const sink = new RecordingSink();
    const { stop, done, clock } = lane(source, [sink]);
    await settled();
    stop.abort();
    expect(await done).toBe('stopped');
    expect(sink.positions).toHaveLength(4);
    expect(clock.sleeping).toBe(0);
  });

  test('opens all sinks anew and replays when one refuses', async () => {
    const source = new ScriptedSource(log(6));
    source.close();
    const [refusing, other] = [new RecordingSink('refusing'), new RecordingSink('other')];
    refusing.results = ['ok', 'reopen'];
    const { clock, done } = lane(source, [refusing, other]);
    await settled();
    await clock.advance(100);
    expect(await done).toBe('ended');
    expect([refusing.opens, other.opens]).toEqual([2, 2]);
    expect(other.positions.slice(-6)).toEqual(log(6).map((r) => r.position));
  });

  test('asks again when a sink is not ready', async () => {
    const source = new ScriptedSource(log(2));
    source.close();
    const sink = new RecordingSink();
    sink.openResults = [undefined, undefined];
    const { clock, done } = lane(source, [sink]);
    await settled();
    await clock.advance(5000);
    expect(await done).toBe('ended');
    expect(sink.opens).toBe(3);
  });

  test('waits longer each time for a sink that is not ready, and as short as at first for one that refuses', async () => {
    const sink = new RecordingSink();
    sink.openResults = [undefined, undefined];
    sink.results = ['reopen', 'reopen', 'reopen'];
    const { stop, done, clock } = lane(new ScriptedSource(log(1)), [sink]);
    const opensAfter = async (ms: number): Promise<number> => {
      await clock.advance(ms);
      return sink.opens;
    };
    await settled();
    expect([sink.opens, await opensAfter(19), await opensAfter(1)]).toEqual([1, 1, 2]);
    expect([await opensAfter(39), await opensAfter(1)]).toEqual([2, 3]);
    expect([await opensAfter(19), await opensAfter(1), await opensAfter(20), await opensAfter(20)]).toEqual([3, 4, 5, 6]);
    stop.abort();
    expect(await done).toBe('stopped');
  });

  test('stopped while it waits for a sink, does not ask it again', async () => {
    const sink = new RecordingSink();
    sink.openResults = [undefined];
    const { stop, done, clock } = lane(new ScriptedSource(log(1)), [sink]);
    await settled();
    stop.abort();
    expect(await done).toBe('stopped');
    expect([sink.opens, clock.sleeping]).toEqual([1, 0]);
  });

  test('waits out a log and a sink that are down, and says so', async () => {
    const source = new ScriptedSource(log(4), [2, DOWN]);
    source.close();
    const sink = new RecordingSink();
    sink.results = [new MeterError('SPEED_UNAVAILABLE', 'apply: down')];
    const { clock, done, count } = lane(source, [sink]);
    await settled();
    await clock.advance(10_000);
    expect(await done).toBe('ended');
    expect(count('waiting')).toBeGreaterThanOrEqual(1);
    expect(count('recovered')).toBe(1);
    expect(new Set(sink.positions).size).toBe(4);
  });

  test('that is told to stop while it waits releases what it waited for', async () => {
    const sink = new RecordingSink();
    sink.results = Array.from({ length: 50 }, () => new MeterError('SPEED_UNAVAILABLE', 'apply'));
    const { clock, stop, done, told } = lane(new ScriptedSource(log(3)), [sink]);
    await settled();
    await clock.advance(20);
    stop.abort();
    expect(await done).toBe('stopped');
    const names = told.map(([name]) => name);
    expect(names).toContain('waiting');
    expect(names).not.toContain('recovered');
    expect(told.at(-1)).toEqual(['released', 'lineage l0']);
  });

  test('says that it recovered, and counts its failures anew, only past the place where it failed', async () => {
    const source = new ScriptedSource(log(4));
    const sink = new RecordingSink();
    const down = () => new MeterError('ARCHIVE_UNAVAILABLE', 'put x: down');
    sink.results = ['ok', down(), 'ok', down(), 'ok'];
    const { clock, stop, done, count } = lane(source, [sink]);
    await settled();
    await clock.advance(20);
    // The first batch was taken again, which is no news; the second one failed again.
    expect([count('waiting'), count('recovered'), sink.opens]).toEqual([2, 0, 2]);
    await clock.advance(39);
    expect(sink.opens).toBe(2);
    await clock.advance(1);
    expect([count('waiting'), count('recovered'), sink.opens]).toEqual([2, 1, 3]);
    sink.results = [down()];
    source.push(record(4));
    await settled();
    await clock.advance(20);
    expect([count('waiting'), sink.opens]).toEqual([3, 4]);
    stop.abort();
    await done;
  });

  test('has nothing to say where nothing failed', async () => {
    const source = new ScriptedSource(log(4));
    source.close();
    const sink = new RecordingSink();
    sink.results = ['ok', 'reopen'];
    const { clock, done, told } = lane(source, [sink]);
    await settled();
    await clock.advance(20);
    expect(await done).toBe('ended');
    expect(told).toEqual([]);
  });

  test('stops loudly at a batch that does not continue the last one', async () => {
    const { done, told } = lane(new ScriptedSource(log(4), [2, LOST]), [new RecordingSink()]);
    await expect(done).rejects.toMatchObject({ code: 'LOG_DISORDER' });
    expect(told.some(([fact]) => fact === 'stopped')).toBe(true);
  });

  test('stops loudly at a fault that is not known to pass', async () => {
    const sink = new RecordingSink();
    sink.results = [new TypeError('a defect')];
    await expect(lane(new ScriptedSource(log(4)), [sink]).done).rejects.toThrow('a defect');
  });

  test('does not start once it is stopped', async () => {
    const sink = new RecordingSink();
    sink.openResults = [undefined];
    const { stop, done } = lane(new ScriptedSource(log(1)), [sink]);
    stop.abort();
    expect(await done).toBe('stopped');
  });
});

/** What a sink does with a write: `late` takes the batch and then fails. */
type Mood = 'ok' | 'reopen' | 'down' | 'late';
const FATES = ['ok', 'ok', 'reopen', 'down', 'late'] as const;

/** Keeps the place of every record and every closed segment, and refuses what a sink need not expect. */
class ExactingSink implements Sink {
  readonly name = 'exacting';
  readonly placed = new Map<string, readonly [segment: number, arrival: number, rules: number]>();
  readonly closed = new Map<number, Closed>();
  readonly #moods: Mood[];
  readonly #ready: boolean[];
  #row = row();
  #next: string | undefined;

  constructor(moods: readonly Mood[] = [], ready: readonly boolean[] = []) {
    this.#moods = [...moods];
    this.#ready = [...ready];
  }

  open(): Promise<Opened | undefined> {
    this.#next = undefined;
    return Promise.resolve(this.#ready.shift() === false ? undefined : { row: this.#row });
  }

  write(batch: PlacedBatch): Promise<'ok' | 'reopen'> {
    // A term starts at a row that this sink has passed or needs, and leaves nothing out.
    if (this.#next === undefined) expect(batch.from <= this.#row.start).toBe(true);
    else expect(batch.from).toBe(this.#next);
    this.#next = batch.next;
    const mood = this.#moods.shift() ?? 'ok';
    if (mood === 'ok' || mood === 'late') this.#take(batch);
    if (mood === 'ok' || mood === 'reopen') return Promise.resolve(mood);
    return Promise.reject(new MeterError('ARCHIVE_UNAVAILABLE', 'put x: down'));
  }

  #take({ records, closed }: PlacedBatch): void {
    for (const { record: raw, segment, arrival, rules } of records)
      keepOnce(this.placed, raw.position, [segment, arrival, rules]);
    for (const segment of closed) {
      keepOnce(this.closed, segment.row.segment, segment);
      // Sealed at once: the next term need not begin before it.
      if (segment.next.start > this.#row.start) this.#row = segment.next;
    }
  }
}

/** What is delivered again must be what it was. */
function keepOnce<K, V>(kept: Map<K, V>, key: K, value: V): void {
  expect(kept.get(key) ?? value).toEqual(value);
  kept.set(key, value);
}

describe('however the log is cut and whatever fails', () => {
  const formats: LanePorts['formats'] = new Map([
    [1, { records: 3, bytes: 14, ageMs: 25, idleMs: 30 }],
    [2, { records: 2, bytes: 50, ageMs: 10, idleMs: 15 }],
  ]);
  const written = fc.record({
    kind: fc.constantFrom('event', 'event', 'event', 'tick', 'format', 'rules'),
    arrival: fc.nat(99),
    text: fc.string({ maxLength: 8 }),
    version: fc.constantFrom(1, 2),
  });
  const logs = fc.array(written, { maxLength: 25 }).map((all) =>
    all.map(({ kind, arrival, text, version }, offset): LogRecord => {
      if (kind === 'tick') return tick(offset, arrival);
      if (kind === 'format') return { ...record(offset, arrival, ''), control: { type: 'format', format: version } };
      if (kind === 'rules') return { ...record(offset, arrival, ''), control: { type: 'rules', rules: version } };
      return record(offset, arrival, text);
    }),
  );
  const reads = fc.array(fc.oneof({ arbitrary: fc.integer({ min: 1, max: 9 }), weight: 4 }, fc.constant(DOWN)), {
    maxLength: 25,
  });
  const moods = fc.array(fc.constantFrom(...FATES), { maxLength: 20 });
  const ready = fc.array(fc.boolean(), { maxLength: 4 });
  const sinks = fc.array(fc.tuple(moods, ready), { minLength: 1, maxLength: 3 });

  /** The version in force behind these records, which started with 1. */
  const rulesAt = (some: readonly LogRecord[]): number =>
    Math.max(1, ...some.map(({ control }) => (control?.type === 'rules' ? control.rules : 1)));
  const latest = (some: readonly LogRecord[]): number => Math.max(...some.map(({ arrival }) => arrival));

  async function delivered(source: ScriptedSource, to: readonly ExactingSink[], maxUnsettled = 1000): Promise<void> {
    source.close();
    const { clock, done } = lane(source, to, { maxUnsettled, formats });
    const ending = { over: false };
    const over = done.finally(() => (ending.over = true));
    over.catch(() => undefined);
    await settled();
    while (!ending.over) await clock.advance(2000);
    expect(await over).toBe('ended');
    expect([source.open_, clock.sleeping]).toEqual([0, 0]);
  }

  test('every sink is given the same placed records and the same closed segments', async () => {
    await fc.assert(
      fc.asyncProperty(logs, reads, sinks, fc.integer({ min: 1, max: 12 }), async (all, script, kinds, maxUnsettled) => {
        const untroubled = new ExactingSink();
        await delivered(new ScriptedSource([...all], [all.length]), [untroubled]);
        const places = [...untroubled.placed].map(([position, [, arrival]]) => [position, arrival]);
        expect(places).toEqual(all.map(({ position }, n) => [position, latest(all.slice(0, n + 1))]));
        const rules = [...untroubled.placed].map(([, [, , version]]) => version);
        expect(rules).toEqual(all.map((_, n) => rulesAt(all.slice(0, n))));

        const troubled = kinds.map((kind) => new ExactingSink(...kind));
        await delivered(new ScriptedSource([...all], [...script]), troubled, maxUnsettled);
        for (const sink of troubled) {
          expect([...sink.placed].sort()).toEqual([...untroubled.placed]);
          expect(sink.closed).toEqual(untroubled.closed);
        }
      }),
      { numRuns: 150 },
    );
  });
});
