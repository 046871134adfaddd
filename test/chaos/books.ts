/** What counts of a log, by the rules of docs/guarantees.md: the first copy of each key, of what retention did not take. */

/** A copy at home, at its place. */
export interface Copy {
  readonly tenant: string;
  readonly type: string;
  readonly key: string;
  readonly quantity: bigint;
  readonly at: number;
  readonly partition: number;
  readonly offset: number;
}

/** Places [from, to) of a partition that the log let go of before they were read for good. */
export interface Gap {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
}

export const nameOfGap = ({ partition, from, to }: Gap): string => `${partition}:${from}-${to}`;

export const isIn = ({ partition, from, to }: Gap, copy: Copy): boolean =>
  copy.partition === partition && from <= copy.offset && copy.offset < to;

export const idOf = ({ tenant, key }: Pick<Copy, 'tenant' | 'key'>): string => JSON.stringify([tenant, key]);

/** Of a log with these gaps. What is lost is not the first of anything. */
export class Books {
  readonly #gaps: readonly Gap[];
  readonly #firsts = new Set<string>();
  /** By event type, then tenant, then partition: in the order of the log. */
  readonly counted = new Map<string, Map<string, Map<number, Copy[]>>>();

  constructor(gaps: readonly Gap[]) {
    this.#gaps = gaps;
  }

  /** In the order of each partition. */
  take(copy: Copy): void {
    const id = idOf(copy);
    if (this.#firsts.has(id) || this.#gaps.some((gap) => isIn(gap, copy))) return;
    this.#firsts.add(id);
    this.#listOf(copy).push(copy);
  }

  #listOf({ type, tenant, partition }: Copy): Copy[] {
    const tenants = this.counted.get(type) ?? new Map<string, Map<number, Copy[]>>();
    this.counted.set(type, tenants);
    const partitions = tenants.get(tenant) ?? new Map<number, Copy[]>();
    tenants.set(tenant, partitions);
    const list = partitions.get(partition) ?? [];
    partitions.set(partition, list);
    return list;
  }
}
