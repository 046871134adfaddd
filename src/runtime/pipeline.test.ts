import { describe, expect, test } from 'vitest';
import { lineage, record, ScriptedSource, at } from '../../test/support/scripted-source.ts';
import type { Batch, LogRecord, Processor, Sink } from '../contract.ts';
import { from } from './pipeline.ts';
import type { Metered } from './term.ts';

/** Appends its name to what went before, as a verdict. */
const named = (name: string): Processor<Metered, Metered> => ({
  name,
  process: (metered, { id }) => ({ ...metered, verdict: `${metered.verdict} ${name}@${id}` }),
});
const judge: Processor<LogRecord, Metered> = {
  name: 'judge',
  process: (raw, { id }) => ({ record: raw, verdict: `judge@${id}`, contributions: [] }),
};
const sink = (name: string): Sink => ({
  name,
  open: () => Promise.resolve(undefined),
  write: () => Promise.resolve('ok'),
});
const batch = (...records: LogRecord[]): Batch => ({ lineage: 'l7', from: at(0), next: at(records.length), records });

describe('a pipeline', () => {
  test('applies its steps in the order in which they are written, each with the lineage of the record', () => {
    const topology = from(new ScriptedSource([])).through(judge).through(named('price')).through(named('round')).into();
    const [metered] = topology.process(batch(record(0)), lineage('l7'));
    expect(metered).toEqual({ record: record(0), verdict: 'judge@l7 price@l7 round@l7', contributions: [] });
  });

  test('shows source and steps by name, in order', () => {
    const topology = from(new ScriptedSource([])).through(judge).through(named('price')).into();
    expect(topology.steps).toEqual(['scripted', 'judge', 'price']);
  });

  test('every record in comes out, in order', () => {
    const records = [3, 1, 4, 1, 5].map((offset) => record(offset));
    const topology = from(new ScriptedSource([])).through(judge).into();
    expect(topology.process(batch(...records), lineage()).map((metered) => metered.record)).toEqual(records);
    expect(topology.process(batch(), lineage())).toEqual([]);
  });

  test('makes fresh sinks for each lane, in order', () => {
    const topology = from(new ScriptedSource([]))
      .through(judge)
      .into(
        () => sink('speed'),
        () => sink('archive'),
      );
    const [one, two] = [topology.sinks(), topology.sinks()];
    for (const sinks of [one, two]) expect(sinks.map(({ name }) => name)).toEqual(['speed', 'archive']);
    expect(one.some((made) => two.includes(made))).toBe(false);
  });

  test('is data: wiring reads nothing, makes no sink, and a stage can be drawn on twice', () => {
    const source = new ScriptedSource([record(0)]);
    const stage = from(source).through(judge);
    let made = 0;
    const make = (): Sink => sink(`made ${String((made += 1))}`);
    const [plain, priced] = [stage.into(make), stage.through(named('price')).into(make)];
    expect([source.reads, source.open_, made]).toEqual([0, 0, 0]);
    expect([plain.source, priced.source]).toEqual([source, source]);
    expect([plain.steps, priced.steps]).toEqual([
      ['scripted', 'judge'],
      ['scripted', 'judge', 'price'],
    ]);
  });

  test('what is not judged and metered cannot be given to sinks: it does not compile', () => {
    // @ts-expect-error a raw record has neither a verdict nor contributions
    expect(from(new ScriptedSource([])).into(() => sink('speed')).steps).toEqual(['scripted']);
  });
});
