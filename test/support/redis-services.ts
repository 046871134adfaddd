/**
 * Which Redis the suites run against, and how to get one: by METERFOLD_TEST_REDIS_URL, by a program on this machine, or from
 * the package manager where CI=true or MF_SERVICES=fetch. In CI a missing one fails.
 */
import { execFileSync } from 'node:child_process';
import { afterAll, describe, test } from 'vitest';
import { redisProgram, redisVersion } from './redis-server.ts';
import { report } from './services.ts';

const isCi = process.env.CI === 'true';

function fetchRedis(): string | undefined {
  if (!isCi && process.env.MF_SERVICES !== 'fetch') return undefined;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = ['-o', 'DPkg::Lock::Timeout=300', '-y', '--no-install-recommends', 'install', 'redis-server'];
  execFileSync('apt-get', ['update'], { env, stdio: 'pipe' });
  execFileSync('apt-get', apt, { env, stdio: 'pipe' });
  return redisProgram();
}

/** A server that is not ours. Only the conformance suite runs there, under a prefix of its own: nothing else is touched. */
export const givenRedis = (): string | undefined => {
  const url = process.env.METERFOLD_TEST_REDIS_URL;
  return url === undefined || url === '' ? undefined : url;
};

/** The suite, where this machine can start servers of its own, to be killed and filled. In CI a missing program fails. */
export function describeRedis(title: string, suite: (version: string) => void): void {
  const program = redisProgram() ?? fetchRedis();
  if (program === undefined) {
    missing(title);
    return;
  }
  const name = `Redis ${redisVersion(program)}`;
  describe(`${title} on ${name}`, () => {
    afterAll(() => report(title, name, 'ran'));
    suite(name);
  });
}

function missing(title: string): void {
  test.runIf(isCi)(`${title} needs a Redis in CI`, () => {
    throw new Error('no Redis: install redis-server');
  });
  test.skipIf(isCi)(`${title} on Redis: no server on this machine`, (context) => {
    report(title, 'Redis', 'missing');
    context.skip();
  });
}
