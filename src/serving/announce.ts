/** Rules that a process hears of while it runs. */
import type { Producer, RuleSets } from '../contract.ts';

export interface AnnouncePorts {
  readonly producer: Pick<Producer, 'control'>;
  readonly ruleSets: Pick<RuleSets, 'newest'>;
}

/**
 * To be called between the checks of events and their append: rules that are newer than those of the start are announced, so
 * that no event which was checked by them comes before them in any lineage. Who recorded them may be about to do so, or have
 * died before; a second announcement changes nothing.
 */
export function announcing({ producer, ruleSets }: AnnouncePorts): () => Promise<void> {
  let announced = ruleSets.newest.version;
  return async () => {
    const { version } = ruleSets.newest;
    if (version === announced) return;
    await producer.control({ type: 'rules', rules: version });
    announced = version;
  };
}
