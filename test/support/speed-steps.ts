/** Random steps for two speed stores that must not be told apart, also by what is malformed. */
import fc from 'fast-check';
import type { AdvanceRequest, ApplyRequest, SpeedRecord, SpeedStore } from '../../src/contract.ts';
import { END } from '../../src/contract.ts';
import type { Aggregation, Contribution } from '../../src/domain/cell.ts';
import { encodeState } from '../../src/domain/state.ts';

export const BUCKETS = 2;
export const LINEAGES = ['l0', 'l1', 'kafka.ü\u{1f600}.0'];
const at = (n: number): string => (n >= 12 ? END : `p${String(n).padStart(3, '0')}`);

/** What a step does to a store. `fresh` makes values never used before; the same for both stores. */
export interface Step {
  readonly name: string;
  run(store: SpeedStore, fresh: string): Promise<unknown>;
}

const buckets = fc.nat(BUCKETS - 1);
const lineages = fc.constantFrom(...LINEAGES);
/** Some differ in one byte only, some are the bytes of others, shifted. */
const digests = fc.constantFrom(
  ...['\0'.repeat(16), '\0'.repeat(15) + '\x01', '\x01' + '\0'.repeat(15), 'a'.repeat(16), 'b' + 'a'.repeat(15)],
  ...['ÿ'.repeat(16), 'ab'.repeat(8), 'ba'.repeat(8), '1234567890123456', '\r\n'.repeat(8), '0000000000000000'],
);
const members = fc.constantFrom('\0\0\0\0\0\0\0\0', 'ÿÿÿÿÿÿÿÿ', 'abcdefgh', '\x00\x0f\0\0\0\0\0\x01', '12345678');
const values = fc.oneof(
  fc.bigInt(-(10n ** 38n) + 1n, 10n ** 38n - 1n),
  fc.constantFrom(
    0n,
    1n,
    -1n,
    10n ** 24n,
    -(10n ** 24n),
    10n ** 24n - 1n,
    10n ** 12n,
    2n ** 53n,
    -(2n ** 63n),
    10n ** 38n - 1n,
  ),
);
/** A meter has one aggregation. */
const kinds: readonly Aggregation[] = [
  'sum',
  'count',
  'min',
  'max',
  'average',
  'latest',
  'unique_count',
  'time_weighted_sum',
];

const contributions: fc.Arbitrary<Contribution> = fc
  .record({
    tenant: fc.constantFrom('acme', 'ä\u{1f600}', 'a', 'acme2'),
    meter: fc.constantFrom(...kinds).map((kind) => `${kind}@1`),
    minute: fc.constantFrom(0, 7, -3, 29_000_000),
    group: fc.constantFrom('[]', '["x"]', '"other"'),
    value: values,
    order: fc.constantFrom('', 'a', 'B', 'b', 'ab', 'é', '~'),
    member: members,
    second: fc.constantFrom(0, 420, 421, 1_740_000_000),
  })
  .map((c) => ({ ...c, aggregation: c.meter.split('@')[0] as Aggregation }));

const records: fc.Arbitrary<SpeedRecord[]> = fc
  .array(
    fc.record({
      n: fc.nat(11),
      digest: digests,
      epoch: fc.nat(6),
      segment: fc.nat(3),
      contributions: fc.array(contributions, { maxLength: 4 }),
    }),
    { maxLength: 8 },
  )
  .map((list) => {
    const byPosition = new Map(list.map(({ n, ...record }) => [at(n), { position: at(n), ...record }]));
    return [...byPosition.values()].sort((a, b) => (a.position < b.position ? -1 : 1));
  });

/** Mostly what the store says; sometimes something else. */
const mostly = <T>(other: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: other });

const applies: fc.Arbitrary<Step> = fc
  .record({
    bucket: buckets,
    lineage: lineages,
    prev: mostly(fc.nat(12).map(at)),
    incarnation: mostly(fc.constant('other')),
    oldest: mostly(fc.nat(7)),
    to: fc.oneof({ weight: 6, arbitrary: fc.nat(11) }, { weight: 1, arbitrary: fc.constant(12) }).map(at),
    records,
  })
  .map(({ bucket, lineage, prev, incarnation, oldest, to, records: all }) => ({
    name: `apply ${bucket} ${lineage} ${prev} to ${to} ${JSON.stringify(all, plain)}`,
    run: async (store) => {
      const view = await store.look(bucket, lineage);
      const from = prev ?? view.fence ?? at(0);
      return store.apply({
        bucket,
        lineage,
        incarnation: incarnation ?? view.incarnation ?? 'none',
        prev: from,
        to: to < from ? from : to,
        arrival: 5,
        rules: 2,
        oldest: oldest ?? view.oldest ?? 0,
        records: all.filter(({ position }) => position < to),
      });
    },
  }));

const advances: fc.Arbitrary<Step> = fc
  .record({
    bucket: buckets,
    lineage: lineages,
    stale: mostly(fc.constantFrom<Partial<AdvanceRequest['seen']>>({ mark: 'm' }, { oldest: 9 }, { incarnation: 'x' })),
    parents: fc.constantFrom<string[]>([], [], [], [], ['l0'], ['l0', 'l1']),
    floor: fc.option(fc.nat(4), { nil: undefined }),
    keys: fc.option(fc.array(fc.record({ digest: digests, epoch: fc.nat(6) }), { maxLength: 5 }), { nil: undefined }),
    fence: fc.option(fc.nat(12), { nil: undefined }),
    oldest: fc.nat(3),
  })
  .map(({ bucket, lineage, stale, parents, floor, keys, fence, oldest }) => ({
    name: `advance ${bucket} ${lineage} ${JSON.stringify({ stale, parents, floor, keys, fence, oldest }, plain)}`,
    run: async (store, fresh) =>
      store.advance({
        bucket,
        lineage,
        seen: { ...(await store.look(bucket, lineage)), ...stale },
        mint: { incarnation: `i${fresh}`, oldest },
        mark: `m${fresh}`,
        parents,
        floor,
        keys,
        fence: fence === undefined ? undefined : { position: at(fence), arrival: 3, rules: 1 },
      }),
  }));

const rest: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(buckets, lineages, fc.nat(4)).map(([bucket, lineage, cut]) => ({
    name: `collect ${bucket} ${lineage} ${cut}`,
    run: (store: SpeedStore) => store.collect(bucket, lineage, cut),
  })),
  fc.tuple(buckets, fc.nat(6), fc.array(fc.tuple(lineages, fc.nat(3)), { maxLength: 2 })).map(([bucket, epoch, needed]) => ({
    name: `drop epoch ${bucket} ${epoch} ${JSON.stringify(needed)}`,
    run: (store: SpeedStore) => store.dropEpoch(bucket, epoch, new Map(needed)),
  })),
  fc
    .record({
      tenant: fc.constantFrom(undefined, 'acme', 'a', 'ä\u{1f600}', 'nobody'),
      meter: fc.constantFrom(undefined, 'sum@1', 'latest@1'),
      fromMinute: fc.constantFrom(undefined, -3, 0, 8),
      toMinute: fc.constantFrom(undefined, 0, 7, 29_000_000),
    })
    .map((select) => ({
      name: `read ${JSON.stringify(select)}`,
      run: async (store: SpeedStore) => (await store.read([1, 0], select)).map(comparable),
    })),
);

/** One thing that is wrong, in an otherwise good call. */
const bad: readonly [string, (store: SpeedStore) => Promise<unknown>][] = (
  [
    { bucket: 7 },
    { bucket: -1 },
    { lineage: '' },
    { lineage: '\ud800' },
    { incarnation: '' },
    { oldest: -1 },
    { arrival: Number.NaN },
    { rules: 0.5 },
    { to: '' },
    { prev: at(5), to: at(4) },
    ...[
      { digest: 'short' },
      { digest: '\u0100'.repeat(16) },
      { epoch: -1 },
      { segment: 2 ** 53 },
      { position: '' },
      { position: END },
      { contributions: [{ tenant: '' }] },
      { contributions: [{ tenant: 'a\0b' }] },
      { contributions: [{ meter: '\udfff' }] },
      { contributions: [{ minute: 0.5 }] },
      { contributions: [{ value: 10n ** 38n }] },
      { contributions: [{ value: 1 }] },
      { contributions: [{ aggregation: 'median' }] },
      { contributions: [{ order: '\u{1f600}' }] },
      { contributions: [{ aggregation: 'unique_count', member: 'short' }] },
      { contributions: [{ aggregation: 'time_weighted_sum', second: -1 }] },
    ].map((record) => ({ records: [record] })),
  ] as Record<string, unknown>[]
).map((over) => [`malformed apply ${JSON.stringify(over, plain)}`, (store) => store.apply(malformed(over))]);

const GOOD: Contribution = { tenant: 't', meter: 'm@1', minute: 1, group: '[]', aggregation: 'sum', value: 1n, order: '' };

function malformed({ records: list, ...over }: Record<string, unknown>): ApplyRequest {
  const request = { bucket: 0, lineage: 'l0', incarnation: 'i', prev: at(0), to: at(9), arrival: 1, rules: 1, oldest: 0 };
  const made = ((list ?? []) as Record<string, unknown>[]).map(({ contributions: parts, ...record }) => ({
    ...{ position: at(1), digest: 'd'.repeat(16), epoch: 1, segment: 0 },
    ...record,
    contributions: ((parts ?? [{}]) as object[]).map((part) => ({ ...GOOD, ...part })),
  }));
  return { ...request, records: made, ...over };
}

const malformedSteps: fc.Arbitrary<Step> = fc.oneof(
  fc.constantFrom(...bad).map(([name, run]) => ({ name, run })),
  fc.constantFrom<Step>(
    { name: 'collect -1', run: (store) => store.collect(0, 'l0', -1) },
    { name: 'collect of no lineage', run: (store) => store.collect(0, '', 1) },
    { name: 'collect in no bucket', run: (store) => store.collect(9, 'l0', 1) },
    { name: 'drop half an epoch', run: (store) => store.dropEpoch(0, 0.5, new Map()) },
    { name: 'drop with a malformed need', run: (store) => store.dropEpoch(0, 1, new Map([['', 1]])) },
    { name: 'epochs of no bucket', run: (store) => store.epochs(5) },
    { name: 'read no bucket', run: (store) => store.read([0, 5], {}) },
  ),
);

/** Most schedules begin with a bucket whose lineages have fences. */
const opening: Step[] = LINEAGES.map((lineage) => ({
  name: `open ${lineage}`,
  run: async (store, fresh) => {
    const [seen, mint] = [await store.look(0, lineage), { incarnation: `i${fresh}`, oldest: 1 }];
    const fence = { position: at(0), arrival: 0, rules: 1 };
    return store.advance({ bucket: 0, lineage, seen, mint, mark: `m${fresh}`, parents: [], fence });
  },
}));

export const steps: fc.Arbitrary<Step[]> = fc
  .tuple(
    fc.oneof({ weight: 4, arbitrary: fc.constant(opening) }, { weight: 1, arbitrary: fc.constant([]) }),
    fc.array(
      fc.oneof(
        { weight: 10, arbitrary: applies },
        { weight: 4, arbitrary: advances },
        { weight: 4, arbitrary: rest },
        { weight: 1, arbitrary: malformedSteps },
      ),
      { minLength: 1, maxLength: 40 },
    ),
  )
  .map(([first, then]) => [...first, ...then]);

export function plain(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}

/** A bucket as text that is equal for equal buckets. */
function comparable(b: Awaited<ReturnType<SpeedStore['read']>>[number]): unknown {
  const cells = b.cells
    .map((cell) => ({ ...cell, distinct: undefined, readings: undefined, state: encodeState(cell) }))
    .map((cell) => JSON.stringify(cell, (name, value) => plain(name, sorted(value))))
    .sort();
  return { ...b, fences: [...b.fences].sort(), floors: [...b.floors].sort(), cells };
}

/** An object with its fields in one order. */
function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** All that a store says of itself. */
export async function everything(store: SpeedStore): Promise<unknown> {
  const all = Array.from({ length: BUCKETS }, (_, bucket) => bucket);
  const views = all.flatMap((bucket) => LINEAGES.map((lineage) => store.look(bucket, lineage)));
  return {
    buckets: (await store.read(all, {})).map(comparable),
    epochs: await Promise.all(all.map((bucket) => store.epochs(bucket))),
    views: await Promise.all(views),
  };
}

/** What came of a step: a thrown error says its class, because stores word it alike. */
export async function outcomeOf(work: () => Promise<unknown>): Promise<unknown> {
  try {
    return { done: await work() };
  } catch (error) {
    return { thrown: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  }
}
