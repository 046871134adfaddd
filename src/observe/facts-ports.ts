/** What every group of facts is made with. */
import type { Logger } from './log.ts';
import type { Registry } from './metrics.ts';

export interface FactsPorts {
  readonly registry: Registry;
  readonly logger: Logger;
}
