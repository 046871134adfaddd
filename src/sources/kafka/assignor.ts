/**
 * Who reads which partition: balanced, and as few as possible change hands. A partition is given to another member only once
 * nobody holds it: where one has to move, its holder is told first (it is left out), drains, joins again, and then it is free.
 */
export interface Member {
  readonly id: string;
  /** What it was running when it joined, also what it was draining. */
  readonly held: readonly number[];
}

/** Partitions by member, ascending. What is left out is on its way from one member to another. */
export function assign(partitions: number, members: readonly Member[]): ReadonlyMap<string, readonly number[]> {
  const holders = holdersOf(partitions, members);
  const quotas = quotasOf(partitions, members, holders);
  const shares = new Map(members.map(({ id }) => [id, holders.get(id)?.slice(0, quotas.get(id)) ?? []]));
  const isHeld = new Set([...holders.values()].flat());
  const free = Array.from({ length: partitions }, (_, n) => n).filter((n) => !isHeld.has(n));
  for (const [id, share] of shares) share.push(...free.splice(0, Math.max((quotas.get(id) ?? 0) - share.length, 0)));
  return new Map([...shares].map(([id, share]) => [id, share.sort((a, b) => a - b)]));
}

/** Two may say that they hold one, after a member was taken for dead: then the first by id goes on. */
function holdersOf(partitions: number, members: readonly Member[]): Map<string, number[]> {
  const taken = new Set<number>();
  const byId = [...members].sort((a, b) => (a.id < b.id ? -1 : 1));
  return new Map(
    byId.map(({ id, held }) => {
      const own = [...new Set(held)].filter((n) => n < partitions && !taken.has(n)).sort((a, b) => a - b);
      for (const n of own) taken.add(n);
      return [id, own];
    }),
  );
}

/** An even share; what does not divide evenly stays with those that hold the most. */
function quotasOf(
  partitions: number,
  members: readonly Member[],
  holders: ReadonlyMap<string, readonly number[]>,
): Map<string, number> {
  const heldBy = (id: string): number => holders.get(id)?.length ?? 0;
  const even = Math.floor(partitions / Math.max(members.length, 1));
  const more = partitions - even * members.length;
  const ids = members.map(({ id }) => id).sort((a, b) => heldBy(b) - heldBy(a) || (a < b ? -1 : 1));
  return new Map(ids.map((id, n) => [id, even + (n < more ? 1 : 0)]));
}
