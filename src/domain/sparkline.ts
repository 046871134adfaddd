const BLOCKS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;

/** One block a value, from the least to the greatest; integers only. */
export function sparkline(values: readonly bigint[]): string {
  if (values.length === 0) return '';
  const least = values.reduce((a, b) => (b < a ? b : a));
  const greatest = values.reduce((a, b) => (b > a ? b : a));
  const span = greatest - least;
  const top = BigInt(BLOCKS.length - 1);
  return values.map((value) => BLOCKS[span === 0n ? 0 : Number(((value - least) * top) / span)] ?? '').join('');
}
