/**
 * What a script is told of records: which page each digest belongs to, and what each record adds to which cell. The script
 * decides which records are new, and adds those only.
 */
import type { SpeedRecord } from '../../contract.ts';
import type { Contribution } from '../../domain/cell.ts';
import { orderedDecimal, SCALE, toLimbs } from '../../domain/decimal.ts';
import { type Digests, digestsOf, type Keyed, type Place } from './digests.ts';
import { hashOfTenant } from './keys.ts';
import { Packer } from './pack.ts';

/** The cells that records touch, by the hash that holds them. */
interface Group {
  readonly key: string;
  readonly segment: number;
  /** Its number among those of the segment. */
  readonly hash: number;
  readonly cells: number[];
}

type Minutes = Map<number, number>;
type Tenants = Map<string, Minutes>;
type Groups = Map<string, Tenants>;
type Meters = Map<string, Groups>;

function below<K, L, V>(level: Map<K, Map<L, V>>, key: K): Map<L, V> {
  const known = level.get(key);
  if (known !== undefined) return known;
  const made = new Map<L, V>();
  level.set(key, made);
  return made;
}

class Cells {
  readonly groups: Group[] = [];
  readonly fields: string[] = [];
  readonly #groups = new Map<string, Group>();
  /** By segment, meter, group, tenant and minute: the text of a field is made once a cell, not once an event. */
  readonly #cells = new Map<number, Meters>();
  readonly #key: (hash: number, segment: number) => string;

  constructor(key: (hash: number, segment: number) => string) {
    this.#key = key;
  }

  /** The number of a cell, from 1. */
  of({ tenant, meter, minute, group }: Contribution, segment: number): number {
    const cells = below(below(below(below(this.#cells, segment), meter), group), tenant);
    const known = cells.get(minute);
    if (known !== undefined) return known;
    const cell = this.fields.push(`${tenant}\0${meter}\0${minute}\0${group}`);
    cells.set(minute, cell);
    this.#group(tenant, segment).cells.push(cell);
    return cell;
  }

  #group(tenant: string, segment: number): Group {
    const hash = hashOfTenant(tenant);
    const key = this.#key(hash, segment);
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const group = { key, segment, hash, cells: [] };
    this.#groups.set(key, group);
    this.groups.push(group);
    return group;
  }
}

/** What one contribution writes besides sums: a letter and its values, as parts/cells.lua reads them. */
function packOther(packer: Packer, record: number, cell: number, c: Contribution): void {
  const begin = (letter: string, values: number): Packer =>
    packer
      .list(3 + values)
      .int(record)
      .int(cell)
      .text(letter);
  if (c.aggregation === 'min') begin('n', 1).text(orderedDecimal(c.value));
  else if (c.aggregation === 'max') begin('x', 1).text(orderedDecimal(c.value));
  else if (c.aggregation === 'latest') begin('o', 2).text(c.order, 'utf8').text(c.value.toString());
  else if (c.aggregation === 'unique_count') begin('d', 1).text(c.member ?? '');
  else
    begin('r', 3)
      .int(c.second ?? 0)
      .text(c.order, 'utf8')
      .text(c.value.toString());
}

const SMALL = SCALE * SCALE;
/** Doubles divide these without a rounding. */
const SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const BASE = Number(SCALE);

/** Sums and counts, flat: record, cell, limbs. */
class Sums {
  /** Of values below 10^12: two limbs. */
  readonly adds: number[] = [];
  /** Of all others: four. */
  readonly large: number[] = [];

  add(record: number, cell: number, value: bigint): void {
    if (value < SAFE && value > -SAFE) {
      const small = Number(value);
      this.adds.push(record, cell, small % BASE, Math.trunc(small / BASE));
    } else if (value < SMALL && value > -SMALL)
      this.adds.push(record, cell, Number(value % SCALE), value === 0n ? 0 : Number(value / SCALE));
    else {
      const limbs = toLimbs(value);
      this.large.push(record, cell, ...[0, 1, 2, 3].map((n) => Number(limbs.get(n) ?? 0n)));
    }
  }
}

export interface Plan {
  readonly digests: Digests;
  readonly groups: readonly Group[];
  readonly fields: readonly string[];
  readonly packed: Buffer;
}

const isSum = (c: Contribution): boolean =>
  c.aggregation === 'sum' || c.aggregation === 'count' || c.aggregation === 'average';

/** `lineage` is that of the records; pages follow state and cells in KEYS. */
export function planOf(records: readonly SpeedRecord[], lineage: string, place: Place): Plan {
  const { keys, incarnation } = place;
  const cells = new Cells((hash, segment) => keys.cells(incarnation, lineage, segment, hash));
  const sums = new Sums();
  const others: [number, number, Contribution][] = [];
  records.forEach(({ contributions, segment }, n) => {
    for (const c of contributions) {
      const cell = cells.of(c, segment);
      if (isSum(c)) sums.add(n + 1, cell, c.aggregation === 'count' ? 0n : c.value);
      else others.push([n + 1, cell, c]);
    }
  });
  const digests = digestsOf(records, place);
  const packer = new Packer(records.length * 64 + 256).map(8);
  packDigests(packer, digests, cells.groups.length + 1);
  packer.text('groups').list(cells.groups.length);
  for (const { segment, hash, cells: numbers } of cells.groups)
    packer.map(3).text('segment').text(String(segment)).text('hash').int(hash).text('cells').ints(numbers);
  packer.text('adds').ints(sums.adds).text('large').ints(sums.large);
  packer.text('others').list(others.length);
  for (const [record, cell, c] of others) packOther(packer, record, cell, c);
  return { digests, groups: cells.groups, fields: cells.fields, packed: packer.bytes() };
}

/** `before`: how many KEYS stand before the maps, which stand before the pages. */
function packDigests(packer: Packer, { own, places, ends, maps }: Digests, before: number): void {
  const first = before + maps.length;
  packer.text('epochs').int(maps.length).text('own').ints(own).text('ends').list(ends.length);
  for (const end of ends) packer.int(first + end);
  packer.text('pages').list(places.length);
  for (const place of places) packer.int(first + place);
}

/** The plan of a chunk of `advance`: digests alone, whose pages follow the state in KEYS. */
export function planOfKeys(keyed: readonly Keyed[], place: Place): { readonly digests: Digests; readonly packed: Buffer } {
  const digests = digestsOf(keyed, place);
  const packer = new Packer(keyed.length * 16 + 64).map(4);
  packDigests(packer, digests, 1);
  return { digests, packed: packer.bytes() };
}
