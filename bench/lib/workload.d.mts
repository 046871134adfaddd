export interface WorkloadOptions {
  readonly seed?: number;
  readonly tenants?: number;
  readonly skew?: number;
  readonly duplicates?: number;
  readonly hours?: number;
  readonly now?: number;
}
export class Workload {
  constructor(options: WorkloadOptions);
  readonly count: number;
  readonly sum: number;
  readonly cells: ReadonlySet<string>;
  one(): { readonly text: string; readonly tenant: string };
}
export function thousandthsOf(text: string): number;
