/** Which epochs of a bucket hold digests, and over how many pages each of them is spread. */

/** Pages of a bucket and epoch: 2^bits, so that the name of a page says the first byte at least. */
const LEAST_BITS = 8;
export const MOST_BITS = 16;

export interface Epoch {
  readonly epoch: number;
  /** 2^bits pages. Fixed when the epoch gets its first digest. */
  readonly bits: number;
}

/** `epoch/bits`, ascending by epoch, as the scripts compare it. */
export const formatEpochs = (epochs: readonly Epoch[]): string =>
  epochs.map(({ epoch, bits }) => `${epoch}/${bits}`).join(' ');

export const parseEpochs = (text: string): Epoch[] =>
  text === ''
    ? []
    : text.split(' ').map((entry) => {
        const [epoch = '', bits = ''] = entry.split('/');
        return { epoch: Number(epoch), bits: Number(bits) };
      });

/** 4,096 pages where nothing is known of the load. */
export const FIRST_BITS = 12;
/** A page of 32 digests costs 19 bytes a digest, one of 12 costs 24; a longer one is slower to copy. */
const DIGESTS_A_PAGE = 32;

/** Pages for an epoch, by how many digests the last one held. */
export function bitsFor(digests: number): number {
  const bits = Math.ceil(Math.log2(Math.max(1, digests) / DIGESTS_A_PAGE));
  return Math.min(MOST_BITS, Math.max(LEAST_BITS, bits));
}

/** The epochs that hold digests together with those that records add; ascending. */
export function withEpochs(known: readonly Epoch[], epochs: Iterable<number>, bits: number): Epoch[] {
  const all = new Map(known.map((one) => [one.epoch, one]));
  for (const epoch of epochs) if (!all.has(epoch)) all.set(epoch, { epoch, bits });
  return [...all.values()].sort((a, b) => a.epoch - b.epoch);
}
