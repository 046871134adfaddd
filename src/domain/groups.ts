/**
 * A bound on the groups of one (tenant, meter, minute): beyond it, events count in the group `other`. Which groups come
 * first is asked of one segment at a time, of its `ok` records in log order: a pure function of the log, so that the speed
 * layer and the publisher, which both see a segment from its start, say the same.
 */
import type { Contribution } from './cell.ts';

/** The group of what lies beyond the bound. No list of group values is spelled so. */
export const OTHER = '"other"';

export class GroupBound {
  #segment: number | undefined;
  readonly #groups = new Map<string, Set<string>>();

  /** The contributions of the next `ok` record of a segment; another segment begins anew. `onOther` is told of each meter. */
  limit(
    { segment, most }: { readonly segment: number; readonly most: number },
    contributions: readonly Contribution[],
    onOther?: (meter: string) => void,
  ): readonly Contribution[] {
    if (segment !== this.#segment) this.#groups.clear();
    this.#segment = segment;
    return contributions.every((c) => c.group === '[]')
      ? contributions
      : contributions.map((c) => this.#limit(most, c, onOther));
  }

  #limit(most: number, contribution: Contribution, onOther?: (meter: string) => void): Contribution {
    const { tenant, meter, minute, group } = contribution;
    if (group === '[]') return contribution;
    const id = `${tenant}\0${meter}\0${String(minute)}`;
    const known = this.#groups.get(id);
    if (known === undefined) this.#groups.set(id, new Set([group]));
    else if (!known.has(group)) {
      if (known.size >= most) {
        onOther?.(meter);
        return { ...contribution, group: OTHER };
      }
      known.add(group);
    }
    return contribution;
  }
}
