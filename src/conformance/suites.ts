/**
 * `import { … } from 'meterfold/conformance'`: the numbered promises of docs/component-spec.md as suites for vitest. A component
 * joins by one line in a test file: a name, and how a fresh one is made.
 */
export { type ArchiveFixture, archiveConformance } from './archive.ts';
export { type BatchFixture, batchViewConformance } from './batch-view.ts';
export { type CatalogFixture, catalogConformance } from './catalog.ts';
export { type RejectsFixture, rejectsConformance } from './rejects.ts';
export { type Log, type LogFixture, sourceConformance } from './source.ts';
export { type SpeedFixture, speedStoreConformance } from './speed-store.ts';
export { type SweepableFixture, sweepableConformance } from './sweepable.ts';
