import { describe, expect, test } from 'vitest';
import { ManualClock, settled } from '../../test/support/manual-clock.ts';
import { at, DOWN, lineage, LOST, record, ScriptedSource, tick } from '../../test/support/scripted-source.ts';
import { recordedFacts } from '../../test/support/silent-facts.ts';
import type { Opened, PlacedBatch, Sink } from '../contract.ts';
import type { Head } from '../domain/segment.ts';
import { MeterError } from '../errors.ts';
import { type LanePorts, runLane } from './lane.ts';

const FORMATS = new Map([[1, { records: 3, bytes: 1e9, ageMs: 1e9, idleMs: 1e9 }]]);
const row = (start = 0, segment = 0): Head => ({
  lineage: 'l0',
  segment,
  start: at(start),
  format: 1,
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

function lane(source: ScriptedSource, sinks: readonly Sink[], maxUnsettled = 1000) {
  const clock = new ManualClock();
  const { facts, told, count } = recordedFacts();
  const process: LanePorts['process'] = (batch) =>
    batch.records.map((r) => ({ record: r, verdict: 'ok', contributions: [] }));
  const ports: LanePorts = { source, sinks, formats: FORMATS, process, maxUnsettled, clock, facts, random: () => 0 };
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
    const { stop, done } = lane(source, [stuck, new RecordingSink('quick')], 10);
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
    expect(new Set(sink.positions).size).toBe(4);
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
