/** What a log loses for good, to retention or because it is made again under its name. Nothing may be taken for what it is not. */
import { eventually } from '../../support/kafka-services.ts';
import type { RoleProcess } from '../../support/role-process.ts';
import { type Fault, marks, type Scene } from '../fault.ts';
import type { NamedGap } from '../oracle.ts';
import { ask, TYPES } from '../readers.ts';
import { everything } from '../row.ts';

const SEND_EVERY_MS = 1000;
const SENDS = 10;

const UNREAD_MS = 4000;

const readBy = ({ oracle }: Scene, ends: ReadonlyMap<number, number>): boolean =>
  [...ends].every(([partition, end]) => end <= (oracle.ends[partition] ?? 0));

async function endsOf({ installation }: Scene): Promise<ReadonlyMap<number, number>> {
  const { client, topic } = installation.servers.parts;
  const found = await client.admin.fetchTopicOffsets(topic);
  return new Map(found.map(({ partition, high }) => [partition, Number(high)]));
}

/** Everything that lies in the topic now is let go of; the oracle has read it before. */
async function trim(scene: Scene): Promise<number> {
  const { client, topic } = scene.installation.servers.parts;
  const ends = await endsOf(scene);
  await eventually(() => Promise.resolve(readBy(scene, ends)), 'the oracle has read what is to go');
  const partitions = [...ends].map(([partition, end]) => ({ partition, offset: String(end) }));
  await client.admin.deleteTopicRecords({ topic, partitions });
  return ends.size;
}

interface FoundGap extends NamedGap {
  readonly places: number | null;
  readonly acknowledged_at: string | null;
}

async function openGaps({ installation }: Scene): Promise<readonly FoundGap[]> {
  const [api] = installation.of('api');
  const { gaps } = (await api?.ask<{ readonly gaps: readonly FoundGap[] }>('/v1/gaps')) ?? { gaps: [] };
  return gaps.filter(({ acknowledged_at: at }) => at === null);
}

/** Every gap is folded into what is answered, and named. */
const isNamed = async ({ installation, load }: Scene, count: number): Promise<boolean> => {
  const answer = await ask(installation.url('api', 0), { tenant: load.tenants[0], type: TYPES[0], ...everything() });
  if ('status' in answer || answer.proof.reason !== 'gap') return false;
  const cuts = new Map(answer.proof.lineages.map(({ lineage, batch }) => [lineage, batch.position]));
  const folded = answer.proof.gaps?.filter(({ lineage, to }) => (cuts.get(lineage) ?? '') >= to) ?? [];
  return folded.length >= count;
};

async function acknowledge({ installation }: Scene, { lineage, from }: NamedGap): Promise<void> {
  const body = JSON.stringify({ lineage, from, note: 'retention' });
  const headers = { 'content-type': 'application/json' };
  await installation.of('api')[0]?.ask('/v1/gaps/acknowledge', { method: 'POST', headers, body });
}

/** Nobody reads, and what comes meanwhile is let go of, beside what was counted live and not sealed. */
const trimmed: Fault = {
  name: 'retention passes the fences while no worker runs',
  strike: async (scene) => {
    const { installation, oracle, say, wait } = scene;
    const workers = installation.of('worker');
    for (const one of workers) await installation.remove(one, 'SIGKILL');
    await wait(UNREAD_MS);
    const count = await trim(scene);
    say('the topic was trimmed to its end');
    for (let n = 0; n < workers.length; n += 1) await installation.add('worker');
    await eventually(async () => (await openGaps(scene)).length === count, 'every gap is on record');
    await eventually(() => isNamed(scene, count), 'answers name the gaps');
    const gaps = await openGaps(scene);
    oracle.lose(gaps);
    for (const gap of gaps) await acknowledge(scene, gap);
    return { 'gaps acknowledged': gaps.length, 'places lost': gaps.reduce((sum, { places }) => sum + (places ?? 0), 0) };
  },
  bites: (seen) => ({ ...marks(seen), 'answers that name a gap': seen.counts.reasons.get('gap') ?? 0 }),
};

/** The oracle holds the whole topic, and nothing comes any more: ticks have ended, too. */
async function quiet(scene: Scene): Promise<void> {
  const { installation, load, oracle } = scene;
  await load.pause();
  for (const one of installation.of('scheduler')) await installation.remove(one);
  await eventually(async () => readBy(scene, await endsOf(scene)), 'the oracle has read all');
  await oracle.stop();
}

async function makeAgain({ installation }: Scene): Promise<void> {
  const { client, topic, partitions } = installation.servers.parts;
  await client.admin.deleteTopics({ topics: [topic] });
  await eventually(async () => !(await client.admin.listTopics()).includes(topic), 'the topic is gone');
  await client.topic(partitions, {}, topic);
}

const isLoud = ({ said }: RoleProcess): boolean => said.includes('LOG_REPLACED');

/** What a role says that is started on it: undefined where it starts. */
const refusal = ({ installation }: Scene): Promise<string | undefined> =>
  installation.add('scheduler').then(
    () => undefined,
    (error: unknown) => String(error),
  );

/**
 * Another log under the name that ours had: with the same offsets, and records of the same tenants. Readers go on meanwhile, and
 * what they are told must be the old topic's.
 */
const madeAgain: Fault = {
  name: 'the topic deleted, and made again under its name',
  isEnding: true,
  strike: async (scene) => {
    const { installation, load, say, wait } = scene;
    await quiet(scene);
    const workers = installation.of('worker');
    await makeAgain(scene);
    say('the topic was made again');
    let [aside, acknowledged] = [0, 0];
    for (let n = 0; n < SENDS; n += 1) {
      aside += await load.putAside();
      acknowledged += await load.sendOnce();
      await wait(SEND_EVERY_MS);
    }
    await eventually(() => Promise.resolve(workers.every(isLoud)), 'every worker says LOG_REPLACED');
    if (acknowledged > 0) throw new Error(`${acknowledged} events were acknowledged by another log`);
    const refused = await refusal(scene);
    say(`a start is refused: ${refused?.slice(-300)}`);
    if (refused === undefined) throw new Error('a role started on another log');
    return { 'workers that say LOG_REPLACED': workers.length, 'records in the new topic': aside, 'starts refused': 1 };
  },
  bites: marks,
};

export const lossFaults: readonly Fault[] = [trimmed, madeAgain];
