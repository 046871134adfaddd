/** Several things at a time, as the seed says. */
import { below, pick, type Random } from '../../simulation/random.ts';
import { type Fault, marks, type Scene } from '../fault.ts';
import { type Role, ROLES, type Server, SERVERS } from '../installation.ts';

type Step = (scene: Scene) => Promise<void>;

const anyRole = (random: Random): Role => pick(random, ROLES as unknown as [Role, ...Role[]]);
const anyServer = (random: Random): Server => pick(random, SERVERS as unknown as [Server, ...Server[]]);

const kill: Step = async ({ installation, random, say }) => {
  const some = installation.of(anyRole(random));
  const one = some[below(random, some.length)];
  say(`SIGKILL ${one?.role} ${one?.pid}`);
  await one?.kill('SIGKILL');
};

const stand: Step = async ({ installation, random, say, wait }) => {
  const some = installation.of(anyRole(random));
  const one = some[below(random, some.length)];
  const ms = 500 + below(random, 4000);
  say(`SIGSTOP ${one?.role} ${one?.pid} for ${ms} ms`);
  one?.signal('SIGSTOP');
  await wait(ms);
  one?.signal('SIGCONT');
};

const storm =
  (way: 'reset' | 'held'): Step =>
  async ({ installation, random, say, wait }) => {
    const [role, server, ms] = [anyRole(random), anyServer(random), 500 + below(random, 4000)];
    say(`${way} ${role} - ${server} for ${ms} ms`);
    const proxies = installation.servers.proxies(role, server);
    for (const proxy of proxies) proxy.weather = { way };
    await wait(ms);
    for (const proxy of proxies) proxy.weather = {};
  };

const flush: Step = async ({ installation, say }) => {
  say('FLUSHALL');
  await installation.servers.redis.admin().flushall();
};

const STEPS: readonly [Step, ...Step[]] = [kill, kill, stand, stand, storm('reset'), storm('held'), flush];
const LONG_MS = 40_000;
const MOST_BETWEEN_MS = 2000;

const mixed: Fault = {
  name: 'kills, stops, resets, black holes and FLUSHALL at random',
  strike: async (scene) => {
    const steps: Promise<void>[] = [];
    for (const until = Date.now() + LONG_MS; Date.now() < until;) {
      await scene.wait(below(scene.random, MOST_BETWEEN_MS));
      steps.push(pick(scene.random, STEPS)(scene).catch((error: unknown) => scene.say(String(error))));
    }
    await Promise.all(steps);
    scene.say(`${steps.length} steps`);
    return {};
  },
  needs: ({ redis }) => redis === 'single',
  bites: marks,
};

/** What a row looks like in which nothing is done: its numbers are not evidence of anything. */
export const control: Fault = {
  name: 'nothing',
  isControl: true,
  strike: async ({ wait }) => {
    await wait(5000);
    return {};
  },
  bites: marks,
};

export const mixedFaults: readonly Fault[] = [control, mixed];
