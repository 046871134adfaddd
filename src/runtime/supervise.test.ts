import { describe, expect, test } from 'vitest';
import { ManualClock, settled } from '../../test/support/manual-clock.ts';
import { versions } from '../../test/support/rules.ts';
import { lineage, record, ScriptedSource } from '../../test/support/scripted-source.ts';
import { recordedFacts } from '../../test/support/silent-facts.ts';
import type { Lineage, Opened, PlacedBatch, Sink } from '../contract.ts';
import { MeterError } from '../errors.ts';
import type { Topology } from './pipeline.ts';
import { supervise } from './supervise.ts';

const FORMATS = new Map([[1, { records: 3, bytes: 1e9, ageMs: 1e9, idleMs: 1e9 }]]);
const DISCOVER_MS = 50;

/** The same records in every lineage; lineages can be added. */
class GrowingSource extends ScriptedSource {
  readonly known: Lineage[] = [lineage('l0')];
  /** What the next looks for lineages throw. */
  readonly faults: unknown[] = [];
  looks = 0;

  override async lineages(): Promise<readonly Lineage[]> {
    this.looks += 1;
    if (this.faults.length > 0) throw this.faults.shift();
    return [...this.known];
  }
}

type Write = (batch: PlacedBatch) => Promise<'ok' | 'reopen'>;

class LaneSink implements Sink {
  readonly name = 'sink';
  readonly lineages: string[] = [];
  readonly written: number[] = [];
  readonly #write: Write;

  constructor(write: Write) {
    this.#write = write;
  }

  open({ id, origin }: Lineage): Promise<Opened> {
    this.lineages.push(id);
    return Promise.resolve({
      row: { lineage: id, segment: 0, start: origin, format: 1, rules: 1, arrival: 0, ended: false },
    });
  }

  async write(batch: PlacedBatch): Promise<'ok' | 'reopen'> {
    const answer = await this.#write(batch);
    this.written.push(...batch.records.map((placed) => Number(placed.record.position)));
    return answer;
  }
}

function supervisor(source: GrowingSource, write: Write = () => Promise.resolve('ok')) {
  const clock = new ManualClock();
  const { facts, count } = recordedFacts();
  const stop = new AbortController();
  /** The sink of each lane, in the order in which lanes were started. */
  const sinks: LaneSink[] = [];
  const topology: Topology = {
    source,
    steps: [],
    processor: () => (raw) => ({ record: raw, verdict: 'ok', contributions: [] }),
    sinks: () => {
      sinks.push(new LaneSink(write));
      return sinks.slice(-1);
    },
  };
  const ruleSets = versions();
  const limits = { formats: FORMATS, maxUnsettled: 10, discoverMs: DISCOVER_MS };
  const ports = { topology, ruleSets, clock, facts, random: () => 0, ...limits };
  const ending = { over: false };
  const done = supervise(ports, stop.signal).finally(() => (ending.over = true));
  const run = { clock, count, stop, sinks, done, isOver: () => ending.over };
  // A test looks at the end when it wants to, which may be after a failure.
  done.catch(() => undefined);
  return run;
}

/** An answer that a test gives when it wants to. */
function held<T>() {
  let give: (value: T) => void = () => undefined;
  const answer = new Promise<T>((resolve) => (give = resolve));
  return { answer, give: (value: T) => give(value) };
}

const conflict = () => new MeterError('ARCHIVE_CONFLICT', 'seal x: other records');
const down = () => new MeterError('LOG_UNAVAILABLE', 'look for lineages: down');

describe('a supervisor', () => {
  test('starts one lane for each lineage, with sinks of its own', async () => {
    const source = new GrowingSource([record(0), record(1)]);
    source.known.push(lineage('l1'));
    const { sinks, stop, done, clock } = supervisor(source);
    await settled();
    await clock.advance(10 * DISCOVER_MS);
    stop.abort();
    await done;
    expect(sinks.map((sink) => sink.lineages)).toEqual([['l0'], ['l1']]);
    expect(sinks.map((sink) => sink.written)).toEqual([
      [0, 1],
      [0, 1],
    ]);
    expect([source.open_, clock.sleeping]).toEqual([0, 0]);
  });

  test('finds a new lineage at its next look, not before, and leaves the lanes that run alone', async () => {
    const source = new GrowingSource([record(0)]);
    const { sinks, stop, done, clock } = supervisor(source);
    await settled();
    source.known.push(lineage('l1', ['l0']));
    await clock.advance(DISCOVER_MS - 1);
    expect(sinks).toHaveLength(1);
    await clock.advance(1);
    expect(sinks.map((sink) => sink.lineages)).toEqual([['l0'], ['l1']]);
    stop.abort();
    await done;
  });

  test('does not start a lineage again that was read to its close', async () => {
    const source = new GrowingSource([record(0)]);
    source.close();
    const { sinks, stop, done, clock } = supervisor(source);
    await settled();
    await clock.advance(10 * DISCOVER_MS);
    expect(source.looks).toBeGreaterThan(5);
    expect(sinks.map((sink) => sink.lineages)).toEqual([['l0']]);
    stop.abort();
    await done;
  });

  test('when stopped, resolves only after every lane has finished what it took', async () => {
    const source = new GrowingSource([record(0)]);
    source.known.push(lineage('l1'));
    const writes: Record<string, ReturnType<typeof held<'ok'>>> = { l0: held(), l1: held() };
    const { sinks, stop, done, isOver } = supervisor(source, (batch) => writes[batch.lineage]!.answer);
    await settled();
    stop.abort();
    writes.l0!.give('ok');
    await settled();
    expect(isOver()).toBe(false);
    writes.l1!.give('ok');
    await done;
    expect(sinks.map((sink) => sink.written)).toEqual([[0], [0]]);
  });

  test('at the first fatal error, stops the other lanes, lets them finish, and throws that error', async () => {
    const source = new GrowingSource([record(0)]);
    source.known.push(lineage('l1'));
    const other = held<'ok'>();
    const { sinks, done, count, clock, isOver } = supervisor(source, async (batch) => {
      if (batch.lineage === 'l0') throw conflict();
      return other.answer;
    });
    await settled();
    expect([count('stopped'), isOver()]).toEqual([1, false]);
    source.push(record(1));
    other.give('ok');
    await expect(done).rejects.toMatchObject({ code: 'ARCHIVE_CONFLICT' });
    expect(sinks.map((sink) => sink.written)).toEqual([[], [0]]);
    expect([source.open_, clock.sleeping]).toEqual([0, 0]);
  });

  test('throws the first of two fatal errors', async () => {
    const source = new GrowingSource([record(0)]);
    source.known.push(lineage('l1'));
    const second = held<'ok'>();
    const { done } = supervisor(source, async (batch) => {
      if (batch.lineage === 'l0') throw conflict();
      await second.answer;
      throw new MeterError('ARCHIVE_DAMAGED', 'read y: damaged');
    });
    await settled();
    second.give('ok');
    await expect(done).rejects.toMatchObject({ code: 'ARCHIVE_CONFLICT' });
  });

  test('waits out a log that cannot say its lineages, while the lanes go on', async () => {
    const source = new GrowingSource([record(0)]);
    const { sinks, stop, done, clock, count } = supervisor(source);
    await settled();
    source.faults.push(down(), down());
    source.known.push(lineage('l1'));
    await clock.advance(DISCOVER_MS);
    source.push(record(1));
    await settled();
    expect([count('waiting'), sinks[0]?.written]).toEqual([1, [0, 1]]);
    await clock.advance(1000);
    expect([count('waiting'), count('recovered'), sinks.length]).toEqual([2, 1, 2]);
    stop.abort();
    await done;
  });

  test.each([
    ['an error', new MeterError('LOG_REPLACED', 'look for lineages: another log'), { code: 'LOG_REPLACED' }],
    ['something that is no Error', 'another log', { message: 'another log' }],
  ])('when looking for lineages fails for good with %s, stops the lanes before it throws', async (_, fault, thrown) => {
    const source = new GrowingSource([record(0)]);
    const write = held<'ok'>();
    const { done, clock, isOver, sinks } = supervisor(source, () => write.answer);
    await settled();
    source.faults.push(fault);
    await clock.advance(DISCOVER_MS);
    expect(isOver()).toBe(false);
    write.give('ok');
    await expect(done).rejects.toMatchObject(thrown);
    expect(sinks.map((sink) => sink.written)).toEqual([[0]]);
    expect([source.open_, clock.sleeping]).toEqual([0, 0]);
  });
});
