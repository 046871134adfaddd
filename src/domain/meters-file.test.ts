import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MeterError } from '../errors.ts';
import { parseMeters } from './meters-file.ts';

const GOOD = `
meters:
  - { key: tokens_by_model, event_type: tokens, aggregation: sum, group_by: [model, user.id], unit: tokens }
  - key: slowest_call
    event_type: calls
    aggregation: max
    value: timing.ms
    filter: { region: [eu, us], paid: true, tier: 1 }
  - { key: calls, event_type: calls, aggregation: count }
`;

/** The message of BAD_METERS, without its beginning. */
function faultsOf(text: string): readonly string[] {
  try {
    parseMeters(text);
  } catch (error) {
    if (!(error instanceof MeterError) || error.code !== 'BAD_METERS') throw error;
    return error.message.replace('read the meters file: ', '').split('; ');
  }
  return [];
}
/** Of one meter, written in one line below two others. */
const oneFault = (fields: string): string => faultsOf(`meters:\n\n  - { ${fields} }`).join('; ');
const sum = (rest: string): string => `key: k, event_type: t, aggregation: sum, ${rest}`;

const metersOf = (entries: readonly object[]) => parseMeters(JSON.stringify({ meters: entries }));

describe('parseMeters', () => {
  test('reads every field of a meter', () => {
    const absent = { value: 'quantity', groupBy: [], filter: new Map(), unit: null, holdMinutes: 0, version: 1 };
    const filter = new Map(Object.entries({ region: new Set(['eu', 'us']), paid: new Set(['true']), tier: new Set(['1']) }));
    const byModel = { key: 'tokens_by_model', eventType: 'tokens', aggregation: 'sum', unit: 'tokens' };
    const slowest = { key: 'slowest_call', eventType: 'calls', aggregation: 'max', value: ['timing', 'ms'], filter };
    expect(parseMeters(GOOD).meters).toEqual([
      { ...absent, ...byModel, groupBy: ['model', 'user.id'] },
      { ...absent, ...slowest },
      { ...absent, key: 'calls', eventType: 'calls', aggregation: 'count' },
    ]);
  });

  test.each(['sum', 'count', 'min', 'max', 'average', 'latest'])('knows the aggregation %s', (aggregation) => {
    expect(metersOf([{ key: 'k', event_type: 't', aggregation }]).meters[0]).toMatchObject({ aggregation });
  });

  test('fields that are null are absent, and quantity may be named', () => {
    const optional = { group_by: null, filter: null, unit: null, value: 'quantity' };
    const [meter] = metersOf([{ key: 'k', event_type: 't', aggregation: 'sum', ...optional }]).meters;
    expect(meter).toMatchObject({ value: 'quantity', groupBy: [], filter: new Map(), unit: null });
  });

  test('a list may be empty', () => {
    expect(parseMeters('meters: []').meters).toEqual([]);
  });

  test('follows aliases', () => {
    const second = 'key: l, event_type: t, aggregation: sum, filter: *c';
    const { meters } = parseMeters(`meters:\n - { ${sum('filter: &c { region: eu }')} }\n - { ${second} }`);
    const filter = new Map([['region', new Set(['eu'])]]);
    expect(meters.map((meter) => meter.filter)).toEqual([filter, filter]);
  });

  test.each([
    ['leads nowhere', sum('filter: *gone'), /^line 3: Unresolved alias .*: gone$/],
    ['leads in a circle', sum('filter: &a { x: *a }'), /^line 3: Converting circular structure/],
  ])('names the line of an alias that %s', (_, fields, message) => {
    expect(oneFault(fields)).toMatch(message);
  });

  test.each([
    ['event_type: t, aggregation: sum', 'key is missing', 'a name of 1 to 128 characters without @'],
    ['key: a@1, event_type: t, aggregation: sum', 'key is "a@1"', 'a name of 1 to 128'],
    ['key: 7, event_type: t, aggregation: sum', 'key is 7', 'a name of 1 to 128'],
    ['key: "", event_type: t, aggregation: sum', 'key is ""', 'a name of 1 to 128'],
    ['key: k, aggregation: sum', 'event_type is missing', 'the event type that the meter measures'],
    ['key: k, event_type: "a\\0", aggregation: sum', 'event_type is "a\\u0000"', 'the event type'],
    [
      'key: k, event_type: t',
      'aggregation is missing',
      'sum, count, min, max, average, latest, unique_count, time_weighted_sum',
    ],
    ['key: k, event_type: t, aggregation: p99', 'aggregation is "p99"', 'sum, count'],
    ['key: k, event_type: t, aggregation: count, value: n', 'value is "n"', 'nothing: count has no value'],
    [sum('value: 7'), 'value is 7', 'quantity, or a path into the properties'],
    [sum('value: null'), 'value is null', 'quantity, or a path'],
    [sum('group_by: model'), 'group_by is "model"', 'a list of at most 5 different names of properties'],
    [sum('group_by: [a, a]'), 'group_by is ["a","a"]', 'a list of at most 5'],
    [sum('group_by: [1]'), 'group_by is [1]', 'a list of at most 5'],
    [sum('group_by: [a, b, c, d, e, f]'), 'group_by is ["a","b","c","d","e","f"]', 'a list of at most 5'],
    [sum('filter: eu'), 'filter is "eu"', 'property: value, or property: [value, …]'],
    [sum('filter: [eu]'), 'filter is ["eu"]', 'property: value'],
    [sum('filter: { region: [eu, null] }'), 'filter.region is ["eu",null]', 'a value or a list of values'],
    [sum('filter: { region: { a: b } }'), 'filter.region is {"a":"b"}', 'a value or a list'],
    [sum('unit: 7'), 'unit is 7', 'a text such as tokens or GB-hours'],
    ['key: k, event_type: t, aggregation: unique_count', 'value is missing', 'a path into the properties: what is counted'],
    [
      'key: k, event_type: t, aggregation: unique_count, value: quantity',
      'value is "quantity"',
      'a path into the properties',
    ],
    [sum('hold: 1h'), 'hold is "1h"', 'nothing: only time_weighted_sum has a hold'],
    [sum('window: day'), 'window is "day"', 'the fields key, event_type, aggregation'],
  ])('refuses %s', (fields, fault, allowed) => {
    expect(oneFault(fields)).toContain(`line 3: ${fault}; allowed: ${allowed}`);
  });

  test('takes a key of 128 characters and no more', () => {
    expect(oneFault(`key: ${'k'.repeat(128)}, event_type: t, aggregation: sum`)).toBe('');
    expect(oneFault(`key: ${'k'.repeat(129)}, event_type: t, aggregation: sum`)).toContain('line 3: key is');
  });

  test('takes five names to group by', () => {
    expect(oneFault(sum('group_by: [a, b, c, d, e]'))).toBe('');
  });

  test('lists every fault at once, each with its line', () => {
    const text = `meters:
  - key: a
    event_type: t
    aggregation: median
    unit: 3
  - just text
  - { event_type: t, aggregation: sum }
  - { key: b, event_type: t, aggregation: sum }
  - { key: b, event_type: u, aggregation: count, value: x }`;
    expect(faultsOf(text)).toEqual([
      'line 2: aggregation is "median"',
      'allowed: sum, count, min, max, average, latest, unique_count, time_weighted_sum',
      'line 2: unit is 3',
      'allowed: a text such as tokens or GB-hours',
      'meters: every entry must be a map of fields',
      'line 7: key is missing',
      'allowed: a name of 1 to 128 characters without @',
      'line 9: value is "x"',
      'allowed: nothing: count has no value',
      'meters: the key "b" stands twice',
    ]);
  });

  test.each(['', 'just text', '- a', 'meters:', 'meters: { a: b }'])('refuses %j: there is no list of meters', (text) => {
    expect(faultsOf(text)).toEqual(['meters: must be a list of meters']);
  });

  test('names every field of the file that it does not know: a name with an error would be left out in silence', () => {
    const other = 'allowed here: meters, spread, schemas';
    expect(faultsOf('meter: []')).toEqual([`meter: ${other}`]);
    expect(faultsOf('meters: []\nspred: {}\ncommon: &c { region: eu }')).toEqual([`spred: ${other}`, `common: ${other}`]);
  });

  test('says what is no YAML, and where', () => {
    expect(faultsOf('meters: [')[0]).toMatch(/at line 1, column \d+/);
    expect(faultsOf('meters: []\nmeters: []')[0]).toMatch(/^Map keys must be unique at line 2/);
  });

  test('any text is read or refused with BAD_METERS', () => {
    const word = fc.constantFrom('key', ': ', ' ', '\n', ', ', '&x ', '*x', '"', '#', '!!set ', '1', '\t');
    fc.assert(
      fc.property(fc.array(word, { maxLength: 20 }), (words) => {
        const text = words.join('');
        for (const meter of [text, `{${text}}`]) expect(faultsOf(`meters:\n - ${meter}`)).toBeInstanceOf(Array);
      }),
      { numRuns: 200 },
    );
  });
});
