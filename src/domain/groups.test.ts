import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Contribution } from './cell.ts';
import { GroupBound, OTHER } from './groups.ts';

const contribution = (group: string, change: Partial<Contribution> = {}): Contribution => ({
  ...{ tenant: 't', meter: 'm@1', minute: 0, group, aggregation: 'sum', value: 1n, order: '' },
  ...change,
});

/** The contributions of one record, and the segment it lies in. */
interface Placed {
  readonly segment: number;
  readonly contributions: readonly Contribution[];
}
function limited(log: readonly Placed[], most: number): Contribution[][] {
  const bound = new GroupBound();
  return log.map(({ segment, contributions }) => [...bound.limit({ segment, most }, contributions)]);
}
const groups = (most: number, ...list: readonly string[]): string[] =>
  limited(
    list.map((group) => ({ segment: 0, contributions: [contribution(group)] })),
    most,
  ).map(([c]) => c!.group);

const drawn = fc.record({
  tenant: fc.constantFrom('t', 'u'),
  meter: fc.constantFrom('m@1', 'm@2', 'n@1'),
  minute: fc.constantFrom(0, 1),
  group: fc.constantFrom('[]', '["a"]', '["b"]', '["c"]', '["d"]', '[null]', '["other"]'),
});
const log = fc
  .array(fc.record({ step: fc.constantFrom(0, 0, 0, 0, 1), parts: fc.array(drawn, { maxLength: 3 }) }), { maxLength: 60 })
  .map((list) => {
    let segment = 4;
    return list.map(({ step, parts }): Placed => {
      segment += step;
      return { segment, contributions: parts.map((part, n) => contribution(part.group, { ...part, value: BigInt(n) })) };
    });
  });

/** From the whole history of a segment: the first groups of its tenant, meter and minute keep their names. */
function expected(log: readonly Placed[], most: number): string[][] {
  const flat = log.flatMap(({ segment, contributions }) => contributions.map((c) => ({ segment, ...c })));
  const names = flat.map((one, n) => {
    const before = flat.slice(0, n + 1).filter((o) => {
      const isSame = o.segment === one.segment && o.tenant === one.tenant && o.meter === one.meter;
      return isSame && o.minute === one.minute && o.group !== '[]';
    });
    const first = [...new Set(before.map(({ group }) => group))].slice(0, most);
    return one.group === '[]' || first.includes(one.group) ? one.group : '"other"';
  });
  return log.map(({ contributions }) => names.splice(0, contributions.length));
}

describe('the bound on groups', () => {
  test('leaves the first groups of each tenant, meter and minute of a segment as they are, and calls the rest other', () => {
    fc.assert(
      fc.property(log, fc.integer({ min: 1, max: 4 }), (log, most) => {
        const found = limited(log, most);
        expect(found.map((all) => all.map(({ group }) => group))).toEqual(expected(log, most));
        const usage = (all: readonly Contribution[]) => all.map((one) => ({ ...one, group: '' }));
        expect(found.map(usage)).toEqual(log.map(({ contributions }) => usage(contributions)));
      }),
      { numRuns: 300 },
    );
  });

  test('says the same when counting begins at any segment: what lies before it does not matter', () => {
    fc.assert(
      fc.property(log, fc.integer({ min: 1, max: 3 }), fc.nat(), (log, most, at) => {
        const segment = log[at % Math.max(1, log.length)]?.segment ?? 0;
        const start = log.findIndex((placed) => placed.segment >= segment);
        const rest = start < 0 ? [] : log.slice(start);
        expect(limited(rest, most)).toEqual(start < 0 ? [] : limited(log, most).slice(start));
      }),
    );
  });

  test('admits as many groups as it says, and each of them for as long as the segment lasts', () => {
    expect(groups(2, '["a"]', '["b"]', '["c"]', '["a"]', '["b"]', '["d"]')).toEqual([
      ...['["a"]', '["b"]', OTHER],
      ...['["a"]', '["b"]', OTHER],
    ]);
    expect(groups(3, '["a"]', '["b"]', '["c"]')).not.toContain(OTHER);
  });

  test('does not count the one group of meters without groups', () => {
    expect(groups(1, '[]', '["a"]', '[]', '["b"]')).toEqual(['[]', '["a"]', '[]', OTHER]);
  });

  test('hands on what it does not change', () => {
    const plain = [contribution('[]'), contribution('[]', { meter: 'n@1' })];
    expect(new GroupBound().limit({ segment: 0, most: 1 }, plain)).toBe(plain);
  });

  test('tells of the meter of each contribution beyond it', () => {
    const [bound, told] = [new GroupBound(), [] as string[]];
    const record = ['["a"]', '["b"]'].flatMap((group) => [contribution(group), contribution(group, { meter: 'n@1' })]);
    for (const segment of [0, 0, 1]) bound.limit({ segment, most: 1 }, record, (meter) => told.push(meter));
    expect(told).toEqual(['m@1', 'n@1', 'm@1', 'n@1', 'm@1', 'n@1']);
  });

  test('has a name for the rest that no list of values has, not even that of the value other', () => {
    expect(OTHER).not.toBe(JSON.stringify(['other']));
    expect(groups(1, '["other"]', '["a"]')).toEqual(['["other"]', OTHER]);
  });
});
