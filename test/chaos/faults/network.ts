/** The network between each role and each server. */
import { pick } from '../../simulation/random.ts';
import { type Evidence, type Fault, marks, type Scene } from '../fault.ts';
import { ROLES, type Role, type Server, SERVERS } from '../installation.ts';
import type { TcpProxy, Weather } from '../proxy.ts';
import { proxiesTo } from './kafka.ts';

const LONG_MS = 12_000;

const all = (scene: Scene): readonly TcpProxy[] => SERVERS.flatMap((server) => proxiesTo(scene, server));

/** What the proxies did meanwhile. */
async function meanwhile(proxies: readonly TcpProxy[], work: () => Promise<void>): Promise<Evidence> {
  const sums = (): Record<'held' | 'slowed' | 'cut', number> => {
    const sum = { held: 0, slowed: 0, cut: 0 };
    for (const { did } of proxies) for (const name of ['held', 'slowed', 'cut'] as const) sum[name] += did[name];
    return sum;
  };
  const before = sums();
  await work();
  const after = sums();
  return {
    'chunks held': after.held - before.held,
    'chunks slowed': after.slowed - before.slowed,
    'connections cut': after.cut - before.cut,
  };
}

/** Between every role and every server. */
const everywhere = (name: string, weather: Weather): Fault => ({
  name: `network: ${name} everywhere`,
  strike: (scene) => {
    const proxies = all(scene);
    return meanwhile(proxies, async () => {
      for (const proxy of proxies) proxy.weather = weather;
      await scene.wait(LONG_MS);
      for (const proxy of proxies) proxy.weather = {};
    });
  },
  // Slow is not broken: what the proxies did is the evidence.
  bites: (seen) => ({ ...marks(seen), 'questions answered': seen.counts.exact + seen.counts.provisional }),
});

/** Nothing passes between any role and one server; what was sent meanwhile arrives late. */
const blackHole = (server: Server): Fault => ({
  name: `network: black hole to ${server}`,
  // Without Redis answers are those of the batch view.
  answered: server === 'redis' ? 0.99 : 0,
  strike: (scene) => {
    const proxies = proxiesTo(scene, server);
    return meanwhile(proxies, async () => {
      for (const proxy of proxies) proxy.weather = { way: 'held' };
      await scene.wait(LONG_MS);
      for (const proxy of proxies) proxy.weather = {};
    });
  },
  bites: (seen) => ({ ...marks(seen), 'questions without an answer': seen.counts.unanswered }),
});

const RESET_EVERY_MS = 400;

/** One pair after the other, as the seed says: its connections are reset, and those that are opened soon after. */
const resets: Fault = {
  name: 'network: resets of one pair after the other',
  strike: (scene) =>
    meanwhile(all(scene), async () => {
      const { installation, random, say, wait } = scene;
      for (const until = Date.now() + LONG_MS; Date.now() < until;) {
        await wait(RESET_EVERY_MS);
        const role = pick(random, ROLES as unknown as [Role, ...Role[]]);
        const server = pick(random, SERVERS as unknown as [Server, ...Server[]]);
        say(`reset ${role} - ${server}`);
        const proxies = installation.servers.proxies(role, server);
        for (const proxy of proxies) proxy.weather = { way: 'reset' };
        await wait(RESET_EVERY_MS);
        for (const proxy of proxies) proxy.weather = {};
      }
    }),
  bites: marks,
};

export const networkFaults: readonly Fault[] = [
  everywhere('latency of 100 ms each way', { latencyMs: 100 }),
  everywhere('200 kB/s', { bytesPerSecond: 200_000 }),
  ...SERVERS.map(blackHole),
  resets,
];
