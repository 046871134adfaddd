/**
 * Which Redis the suites run against, and how to get one: by METERFOLD_TEST_REDIS_URL, by a program on this machine, or from
 * the package manager where CI=true or MF_SERVICES=fetch. In CI a missing one fails.
 */
import { afterAll, describe } from 'vitest';
import { redisProgram, redisVersion } from './redis-server.ts';
import { aptInstall, mayFetch, missing, report } from './services.ts';

function fetchRedis(): string | undefined {
  if (!mayFetch) return undefined;
  aptInstall('redis-server');
  return redisProgram();
}

/** A server that is not ours. Only the conformance suite runs there, under a prefix of its own: nothing else is touched. */
export const givenRedis = (): string | undefined => {
  const url = process.env.METERFOLD_TEST_REDIS_URL;
  return url === undefined || url === '' ? undefined : url;
};

export const canStartRedis = (): boolean => (redisProgram() ?? fetchRedis()) !== undefined;

/** The suite, where this machine can start servers of its own, to be killed and filled. In CI a missing program fails. */
export function describeRedis(title: string, suite: (version: string) => void): void {
  const program = redisProgram() ?? fetchRedis();
  if (program === undefined) {
    missing(title, 'Redis', 'install redis-server');
    return;
  }
  const name = `Redis ${redisVersion(program)}`;
  describe(`${title} on ${name}`, () => {
    afterAll(() => report(title, name, 'ran'));
    suite(name);
  });
}
