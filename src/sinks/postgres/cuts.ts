/** Rows of cuts, however they were read. */
import type { Cut } from '../../contract.ts';

export interface CutRow {
  readonly lineage: string;
  readonly segments: number;
  readonly position: string;
  readonly arrival: number;
  readonly rules: number;
  readonly gaps: number;
}

export const cutsOf = (rows: readonly CutRow[]): Map<string, Cut> =>
  new Map(rows.map(({ lineage, gaps, ...cut }) => [lineage, gaps === 0 ? cut : { ...cut, gaps }]));
