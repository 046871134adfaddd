/** What scripts answer: the state of a bucket, and cells. */
import type { BucketView, FenceState, SpeedCell } from '../../contract.ts';
import { EMPTY, type Accumulators, type CellKey } from '../../domain/cell.ts';
import { fromLimbs, parseOrdered } from '../../domain/decimal.ts';
import { type Distinct, MEMBER_BYTES } from '../../domain/distinct.ts';
import { addReading, type Reading } from '../../domain/gauge.ts';
import { type Epoch, parseEpochs } from './epochs.ts';
import { unpack, type Unpacked } from './pack.ts';
import type { Reply } from './scripts.ts';

const listOf = (reply: Reply | undefined): readonly Reply[] => {
  if (!Array.isArray(reply)) throw new RangeError('redis: a script answered no list');
  return reply as readonly Reply[];
};
export function textOf(reply: Reply | undefined): string | undefined {
  if (Buffer.isBuffer(reply)) return reply.toString();
  return typeof reply === 'number' || typeof reply === 'string' ? `${reply}` : undefined;
}
const numberOf = (reply: Reply | undefined): number | undefined => {
  const text = textOf(reply);
  return text === undefined ? undefined : Number(text);
};

export const formatFence = ({ position, arrival, rules }: FenceState): string => `${arrival} ${rules} ${position}`;

export function parseFence(text: string): FenceState {
  const [, arrival, rules, position] = /^(\d+) (\d+) ([^]*)$/.exec(text) ?? [];
  if (position === undefined) throw new RangeError(`redis: ${text} is no fence`);
  return { position, arrival: Number(arrival), rules: Number(rules) };
}

/** Of a reply that is a count. */
export const decodeCount = (reply: Reply): number => numberOf(reply) ?? 0;

/** What a bucket is to one lineage, and which of its epochs hold digests. */
export interface Seen {
  readonly view: BucketView;
  readonly epochs: readonly Epoch[];
}

/** incarnation, oldest, epochs, fence, floor, mark: as parts/state.lua has them. */
export function seenOf(values: readonly Reply[]): Seen {
  const [incarnation, oldest, epochs, fence, floor, mark] = values;
  const text = textOf(fence);
  return {
    view: {
      incarnation: textOf(incarnation),
      oldest: numberOf(oldest),
      fence: text === undefined ? undefined : parseFence(text).position,
      floor: numberOf(floor) ?? 0,
      mark: textOf(mark),
    },
    epochs: parseEpochs(textOf(epochs) ?? ''),
  };
}

/** A code, then as above. */
export function codeAndSeen(reply: Reply): { readonly code: string; readonly seen: Seen } {
  const [code, ...values] = listOf(reply);
  return { code: textOf(code) ?? '', seen: seenOf(values) };
}

/** All of a bucket but digests and cells. */
export interface State {
  readonly incarnation: string | undefined;
  readonly fences: ReadonlyMap<string, FenceState>;
  readonly floors: ReadonlyMap<string, number>;
  /** lineage -> segments with cells */
  readonly segments: ReadonlyMap<string, readonly number[]>;
  /** `LINEAGE SEGMENT` -> which of its hashes of cells there are, a bit for each. */
  readonly hashes: ReadonlyMap<string, bigint>;
}

export const numbersOf = (text: string | undefined): number[] =>
  text === undefined || text === '' ? [] : text.split(' ').map(Number);

/** Four a digit, the lowest bit for the first of them, as parts/cells.lua writes them. */
const hashesIn = (digits: string): bigint => BigInt(`0x0${Array.from(digits).reverse().join('')}`);

/** Whether there is such a hash of cells. */
export const hasHash = ({ hashes }: State, lineage: string, segment: number, hash: number): boolean =>
  (((hashes.get(`${lineage} ${segment}`) ?? 0n) >> BigInt(hash)) & 1n) === 1n;

export function stateOf(reply: Reply | undefined): State {
  const values = listOf(reply);
  let incarnation: string | undefined;
  const [fences, floors, segments, hashes] = [
    new Map<string, FenceState>(),
    new Map<string, number>(),
    new Map<string, readonly number[]>(),
    new Map<string, bigint>(),
  ];
  for (let n = 0; n < values.length; n += 2) {
    const [field, value] = [textOf(values[n]) ?? '', textOf(values[n + 1]) ?? ''];
    const lineage = field.slice(2);
    if (field === 'i') incarnation = value;
    else if (field.startsWith('f:')) fences.set(lineage, parseFence(value));
    else if (field.startsWith('g:')) floors.set(lineage, Number(value));
    else if (field.startsWith('s:')) segments.set(lineage, numbersOf(value));
    else if (field.startsWith('m:')) hashes.set(lineage, hashesIn(value));
  }
  return { incarnation, fences, floors, segments, hashes };
}

const isMap = (value: Unpacked | undefined): value is ReadonlyMap<string, Unpacked> => value instanceof Map;
const listIn = (value: Unpacked | undefined): readonly Unpacked[] => (Array.isArray(value) ? (value as Unpacked[]) : []);
const bytesIn = (value: Unpacked | undefined): string => (Buffer.isBuffer(value) ? value.toString('latin1') : '');
const stringIn = (value: Unpacked | undefined): string => (Buffer.isBuffer(value) ? value.toString() : '');

function sumsOf(value: Unpacked | undefined): Pick<Accumulators, 'count' | 'sum'> {
  const [count = 0, ...limbs] = listIn(value) as readonly number[];
  return { count, sum: fromLimbs(new Map(limbs.map((limb, n) => [n, BigInt(limb)]))) };
}

function distinctIn(cell: ReadonlyMap<string, Unpacked>): Distinct | undefined {
  const registers = cell.get('h');
  if (Buffer.isBuffer(registers)) return { registers: Uint8Array.from(registers) };
  const all = bytesIn(cell.get('d'));
  if (all === '') return undefined;
  const count = all.length / MEMBER_BYTES;
  return { members: new Set(Array.from({ length: count }, (_, n) => all.slice(n * MEMBER_BYTES, (n + 1) * MEMBER_BYTES))) };
}

function readingsIn(value: Unpacked | undefined): Map<number, Reading> | undefined {
  if (value === undefined) return undefined;
  const [flat, readings] = [listIn(value), new Map<number, Reading>()];
  for (let n = 0; n < flat.length; n += 3)
    addReading(readings, {
      second: Number(flat[n]),
      order: stringIn(flat[n + 1]),
      value: BigInt(stringIn(flat[n + 2])),
    });
  return readings;
}

/** The value of a cell, as parts/cells.lua packs it. */
export function accumulatorsIn(bytes: Buffer): Accumulators {
  const cell = unpack(bytes);
  if (!isMap(cell)) return { ...EMPTY, ...sumsOf(cell) };
  const [least, greatest] = [stringIn(cell.get('n')), stringIn(cell.get('x'))];
  const [distinct, readings] = [distinctIn(cell), readingsIn(cell.get('r'))];
  return {
    ...sumsOf(cell.get('c')),
    min: least === '' ? undefined : parseOrdered(least),
    max: greatest === '' ? undefined : parseOrdered(greatest),
    latest: cell.has('v') ? { order: stringIn(cell.get('o')), value: BigInt(stringIn(cell.get('v'))) } : undefined,
    ...(distinct && { distinct }),
    ...(readings && { readings }),
  };
}

function cellKeyOf(field: string): CellKey {
  const [tenant, meter, minute, group] = field.split('\0');
  if (tenant === undefined || meter === undefined || minute === undefined || group === undefined)
    throw new RangeError('redis: a field that names no cell');
  return { tenant, meter, minute: Number(minute), group };
}

/** field, value, ... of one hash. */
export function cellsOf(reply: Reply | undefined, lineage: string, segment: number): SpeedCell[] {
  const values = listOf(reply);
  const cells: SpeedCell[] = [];
  for (let n = 0; n < values.length; n += 2)
    cells.push({
      ...cellKeyOf(textOf(values[n]) ?? ''),
      ...accumulatorsIn(values[n + 1] as Buffer),
      lineage,
      segment,
    });
  return cells;
}
