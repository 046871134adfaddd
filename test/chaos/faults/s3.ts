/** S3: refuses, is slow, breaks off, does what was asked and does not say so. */
import type { Fault as HttpFault } from '../../support/faulty-http.ts';
import { type Evidence, type Fault, marks, type Seen } from '../fault.ts';
import { proxiesTo } from './kafka.ts';

const LONG_MS = 8000;
/** More than there are puts in that time: what is left is forgotten. */
const PLANNED = 500;

const PRECONDITION_FAILED = 412;

/** Most puts fail that way for a while; every fourth passes. */
const failing = (name: string, fault: HttpFault, inCi = false): Fault => ({
  name: `S3 ${name}`,
  inCi,
  strike: async ({ installation, wait }) => {
    const { s3Faults } = installation.servers.parts;
    const conflicts = (): number => s3Faults.answered.get(PRECONDITION_FAILED) ?? 0;
    const before = conflicts();
    for (let n = 0; n < PLANNED; n += 1) s3Faults.fail(n % 4 === 3 ? 'none' : fault, /^PUT/);
    await wait(LONG_MS);
    const struck = PLANNED - s3Faults.calm();
    return { 'puts met': struck, 'answers 412': conflicts() - before };
  },
  bites: marks,
});

/** Slow and thin: a put takes seconds. */
const slow: Fault = {
  name: 'S3 slow',
  strike: async (scene) => {
    const proxies = proxiesTo(scene, 's3');
    const slowed = (): number => proxies.reduce((sum, { did }) => sum + did.slowed, 0);
    const before = slowed();
    for (const proxy of proxies) proxy.weather = { latencyMs: 1500, bytesPerSecond: 200_000 };
    await scene.wait(LONG_MS);
    for (const proxy of proxies) proxy.weather = {};
    return { 'chunks slowed': slowed() - before };
  },
  // Nothing fails of it: that puts went on is the evidence, beside the proxy's own.
  bites: (seen: Seen): Evidence => ({ ...marks(seen), 'segments sealed': seen.counter('meterfold_segments_sealed_total') }),
};

export const s3Faults: readonly Fault[] = [
  failing('answers 500', { status: 500, code: 'InternalError' }),
  failing('answers 503', { status: 503, code: 'SlowDown' }),
  failing('resets in mid-upload', 'reset'),
  failing('does it, and the reply is lost', 'lost', true),
  slow,
];
