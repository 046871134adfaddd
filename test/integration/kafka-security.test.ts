import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { demandWritten, outgoing, textOf } from '../../src/conformance/source.ts';
import { saslOf, type Sasl } from '../../src/sources/kafka/security.ts';
import { firstOf, openerOf, readToEnd } from '../support/kafka-logs.ts';
import { USER } from '../support/kafka-secured.ts';
import { describeKafka } from '../support/kafka-services.ts';

/** Of no signature, as the test broker takes them. Its clock and ours are one. */
function bearerToken(): string {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none' })}.${part({ sub: 'alice', iat: now - 5, exp: now + 300 })}.`;
}

describeKafka('logging in to Kafka', { secure: true }, (kafka) => {
  const open = openerOf(kafka);
  let tokens = 0;
  const ways: readonly Sasl[] = [
    { mechanism: 'plain', ...USER },
    { mechanism: 'scram-sha-256', ...USER },
    { mechanism: 'scram-sha-512', ...USER },
    { mechanism: 'oauthbearer', token: () => Promise.resolve(((tokens += 1), bearerToken())) },
  ];

  for (const sasl of ways) {
    test(`${sasl.mechanism} over TLS: reads, writes, shares, and logs in again when its session ends`, async () => {
      const { broker, ca } = kafka().own!.secure!;
      const topic = await kafka().topic(1);
      const log = await open(topic, { brokers: [broker], tls: { ca }, sasl, sessionMs: 6000, heartbeatMs: 200 });
      const lineage = await firstOf(log);
      demandWritten(await log.append([outgoing('acme', 'before')]));
      expect((await readToEnd(log, lineage)).map(textOf)).toEqual(['before']);
      const stop = new AbortController();
      const given: string[] = [];
      const sharing = log.share(
        { groupId: topic },
        async ({ id }, giveUp) => {
          given.push(id);
          await new Promise((resolve) => giveUp.addEventListener('abort', resolve, { once: true }));
        },
        stop.signal,
      );
      // A session is renewed after 1.5 s, on connections that are open.
      const until = performance.now() + 3500;
      const before = tokens;
      let sent = 1;
      for (; performance.now() < until; sent += 1) {
        demandWritten(await log.append([outgoing('acme', 'more')]));
        await systemClock.sleep(100);
      }
      expect(await readToEnd(log, lineage)).toHaveLength(sent);
      if (sasl.mechanism === 'oauthbearer') expect(tokens - before).toBeGreaterThan(2);
      stop.abort();
      await sharing;
      expect(given).toEqual([lineage.id]);
    });
  }

  test('a wrong password, a certificate that is not trusted, and no login are told', async () => {
    const { broker, ca } = kafka().own!.secure!;
    const topic = await kafka().topic(1);
    const wrong: Sasl = { mechanism: 'scram-sha-512', username: 'alice', password: 'guess' };
    const refused = (more: object): Promise<unknown> =>
      expect(open(topic, { brokers: [broker], ...more })).rejects.toMatchObject({
        code: 'LOG_UNAVAILABLE',
        message: expect.not.stringContaining('guess'),
      });
    await refused({ tls: { ca }, sasl: wrong });
    await refused({ tls: {}, sasl: ways[0] });
    await refused({ tls: { ca }, connectMs: 500, answerMs: 500 });
  });
});

test('MSK IAM logs in with a token of the public signer', async () => {
  const before = { ...process.env };
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'secret' });
  try {
    const sasl = await saslOf({ mechanism: 'aws-msk-iam', region: 'eu-central-1' });
    if (sasl.mechanism !== 'oauthbearer') throw new Error(sasl.mechanism);
    const { value } = await sasl.oauthBearerProvider();
    const url = new URL(Buffer.from(value, 'base64url').toString());
    expect(url.host).toBe('kafka.eu-central-1.amazonaws.com');
    expect(url.searchParams.get('Action')).toBe('kafka-cluster:Connect');
    expect(url.searchParams.get('X-Amz-Credential')).toContain('AKIDEXAMPLE');
  } finally {
    process.env = before;
  }
});
