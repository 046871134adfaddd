/** What a log loses for good: made again under its name. Nothing may be taken for what it is not. */
import { eventually } from '../../support/kafka-services.ts';
import type { RoleProcess } from '../../support/role-process.ts';
import { type Fault, marks, type Scene } from '../fault.ts';

const SEND_EVERY_MS = 1000;
const SENDS = 10;

/** The oracle holds the whole topic, and nothing comes any more: ticks have ended, too. */
async function quiet({ installation, load, oracle }: Scene): Promise<void> {
  const { client, topic } = installation.servers.parts;
  await load.pause();
  for (const one of installation.of('scheduler')) await installation.remove(one);
  await eventually(async () => {
    const found = await client.admin.fetchTopicOffsets(topic);
    return found.every(({ partition, high }) => Number(high) <= (oracle.ends[partition] ?? 0));
  }, 'the oracle has read all');
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

export const lossFaults: readonly Fault[] = [madeAgain];
