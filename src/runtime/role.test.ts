import { describe, expect, test } from 'vitest';
import { ManualClock, settled } from '../../test/support/manual-clock.ts';
import { lineage, record, ScriptedSource } from '../../test/support/scripted-source.ts';
import { recordedFacts } from '../../test/support/silent-facts.ts';
import type { Sink } from '../contract.ts';
import { MeterError } from '../errors.ts';
import { backoff } from './backoff.ts';
import { from } from './pipeline.ts';
import { demandContinuation, earliestRow } from './resume.ts';
import { type Role, runRole } from './role.ts';
import { supervise } from './supervise.ts';
import { Unsettled } from './unsettled.ts';
import { Wake } from './wake.ts';

const down = () => new MeterError('DATABASE_UNAVAILABLE', 'publish: down');

function start(role: Omit<Role, 'name'>) {
  const clock = new ManualClock();
  const { facts, count } = recordedFacts();
  const stop = new AbortController();
  const done = runRole({ clock, facts, random: () => 0 }, { name: 'role', ...role }, stop.signal);
  return { clock, count, stop, done };
}

describe('a role', () => {
  test('steps again after its wait, not before', async () => {
    let steps = 0;
    const { clock, stop, done } = start({ everyMs: 100, step: async () => void (steps += 1) });
    await settled();
    await clock.advance(99);
    expect(steps).toBe(1);
    await clock.advance(1);
    expect(steps).toBe(2);
    stop.abort();
    await done;
    expect(clock.sleeping).toBe(0);
  });

  test('waits out what is transient, and says when it is over', async () => {
    let left = 2;
    const { clock, count, stop, done } = start({
      everyMs: 1000,
      step: async () => {
        left -= 1;
        if (left >= 0) throw down();
      },
    });
    await settled();
    await clock.advance(200);
    expect([count('waiting'), count('recovered')]).toEqual([2, 1]);
    stop.abort();
    await done;
  });

  test('throws what is fatal', async () => {
    const { done, count } = start({
      everyMs: 1,
      step: () => Promise.reject(new MeterError('ARCHIVE_DAMAGED', 'read x: damaged')),
    });
    await expect(done).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' });
    expect(count('stopped')).toBe(1);
  });

  test('is woken early by a poke, also by one that came while it worked', async () => {
    const clock = new ManualClock();
    const wake = new Wake(clock);
    const stop = new AbortController();
    let steps = 0;
    const role: Role = {
      name: 'woken',
      everyMs: 1000,
      wake,
      step: async () => {
        steps += 1;
        if (steps === 1) wake.poke();
      },
    };
    const done = runRole({ clock, facts: recordedFacts().facts, random: () => 0 }, role, stop.signal);
    await settled();
    expect(steps).toBe(2);
    wake.poke();
    await settled();
    expect(steps).toBe(3);
    stop.abort();
    await done;
    expect(clock.sleeping).toBe(0);
  });
});

describe('a supervisor', () => {
  const sinkThat = (write: Sink['write']): Sink => ({
    name: 'sink',
    open: () =>
      Promise.resolve({
        row: { lineage: 'l0', segment: 0, start: record(0).position, format: 1, arrival: 0, ended: false },
      }),
    write,
  });
  const run = (source: ScriptedSource, sink: Sink) => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const topology = from(source)
      .through({ name: 'judge', process: (r) => ({ record: r, verdict: 'ok', contributions: [] }) })
      .into(() => sink);
    const formats = new Map([[1, { records: 3, bytes: 1e9, ageMs: 1e9, idleMs: 1e9 }]]);
    const ports = {
      topology,
      clock,
      facts: recordedFacts().facts,
      random: () => 0,
      formats,
      maxUnsettled: 10,
      discoverMs: 50,
    };
    return { clock, stop, topology, done: supervise(ports, stop.signal) };
  };

  test('runs a lane for each lineage, and drains them when stopped', async () => {
    const seen: string[] = [];
    const source = new ScriptedSource([record(0), record(1)]);
    const { stop, done, topology, clock } = run(
      source,
      sinkThat((batch) => {
        seen.push(...batch.records.map((r) => r.record.position));
        return Promise.resolve('ok');
      }),
    );
    await settled();
    await clock.advance(60);
    stop.abort();
    await done;
    expect(seen).toHaveLength(2);
    expect(topology.steps).toEqual(['scripted', 'judge']);
  });

  test('stops all lanes and throws when one fails for good', async () => {
    const { done } = run(
      new ScriptedSource([record(0)]),
      sinkThat(() => Promise.reject(new MeterError('ARCHIVE_CONFLICT', 'seal x: other records'))),
    );
    await expect(done).rejects.toMatchObject({ code: 'ARCHIVE_CONFLICT' });
  });
});

describe('the small parts', () => {
  test('back-off doubles from 20 ms, stays within its jitter and under 2 s', () => {
    expect([1, 2, 3, 20].map((n) => backoff(n, () => 0))).toEqual([20, 40, 80, 1000]);
    expect(backoff(50, () => 0.999_999)).toBe(2000);
  });

  test('resuming needs a sink and a batch that goes forward', () => {
    expect(() => earliestRow([])).toThrow('without sinks');
    const batch = { lineage: lineage().id, from: '5', next: '4', records: [] };
    expect(() => demandContinuation(batch, '5')).toThrow('goes back');
    expect(() => demandContinuation({ ...batch, next: '5' }, '5')).not.toThrow();
  });

  test('room is given to all who wait, once what is open falls below the bound', async () => {
    const unsettled = new Unsettled(2);
    unsettled.add(3);
    let woken = 0;
    const waiting = [unsettled.room().then(() => (woken += 1)), unsettled.room().then(() => (woken += 1))];
    unsettled.settle(1);
    await settled();
    expect(woken).toBe(0);
    unsettled.settle(1);
    await Promise.all(waiting);
    expect([woken, unsettled.records]).toEqual([2, 1]);
  });
});
