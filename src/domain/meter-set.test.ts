import { describe, expect, test } from 'vitest';
import { implicitMeters, type Meter, meterId, meterSetOf } from './meter.ts';

const METER: Meter = {
  ...{ key: 'm', eventType: 'tokens', aggregation: 'sum', value: 'quantity', groupBy: [], filter: new Map() },
  ...{ unit: null, holdMinutes: 0, version: 1 },
};

describe('a meter set', () => {
  test('finds meters by the type of the event, in their order, and by key', () => {
    const [a, b, c] = [METER, { ...METER, key: 'n' }, { ...METER, key: 'o', eventType: 'calls' }];
    const set = meterSetOf([a, b, c]);
    expect(set.implicit).toBe(false);
    expect(set.meters).toEqual([a, b, c]);
    expect(set.forType('tokens')).toEqual([a, b]);
    expect(set.forType('calls')).toEqual([c]);
    expect(set.forType('stray')).toEqual([]);
    expect(set.find('o')).toBe(c);
    expect(set.find('tokens')).toBeUndefined();
  });

  test('of several versions of a key finds the newest, or the one that is named, in whatever order they stand', () => {
    const versions = [2, 3, 1].map((version): Meter => ({ ...METER, version }));
    const set = meterSetOf(versions);
    expect(set.find('m')?.version).toBe(3);
    expect([1, 2, 3, 4].map((version) => set.find('m', version))).toEqual([
      versions[2],
      versions[0],
      versions[1],
      undefined,
    ]);
    expect(set.forType('tokens')).toEqual(versions);
  });

  test('with implicit meters beside it has those, too, for as long as no file has taken their keys', () => {
    const renewed: Meter = { ...METER, key: 'tokens', groupBy: ['model'], version: 2 };
    const set = meterSetOf([renewed], implicitMeters());
    expect(set.implicit).toBe(true);
    expect(set.meters).toEqual([renewed]);
    expect(set.forType('tokens').map(meterId)).toEqual(['tokens@2', 'tokens@1']);
    expect(set.forType('calls').map(meterId)).toEqual(['calls@1']);
    expect([set.find('tokens'), set.find('tokens', 1)?.groupBy, set.find('tokens', 3)]).toEqual([renewed, [], undefined]);
    expect(set.find('calls')?.version).toBe(1);
  });

  test('the id of a meter carries its version', () => {
    expect(meterId({ key: 'tokens', version: 12 })).toBe('tokens@12');
  });
});

describe('implicit meters', () => {
  test('any event type has a sum meter of its own name', () => {
    const set = implicitMeters();
    const meter = { ...METER, key: 'tokens' };
    expect(set.implicit).toBe(true);
    expect(set.meters).toEqual([]);
    expect(set.forType('tokens')).toEqual([meter]);
    expect(set.find('tokens')).toEqual(meter);
    expect([set.find('tokens', 1), set.find('tokens', 2)]).toEqual([meter, undefined]);
    expect(set.find('__proto__')).toMatchObject({ key: '__proto__', eventType: '__proto__' });
  });

  test('a meter is made once, until ten thousand are kept: then it is made again and again', () => {
    const set = implicitMeters();
    const isKept = (type: string): boolean => set.find(type) === set.find(type);
    for (let n = 1; n < 10_000; n += 1) set.forType(`type-${String(n)}`);
    expect(isKept('the last')).toBe(true);
    expect(isKept('one more')).toBe(false);
    expect(isKept('type-1')).toBe(true);
    expect(set.find('one more')).toEqual({ ...METER, key: 'one more', eventType: 'one more' });
  });
});
