/** deploy/compose.yaml and deploy/Dockerfile, as far as they can be read without running them. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseConfig } from '../../src/config.ts';
import { compose } from '../support/services/compose.ts';
import { kafka } from '../support/services/kafka.ts';
import { postgres } from '../support/services/postgres.ts';
import { redis } from '../support/services/redis.ts';
import { s3 } from '../support/services/s3.ts';
import { describeService } from '../support/services/suites.ts';
import { ownProgram } from '../support/services/ways.ts';

const DEPLOY = new URL('../../deploy/', import.meta.url).pathname;
const ROLES = ['ingest', 'worker', 'publisher', 'relay', 'scheduler', 'api'];

interface Container {
  readonly image: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly restart: string;
}
interface Compose {
  readonly services: Readonly<Record<string, Container>>;
}

const text = readFileSync(`${DEPLOY}compose.yaml`, 'utf8');
const { services } = parse(text, { merge: true }) as Compose;
const dockerfile = readFileSync(`${DEPLOY}Dockerfile`, 'utf8');

describeService('deploy/compose.yaml', compose, 'own', () => {
  test('is valid by the Compose Specification, and means what it says', () => {
    const options = { cwd: DEPLOY, encoding: 'utf8', stdio: 'pipe' } as const;
    const read = execFileSync(ownProgram(compose).path, ['--format', 'json', 'compose.yaml'], options);
    const model = JSON.parse(read) as Compose;
    expect(Object.keys(model.services).sort()).toEqual(Object.keys(services).sort());
    for (const role of ROLES) {
      const { build, command } = model.services[role]!;
      expect(command).toEqual([role]);
      expect(existsSync(`${build!.context}/${build!.dockerfile}`)).toBe(true);
      expect(existsSync(`${build!.context}/package-lock.json`)).toBe(true);
    }
  });
});

test('every role runs from one image, once its servers are ready, and is asked whether it is', () => {
  for (const role of ROLES) {
    const { image, command, depends_on, healthcheck } = services[role]!;
    expect([image, command]).toEqual(['meterfold:local', [role]]);
    expect(Object.keys(depends_on!).sort()).toEqual(['bucket', 'postgres', 'redis', 'topic']);
    expect(healthcheck!.test.join(' ')).toContain('/readyz');
  }
});

test('what is waited for is there: healthy by a check, or ended by itself', () => {
  for (const { depends_on = {} } of Object.values(services)) {
    for (const [name, { condition }] of Object.entries(depends_on)) {
      const isOneShot = services[name]!.restart === 'no';
      expect(condition).toBe(isOneShot ? 'service_completed_successfully' : 'service_healthy');
      expect(services[name]!.healthcheck === undefined).toBe(isOneShot);
    }
  }
});

test('settings are settings, and each server that they name is a service', () => {
  for (const role of ROLES) {
    const own = Object.entries(services[role]!.environment!).filter(([name]) => name.startsWith('METERFOLD_'));
    const config = parseConfig({ env: Object.fromEntries(own) });
    const urls = [...config.redisUrls!, config.databaseUrl!, config.s3Endpoint!].map((url) => new URL(url).hostname);
    const brokers = config.kafkaBrokers!.map((broker) => broker.split(':')[0]!);
    for (const host of [...urls, ...brokers]) expect(Object.keys(services)).toContain(host);
    expect(config).toMatchObject({ host: '0.0.0.0', insecure: true, kafkaTopic: 'usage', kafkaMinInsyncReplicas: 1 });
  }
  expect(services.topic!.command).toContain('--topic=usage');
  expect(services.topic!.command).toContain(`--partitions=${parseConfig({}).partitions}`);
});

test('servers are those of the suites', () => {
  expect([services.kafka, services.redis, services.postgres, services.s3].map((one) => one!.image)).toEqual([
    ...[kafka.image, redis.image, postgres.image, s3.image],
  ]);
});

test('ports are published on loopback alone, and every image is of one version', () => {
  for (const { ports = [], image } of Object.values(services)) {
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
    expect(image).toMatch(/^meterfold:local$|^[a-z/]+:v?\d+\.\d+(\.\d+)?$/);
  }
  for (const [, image] of dockerfile.matchAll(/^(?:ARG NODE=|FROM (?!\$))(\S+)/gm)) expect(image).toMatch(/:\d+\.\d+\.\d+-/);
});

test('the image copies what is there, runs as no root, and its last stage installs nothing', () => {
  const stages = dockerfile.split(/^FROM /m).slice(1);
  for (const [, files] of dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm))
    for (const file of files!.split(' ')) expect(existsSync(`${DEPLOY}../${file}`), file).toBe(true);
  expect(stages.at(-1)).toMatch(/^USER 1000:1000$/m);
  expect(stages.at(-1)).toMatch(/^ENTRYPOINT \["meterfold"\]$/m);
  expect(stages.at(-1)).not.toMatch(/npm|apt/);
  expect(stages[0]).toContain('npm prune --omit=dev');
});

test('nothing that .dockerignore leaves out is copied', () => {
  const kept = readFileSync(`${DEPLOY}../.dockerignore`, 'utf8').split('\n');
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, files]) => files!.split(' '));
  for (const file of copied) expect(kept).toContain(`!${file}`);
});
