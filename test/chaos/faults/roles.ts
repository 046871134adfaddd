/** Processes: killed, stopped and continued, at any time and at named points; added and removed. */
import { fileURLToPath } from 'node:url';
import type { RoleProcess } from '../../support/role-process.ts';
import { below } from '../../simulation/random.ts';
import { type Evidence, type Fault, marks, type Scene, type Seen } from '../fault.ts';
import { type Role, ROLES } from '../installation.ts';
import { misrouting } from './kafka.ts';

/** For a role without a trace in the metrics: nobody answered there for a while, or the work was done by others. */
const absence = (seen: Seen): Evidence => ({
  ...marks(seen),
  'processes started again': seen.restarts,
  'questions without an answer': seen.counts.unanswered,
});

/** One of the role that runs now. */
async function one({ installation, wait }: Scene, role: Role): Promise<RoleProcess> {
  for (;;) {
    const [found] = installation.of(role);
    if (found !== undefined) return found;
    await wait(100);
  }
}

const DEATHS = 3;
/** Between two deaths, ms. */
const LIVES_MS = 3000;

/** A relay has something to do only where a producer misses the homes of its records. */
const busy = (role: Role, strike: Fault['strike']): Fault['strike'] =>
  role === 'relay' ? (scene) => misrouting(scene, 0.5, () => strike(scene)) : strike;

/** Some die, one after the other; what keeps them starts them again. */
const killed = (role: Role): Fault => ({
  name: `SIGKILL of ${role}`,
  strike: busy(role, async (scene) => {
    for (let n = 0; n < DEATHS; n += 1) {
      const dying = await one(scene, role);
      scene.say(`SIGKILL ${role} ${dying.pid}`);
      await dying.kill('SIGKILL');
      await scene.wait(LIVES_MS);
    }
    return {};
  }),
  bites: absence,
});

/** A worker has to be missed by its group, 10 s; of the others some seconds are enough. */
const STOPPED_MS: Readonly<Record<Role, number>> = {
  ...{ ingest: 5000, worker: 20_000, publisher: 8000, relay: 8000, scheduler: 8000, api: 5000 },
};

const PROBE_MS = 1000;
const isSilent = (url: string): Promise<boolean> =>
  fetch(`${url}/healthz`, { signal: AbortSignal.timeout(PROBE_MS) }).then(
    () => false,
    () => true,
  );

const stopped = (role: Role): Fault => ({
  name: `SIGSTOP and SIGCONT of ${role}`,
  strike: busy(role, async (scene) => {
    const sleeping = await one(scene, role);
    scene.say(`SIGSTOP ${role} ${sleeping.pid}`);
    sleeping.signal('SIGSTOP');
    const silent = await isSilent(sleeping.url);
    await scene.wait(STOPPED_MS[role]);
    sleeping.signal('SIGCONT');
    return { 'health checks without an answer': silent ? 1 : 0 };
  }),
  bites: absence,
});

const LAUNCHER = fileURLToPath(new URL('../role-at-point.mjs', import.meta.url));
const POINT_MS = 60_000;

interface Point {
  readonly role: Role;
  readonly point: string;
  readonly signal: 'SIGKILL' | 'SIGSTOP';
  /** How often the point is passed before. */
  readonly passes: number;
  readonly inCi?: boolean;
}

/** In a worker the look-up is behind it and the apply is not yet sent; it goes on once others have taken over. */
const POINTS: readonly Point[] = [
  { role: 'worker', point: 'before-apply', signal: 'SIGSTOP', passes: 20 },
  { role: 'worker', point: 'before-apply', signal: 'SIGKILL', passes: 20 },
  { role: 'worker', point: 'after-apply', signal: 'SIGKILL', passes: 20 },
  { role: 'worker', point: 'after-put', signal: 'SIGKILL', passes: 2 },
  { role: 'worker', point: 'after-seal', signal: 'SIGKILL', passes: 2 },
  { role: 'publisher', point: 'inside-publish', signal: 'SIGSTOP', passes: 2 },
  { role: 'publisher', point: 'inside-publish', signal: 'SIGKILL', passes: 2, inCi: true },
  { role: 'publisher', point: 'after-publish', signal: 'SIGKILL', passes: 2 },
  { role: 'ingest', point: 'before-reply', signal: 'SIGKILL', passes: 5 },
  { role: 'relay', point: 'inside-relay', signal: 'SIGKILL', passes: 1 },
];

/** The others of the role leave, so that the point is passed. */
const atPoint = ({ role, point, signal, passes, inCi }: Point): Fault => ({
  name: `${signal} of ${role} ${point}`,
  inCi,
  strike: busy(role, async (scene) => {
    const { installation, say, wait } = scene;
    const more = { CHAOS_POINT: point, CHAOS_PASSES: String(passes), CHAOS_SIGNAL: signal };
    const victim = await installation.add(role, [LAUNCHER], more);
    const others = installation.of(role).filter((other) => other !== victim);
    for (const other of others) await installation.remove(other);
    for (const until = Date.now() + POINT_MS; !victim.said.includes(`passed ${point}`) && Date.now() < until;)
      await wait(50);
    const met = victim.said.includes(`passed ${point}`) ? 1 : 0;
    say(`${role} ${victim.pid} met ${point}: ${met === 1 ? signal : 'never'}`);
    for (let n = 0; n < others.length; n += 1) await installation.add(role);
    if (signal === 'SIGSTOP') {
      await wait(STOPPED_MS[role]);
      victim.signal('SIGCONT');
    }
    // The one that died is started again, as any other: one too many.
    while (installation.of(role).length <= others.length) await wait(100);
    await installation.remove(installation.of(role)[0]!);
    if (met === 0) throw new Error(`the point ${point} was not met`);
    return { 'points met': met };
  }),
  bites: absence,
});

const CHURN_MS = 60_000;
const CHURN_EVERY_MS = 2000;
const MOST_WORKERS = 5;

/** Every 2 s for a minute one joins or leaves, well or badly. */
const churn: Fault = {
  name: 'a worker joins or leaves every 2 s',
  strike: async ({ installation, random, say, wait }) => {
    const wanted = installation.of('worker').length;
    const changes: Promise<unknown>[] = [];
    for (const until = Date.now() + CHURN_MS; Date.now() < until;) {
      await wait(CHURN_EVERY_MS);
      const workers = installation.of('worker');
      const leaves = workers.length >= MOST_WORKERS || (workers.length > 1 && below(random, 2) === 0);
      const signal = below(random, 3) === 0 ? 'SIGKILL' : 'SIGTERM';
      say(leaves ? `a worker leaves by ${signal}` : 'a worker joins');
      const leaving = workers[below(random, workers.length)];
      const change = leaves && leaving !== undefined ? installation.remove(leaving, signal) : installation.add('worker');
      changes.push(change.catch((error: unknown) => say(String(error))));
    }
    await Promise.all(changes);
    while (installation.of('worker').length < wanted) await installation.add('worker');
    for (const extra of installation.of('worker').slice(wanted)) await installation.remove(extra);
    say(`${changes.length} changes`);
    return {};
  },
  bites: absence,
};

export const roleFaults: readonly Fault[] = [...ROLES.map(killed), ...ROLES.map(stopped), ...POINTS.map(atPoint), churn];
