/** The short selection of `npm run chaos`: each kind of fault once, over real servers and every role as a process. */
import { expect, test } from 'vitest';
import { FAULTS } from '../chaos/faults/list.ts';
import { runFaults, table } from '../chaos/run.ts';
import { kafka } from '../support/services/kafka.ts';
import { postgres } from '../support/services/postgres.ts';
import { redis } from '../support/services/redis.ts';
import { s3 } from '../support/services/s3.ts';
import { describeService } from '../support/services/suites.ts';

const TITLE = 'npm run chaos, the selection of CI';
const SEED = 1;
/** On a machine that others use, too. */
const LONG_MS = 400_000;

describeService(TITLE, kafka, 'own', () => {
  describeService(TITLE, redis, 'own', () => {
    describeService(TITLE, postgres, 'own', () => {
      describeService(TITLE, s3, 'own', suite);
    });
  });
});

function suite(): void {
  test(
    'every answer is the oracle’s, nothing is lost or double, each fault bites, and answers are exact again in time',
    async () => {
      const said: string[] = [`seed ${SEED}`];
      const faults = FAULTS.filter(({ inCi }) => inCi === true);
      const report = await runFaults({ seed: SEED, minutes: 0, faults, say: (line) => said.push(line) });
      console.log(table(report.rows));
      // What happened, with its times, is told where it is needed.
      expect(report, said.join('\n')).toMatchObject({ isOk: true, notices: true, verify: { ok: true } });
      expect(report.rows.map(({ fault }) => fault).sort()).toEqual(faults.map(({ name }) => name).sort());
    },
    LONG_MS,
  );
}
