/** A short selection of the faults, over real servers: `npm run chaos` has all of them. */
import { afterAll, describe, expect, test } from 'vitest';
import { kafkaJars } from '../support/kafka-jars.ts';
import { canStartRedis } from '../support/redis-services.ts';
import { canStartS3 } from '../support/s3-server.ts';
import { canStartPostgres, missing, report } from '../support/services.ts';
import { FAULTS } from './faults/list.ts';
import { runFaults } from './run.ts';

const TITLE = 'faults under load';
const SEED = Number(process.env.CHAOS_SEED ?? '1');
const NEEDS = {
  Kafka: () => kafkaJars() !== undefined,
  Redis: canStartRedis,
  PostgreSQL: canStartPostgres,
  S3: canStartS3,
};

const lacking = Object.entries(NEEDS).find(([, isThere]) => !isThere());
if (lacking === undefined) suite();
else missing(TITLE, lacking[0], 'the suite starts and kills servers of its own');

function suite(): void {
  describe(TITLE, () => {
    afterAll(() => report(TITLE, 'Kafka, Redis, PostgreSQL, S3 of its own', 'ran'));

    test('no event is lost or counts twice, and no answer is wrong', { timeout: 600_000 }, async () => {
      const faults = FAULTS.filter(({ inCi }) => inCi === true);
      const said: string[] = [];
      const { rows, verify, notices } = await runFaults({ seed: SEED, minutes: 0, faults, say: (line) => said.push(line) });
      const failed = rows.filter(({ failures }) => failures.length > 0);
      expect(failed, `seed ${SEED}:\n${said.join('\n')}`).toEqual([]);
      expect(rows.length).toBe(faults.length);
      expect(rows.every(({ acknowledged }) => acknowledged > 0)).toBe(true);
      expect(verify).toMatchObject({ ok: true });
      expect(notices).toBe(true);
    });
  });
}
