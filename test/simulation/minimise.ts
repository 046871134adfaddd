/** Leaves out steps while a schedule still fails in the same way: chunks first, then one by one. */
import { runSchedule } from './schedule.ts';

const kindOf = (failure: string | undefined): string | undefined => failure?.split(/[:\d]/)[0];

/** Prints the steps that are left, and what happens in them. */
export async function minimise(seed: number, steps: number, print: (line: string) => void): Promise<void> {
  const { failure, choices } = await runSchedule(seed, steps);
  if (failure === undefined) {
    print(`seed ${seed} holds`);
    return;
  }
  const fails = async (kept: readonly number[]): Promise<boolean> =>
    kindOf((await runSchedule(seed, steps, { kept: new Set(kept), choices })).failure) === kindOf(failure);
  let kept = Array.from({ length: steps }, (_, n) => n);
  for (let shrunk = true; shrunk;) {
    shrunk = false;
    for (let size = kept.length >> 1; size >= 1; size >>= 1) {
      for (let at = kept.length - size; at >= 0; at -= size) {
        const fewer = [...kept.slice(0, at), ...kept.slice(at + size)];
        if (!(await fails(fewer))) continue;
        kept = fewer;
        shrunk = true;
      }
    }
  }
  print(`${kept.length} of ${steps} steps are left: ${kept.join(' ')}`);
  print((await runSchedule(seed, steps, { kept: new Set(kept), choices, trace: print })).failure ?? 'it holds when traced');
}
