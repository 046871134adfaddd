/** Writers that never give up: what the log did not acknowledge is sent again, as the edge's clients do. */
import type { Producer } from '../../src/contract.ts';
import { kindOf } from '../../src/errors.ts';

export interface Acknowledged {
  readonly lineage: string;
  readonly position: string;
  readonly text: string;
}
export interface Load {
  /** Unique, so that every text is. */
  readonly name: string;
  /** Appends under way at once. */
  readonly lanes: number;
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 10));

async function appendOne(log: Producer, texts: readonly string[], taken: Acknowledged[]): Promise<void> {
  for (let left = texts; left.length > 0;) {
    const records = left.map((text) => ({
      routingKey: `tenant-${text.length % 3}${text.at(-1)}`,
      value: Buffer.from(text),
    }));
    const outcomes = await log.append(records);
    const again: string[] = [];
    outcomes.forEach((outcome, n) => {
      const text = left[n]!;
      if (!(outcome instanceof Error)) taken.push({ ...outcome, text });
      else if (kindOf(outcome) === 'transient') again.push(text);
      else throw outcome;
    });
    left = again;
    if (left.length > 0) await pause();
  }
}

/** Answers everything that was acknowledged, once all that was begun is. */
export async function appendUntil(log: Producer, { name, lanes }: Load, stop: AbortSignal): Promise<Acknowledged[]> {
  const taken: Acknowledged[] = [];
  const lane = async (number: number): Promise<void> => {
    for (let n = 0; !stop.aborted; n += 1) {
      const texts = Array.from({ length: 1 + (n % 7) }, (_, k) => `${name}/${number}/${n}/${k}`);
      await appendOne(log, texts, taken);
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number)));
  return taken;
}
