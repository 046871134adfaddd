/** The chart: what it renders keeps the API of Kubernetes and the settings of the program, and bad values are refused. */
import { readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Deployment } from 'kubernetes-types/apps/v1.js';
import type { ConfigMap, Container, Pod, PodSpec, Secret, Service } from 'kubernetes-types/core/v1.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { demandSharing } from '../../src/cli/sharing.ts';
import { type Config, envName, parseConfig } from '../../src/config.ts';
import { parseMetersFile } from '../../src/domain/meters-file.ts';
import { SETTINGS } from '../../src/settings.ts';
import { ROLES } from '../../src/topology.ts';
import { CHART, describeHelm, helm, type KubernetesObject, rendered } from '../support/helm.ts';
import { faultsOf } from '../support/kubernetes-types.ts';

const CI = join(CHART, 'ci');
const SETS = readdirSync(CI).map((name) => ({ name, path: join(CI, name) }));
const LEAST = { settings: { s3Bucket: 'usage' }, secrets: { existingSecret: 'mine' } };

describeHelm('the Helm chart', () => {
  let folder: string;
  const all = new Map<string, readonly KubernetesObject[]>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'meterfold-helm-'));
    for (const { name, path } of SETS) all.set(name, await rendered('-f', path));
  }, 120_000);
  afterAll(() => rm(folder, { recursive: true }));

  const withValues = async (values: object): Promise<readonly KubernetesObject[]> => {
    const path = join(folder, 'values.yaml');
    await writeFile(path, stringify(values));
    return rendered('-f', path);
  };
  const each = test.each(SETS.map(({ name }) => name));
  const of = (set: string): readonly KubernetesObject[] => all.get(set) ?? [];

  test.each(SETS)('$name passes a strict lint', async ({ path }) => {
    expect(await helm('lint', '--strict', CHART, '-f', path)).toContain('0 chart(s) failed');
  });

  test('what is rendered keeps the types of the Kubernetes API, and what does not is found', () => {
    expect(faultsOf(SETS.flatMap(({ name }) => of(name)))).toEqual([]);
    const wrong = JSON.parse(JSON.stringify(deploymentOf(of('sentinel-values.yaml'), 'api'))) as Deployment;
    const spec = podOf(wrong) as unknown as Record<string, unknown>;
    spec.terminationGracePeriod = 25;
    expect(faultsOf([wrong as KubernetesObject])).toEqual([expect.stringMatching(/^Deployment .*terminationGracePeriod/)]);
    spec.terminationGracePeriod = undefined;
    spec.terminationGracePeriodSeconds = '25';
    expect(faultsOf([wrong as KubernetesObject])).toHaveLength(1);
  });

  each('%s: every role has its Deployment, which runs that role', (set) => {
    const deployments = ofKind<Deployment>(of(set), 'Deployment');
    expect(deployments.map((one) => containerOf(one).args)).toEqual(ROLES.map((role) => [role]));
    for (const one of deployments) {
      const { matchLabels = {} } = one.spec?.selector ?? {};
      expect(one.spec?.template.metadata?.labels).toMatchObject(matchLabels);
      expect(one.metadata?.name?.length).toBeLessThanOrEqual(63);
    }
    const selectors = deployments.map((one) => JSON.stringify(one.spec?.selector));
    expect(new Set(selectors).size).toBe(ROLES.length);
  });

  each('%s: settings are known, secrets are files, and each role has the servers that it needs', (set) => {
    for (const [role, config] of configs(of(set))) demandSharing(config, new Set([role]));
    for (const { env = [] } of containersOf(of(set))) {
      const wrong = env.filter(({ name }) => SECRETS.includes(name));
      expect(wrong).toEqual([]);
    }
    const text = JSON.stringify(ofKind<ConfigMap>(of(set), 'ConfigMap'));
    for (const { stringData = {} } of ofKind<Secret>(of(set), 'Secret'))
      for (const value of Object.values(stringData)) expect(text).not.toContain(value);
  });

  test('every variable of the program in every rendered object is a setting', () => {
    const known = new Set([...NAMES, ...NAMES.map((name) => `${name}_FILE`), 'METERFOLD_CONFIG_FILE']);
    const found = SETS.flatMap(({ name }) => JSON.stringify(of(name)).match(/METERFOLD_[A-Z0-9_]*/g) ?? []);
    expect(found.length).toBeGreaterThan(ROLES.length);
    expect(found.filter((name) => !known.has(name))).toEqual([]);
  });

  test('settings and meters of values are those that the program reads', () => {
    const [, config] = configs(of('kafka-values.yaml'))[0] ?? [];
    expect(config).toMatchObject({ partitions: 24, pastBoundMs: 3_024_000_000, drainMs: 25_000, kafkaTls: true });
    expect(config?.privacy).toEqual({ calls: { default: 'keep', properties: { 'user.email': 'hash' } } });
    const [{ data = {} } = {}] = ofKind<ConfigMap>(of('kafka-values.yaml'), 'ConfigMap');
    expect(parseMetersFile(data['meters.yaml'] ?? '').meters?.map(({ key }) => key)).toEqual(['calls']);
    const declaring = configs(of('kafka-values.yaml')).filter(([, { metersFile }]) => metersFile !== undefined);
    expect(declaring.map(([role]) => role)).toEqual(['scheduler']);
  });

  each('%s: a pod is killed only after it could drain', (set) => {
    for (const [role, { drainMs }] of configs(of(set))) {
      const spec = podOf(deploymentOf(of(set), role));
      const sleep = spec.containers[0]?.lifecycle?.preStop;
      const seconds = spec.terminationGracePeriodSeconds ?? 0;
      expect(seconds * 1000).toBeGreaterThan(drainMs + (sleep?.sleep?.seconds ?? 0) * 1000);
    }
  });

  each('%s: pods have no rights that they do not need', (set) => {
    const pods = [
      ...ofKind<Deployment>(of(set), 'Deployment').map(podOf),
      ...ofKind<Pod>(of(set), 'Pod').map((p) => p.spec!),
    ];
    expect(pods).toHaveLength(ROLES.length + 1);
    for (const spec of pods) {
      expect(spec).toMatchObject({ automountServiceAccountToken: false, enableServiceLinks: false });
      expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      expect(spec.securityContext?.runAsUser).toBeGreaterThan(0);
    }
    for (const { securityContext, resources, image } of containersOf(of(set))) {
      expect(securityContext).toMatchObject({
        ...{ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
        capabilities: { drop: ['ALL'] },
      });
      expect(resources?.limits?.memory).toBeDefined();
      expect(resources?.requests?.cpu).toBeDefined();
      expect(image).toMatch(/(:[\w.-]+|@sha256:\w+)$/);
      expect(image).not.toMatch(/:latest$/);
    }
  });

  each('%s: liveness asks the process alone, readiness its servers', (set) => {
    for (const one of ofKind<Deployment>(of(set), 'Deployment')) {
      const { startupProbe, livenessProbe, readinessProbe, ports = [] } = containerOf(one);
      expect([startupProbe, livenessProbe, readinessProbe].map((probe) => probe?.httpGet?.path)).toEqual([
        ...['/healthz', '/healthz', '/readyz'],
      ]);
      const names = ports.map(({ name }) => name);
      for (const probe of [startupProbe, livenessProbe, readinessProbe]) expect(names).toContain(probe?.httpGet?.port);
    }
  });

  each('%s: what selects pods finds them', (set) => {
    const labels = ofKind<Deployment>(of(set), 'Deployment').map((one) => one.spec?.template.metadata?.labels ?? {});
    const found = (selector: Readonly<Record<string, string>> = {}): number =>
      labels.filter((own) => Object.entries(selector).every(([name, value]) => own[name] === value)).length;
    const services = ofKind<Service>(of(set), 'Service').map(({ spec }) => found(spec?.selector));
    expect(services).toEqual([1, 1, ROLES.length]);
    type Selecting = { readonly spec: { readonly selector: { readonly matchLabels: Record<string, string> } } };
    for (const { spec } of ofKind<Selecting>(of(set), 'PodDisruptionBudget'))
      expect(found(spec.selector.matchLabels)).toBe(1);
    for (const { spec } of ofKind<{ spec: { scaleTargetRef: { name: string } } }>(of(set), 'HorizontalPodAutoscaler'))
      expect(ofKind<Deployment>(of(set), 'Deployment').map(({ metadata }) => metadata?.name)).toContain(
        spec.scaleTargetRef.name,
      );
    for (const { spec } of ofKind<Selecting>(of(set), 'ServiceMonitor')) {
      const services = ofKind<Service>(of(set), 'Service').map(({ metadata }) => metadata?.labels ?? {});
      const isFound = (own: Record<string, string>): boolean =>
        Object.entries(spec.selector.matchLabels).every(([name, value]) => own[name] === value);
      expect(services.filter(isFound)).toHaveLength(1);
    }
  });

  test('what is optional is there where it is asked for, and only there', () => {
    const kinds = (set: string): Record<string, number> =>
      of(set).reduce<Record<string, number>>((sum, { kind }) => ({ ...sum, [kind]: (sum[kind] ?? 0) + 1 }), {});
    const always = { ConfigMap: 1, Deployment: ROLES.length, Pod: 1, Service: 3 };
    const secured = { NetworkPolicy: 1, PodDisruptionBudget: ROLES.length, ServiceAccount: 1 };
    expect(kinds('sentinel-values.yaml')).toEqual({ ...always, ...secured });
    expect(kinds('kafka-values.yaml')).toEqual({ ...always, ...secured, HorizontalPodAutoscaler: 3, ServiceMonitor: 1 });
    expect(kinds('postgres-log-values.yaml')).toEqual({ ...always, Secret: 1 });
  });

  test('an autoscaler alone says how many there are', () => {
    const replicas = (set: string) => ofKind<Deployment>(of(set), 'Deployment').map((one) => one.spec?.replicas);
    expect(replicas('kafka-values.yaml')).toEqual([undefined, undefined, 2, 1, 1, undefined]);
    expect(replicas('sentinel-values.yaml')).toEqual([2, 2, 2, 1, 1, 2]);
  });

  test('changed settings roll the pods, and the same ones do not', async () => {
    const sums = async (values: object) =>
      ofKind<Deployment>(await withValues(values), 'Deployment').map((one) => one.spec?.template.metadata?.annotations);
    const before = await sums(LEAST);
    expect(await sums(LEAST)).toEqual(before);
    const after = await sums({ ...LEAST, settings: { ...LEAST.settings, tickMs: 500 } });
    after.forEach((one, n) => expect(one).not.toEqual(before[n]));
  });

  const settings = (more: object): object => ({ ...LEAST, settings: { ...LEAST.settings, ...more } });
  test.each<readonly [wrong: string, values: object, told: RegExp]>([
    ['no bucket', { secrets: LEAST.secrets }, /settings.*s3Bucket/s],
    ['no secrets', { settings: LEAST.settings }, /secrets\/values.*databaseUrl.*redisUrls/s],
    [
      'a secret without the database',
      { ...LEAST, secrets: { existingSecret: 'a', existingKeys: ['redisUrls'] } },
      /existingKeys/,
    ],
    ['an unknown setting', settings({ tickMilliseconds: 5 }), /tickMilliseconds/],
    ['a setting below its bound', settings({ tickMs: 1 }), /tickMs.*minimum/s],
    ['a setting of another type', settings({ partitions: 'many' }), /partitions.*integer/s],
    ['a fraction', settings({ partitions: 1.5 }), /partitions.*integer/s],
    ['a format that seals every two seconds', settings({ archiveFormat: 1 }), /archiveFormat/],
    ['Kafka without a topic', settings({ kafkaBrokers: ['a:9092'] }), /kafkaTopic/],
    ['Sentinels without a name', settings({ redisMode: 'sentinel' }), /redisSentinelName/],
    ['a login without a password', settings({ kafkaSaslMechanism: 'plain', kafkaUsername: 'u' }), /existingKeys/],
    ['a secret among the settings', settings({ databaseUrl: 'postgres://db' }), /databaseUrl/],
    ['a port of one’s own', settings({ port: 9090 }), /port/],
    ['an unknown value', { ...LEAST, replicas: 3 }, /replicas/],
    ['an unknown role', { ...LEAST, roles: { reader: {} } }, /reader/],
    ['replicas below nothing', { ...LEAST, roles: { api: { replicas: -1 } } }, /replicas.*minimum/s],
    [
      'an autoscaler of a role without load',
      { ...LEAST, roles: { relay: { autoscaling: { enabled: true } } } },
      /autoscaling/,
    ],
    ['root', { ...LEAST, runAsUser: 0 }, /runAsUser.*minimum/s],
    ['the newest of whatever', { ...LEAST, image: { tag: 'latest' } }, /tag/],
    ['a variable of the program', { ...LEAST, extraEnv: [{ name: 'METERFOLD_TICK_MS', value: '5' }] }, /extraEnv/],
    ['a memory that is none', { ...LEAST, roles: { api: { resources: { limits: { memory: '1 GB' } } } } }, /memory/],
    ['a policy that lets nobody in', { ...LEAST, networkPolicy: { from: [] } }, /networkPolicy.*from/s],
  ])('the schema refuses %s', async (_, values, told) => {
    await expect(withValues(values)).rejects.toThrow(told);
  });
});

const NAMES = SETTINGS.map(({ name }) => envName(name));
const SECRETS = SETTINGS.filter(({ secret }) => secret === true).map(({ name }) => envName(name));

const ofKind = <T>(objects: readonly KubernetesObject[], kind: string): T[] =>
  objects.filter((one) => one.kind === kind) as unknown as T[];

function deploymentOf(objects: readonly KubernetesObject[], role: string): Deployment {
  const found = ofKind<Deployment>(objects, 'Deployment').find((one) => containerOf(one).args?.[0] === role);
  if (found === undefined) throw new Error(`no Deployment of ${role}`);
  return found;
}

function podOf({ spec }: Deployment): PodSpec {
  const pod = spec?.template.spec;
  if (pod === undefined) throw new Error('a Deployment without pods');
  return pod;
}
function containerOf(deployment: Deployment): Container {
  const [container] = podOf(deployment).containers;
  if (container === undefined) throw new Error('a pod without a container');
  return container;
}

const containersOf = (objects: readonly KubernetesObject[]): Container[] => [
  ...ofKind<Deployment>(objects, 'Deployment').map(containerOf),
  ...ofKind<Pod>(objects, 'Pod').flatMap(({ spec }) => spec?.containers ?? []),
];

/** As the program reads it in each pod: variables, the mounted file of settings, secrets by the files that are mounted. */
function configs(objects: readonly KubernetesObject[]): (readonly [role: (typeof ROLES)[number], config: Config])[] {
  const [{ data = {} } = {}] = ofKind<ConfigMap>(objects, 'ConfigMap');
  return ofKind<Deployment>(objects, 'Deployment').map((deployment) => {
    const { env = [], args = [], volumeMounts = [] } = containerOf(deployment);
    const { volumes = [] } = podOf(deployment);
    const mounted = volumes.flatMap(({ name, secret, configMap }) => {
      const at = volumeMounts.find((mount) => mount.name === name)?.mountPath ?? '';
      return [
        ...(secret?.items ?? []).map(({ path }) => `${at}/${path}`),
        ...Object.keys(configMap ? data : {}).map((key) => `${at}/${key}`),
      ];
    });
    const values = env.filter(({ name }) => name.startsWith('METERFOLD_'));
    for (const { name, value = '' } of values) if (name.endsWith('_FILE')) expect(mounted).toContain(value);
    const secrets = values.filter(({ name }) => SECRETS.some((secret) => name === `${secret}_FILE`));
    const read = secrets.map(({ name }) => [name.slice(0, -'_FILE'.length), 'x'.repeat(32)]);
    const given = Object.fromEntries([...values.map(({ name, value }) => [name, value]), ...read]) as Record<string, string>;
    const config = parseConfig({ env: given, file: data['meterfold.yaml'] ?? '' });
    return [ROLES.find((role) => role === args[0]) ?? 'api', config] as const;
  });
}
