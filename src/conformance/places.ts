/** Positions and lineages of suites, as short as they can be said. */
import type { Lineage, Position } from '../contract.ts';

export const at = (offset: number): Position => String(offset).padStart(20, '0');

export const lineage = (id = 'l0', parents: readonly string[] = []): Lineage => ({
  id,
  parents,
  depth: parents.length > 0 ? 1 : 0,
  origin: at(0),
  owns: () => true,
});
