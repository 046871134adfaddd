import type { SpeedStore } from '../../src/contract.ts';
import { MemorySpeedStore } from '../../src/sinks/memory/store.ts';

/** All live counters of a product that keeps them in process are lost. */
export function wipe(store: SpeedStore): void {
  if (!(store instanceof MemorySpeedStore)) throw new TypeError(`${store.name} keeps no counters in this process`);
  store.wipe();
}
