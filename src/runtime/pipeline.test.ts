import { describe, expect, test } from 'vitest';
import { lineage, record, ScriptedSource } from '../../test/support/scripted-source.ts';
import type { At, LogRecord, Processor, Sink } from '../contract.ts';
import { from } from './pipeline.ts';
import type { Metered } from './term.ts';

const placeOf = ({ lineage: { id }, segment, rules }: At): string => `${id}/${String(segment)}/${String(rules)}`;

/** Appends its name to what went before, as a verdict. */
const named = (name: string) => (): Processor<Metered, Metered> => ({
  name,
  process: (metered, at) => ({ ...metered, verdict: `${metered.verdict} ${name}@${placeOf(at)}` }),
});
const judge = (): Processor<LogRecord, Metered> => ({
  name: 'judge',
  process: (raw, at) => ({ record: raw, verdict: `judge@${placeOf(at)}`, contributions: [] }),
});
/** Numbers what it is given. */
const numbering = (): Processor<Metered, Metered> => {
  let given = 0;
  return { name: 'number', process: (metered) => ({ ...metered, verdict: String((given += 1)) }) };
};
const sink = (name: string): Sink => ({
  name,
  open: () => Promise.resolve(undefined),
  write: () => Promise.resolve('ok'),
});
const AT: At = { lineage: lineage('l7'), segment: 4, rules: 2 };

describe('a pipeline', () => {
  test('applies its steps in the order in which they are written, each with the place of the record', () => {
    const topology = from(new ScriptedSource([])).through(judge).through(named('price')).through(named('round')).into();
    const verdict = 'judge@l7/4/2 price@l7/4/2 round@l7/4/2';
    expect(topology.processor()(record(0), AT)).toEqual({ record: record(0), verdict, contributions: [] });
  });

  test('shows source and steps by name, in order', () => {
    const topology = from(new ScriptedSource([])).through(judge).through(named('price')).into();
    expect(topology.steps).toEqual(['scripted', 'judge', 'price']);
  });

  test('every record in comes out, in order', () => {
    const records = [3, 1, 4, 1, 5].map((offset) => record(offset));
    const topology = from(new ScriptedSource([])).through(judge).into();
    const process = topology.processor();
    expect(records.map((raw) => process(raw, AT).record)).toEqual(records);
  });

  test('makes fresh steps for each term: what one has counted, the next knows nothing of', () => {
    const topology = from(new ScriptedSource([])).through(judge).through(numbering).into();
    const [one, two] = [topology.processor(), topology.processor()];
    const verdicts = [one, one, two, one, two].map((process) => process(record(0), AT).verdict);
    expect(verdicts).toEqual(['1', '2', '1', '3', '2']);
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
