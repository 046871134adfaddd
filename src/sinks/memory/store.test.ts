import { speedStoreConformance } from '../../conformance/speed-store.ts';
import { MemorySpeedStore } from './store.ts';

speedStoreConformance('memory', () => {
  const store = new MemorySpeedStore(4);
  return Promise.resolve({
    store,
    wipe: async (bucket) => {
      store.wipe([bucket]);
    },
    close: () => Promise.resolve(),
  });
});
