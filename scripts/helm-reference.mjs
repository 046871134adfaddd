// Writes the schema of the chart's values and the table in its README: npm run generate. Settings come from the build, names,
// defaults and meanings from values.yaml, so that each is said once.
import { readFileSync, writeFileSync } from 'node:fs';
import { isMap, parseDocument } from 'yaml';

const root = new URL('../', import.meta.url);
const chart = new URL('deploy/helm/meterfold/', root);

/** What the chart says of itself: a pod's address, its port, its files. */
const OF_THE_CHART = new Set(['host', 'port', 'insecure', 'dataDir', 'metersFile']);
/** Formats that seal every two seconds are refused in S3. */
const S3_FORMATS = [2, 4, 5, 6, 7];

const text = (more = {}) => ({ type: 'string', minLength: 1, ...more });
const list = (items = text()) => ({ anyOf: [text(), { type: 'array', minItems: 1, items }] });
const whole = (minimum, maximum) => ({ type: 'integer', minimum, ...(maximum === undefined ? {} : { maximum }) });
const object = (properties, more = {}) => ({ type: 'object', additionalProperties: false, properties, ...more });
const mapOf = (values) => ({ type: 'object', additionalProperties: values });

function settingSchema({ name, type, least = 0, most, zero, choices }) {
  if (name === 'archiveFormat') return { enum: S3_FORMATS };
  if (type === 'integer') return zero ? { anyOf: [{ const: 0 }, whole(least, most)] } : whole(least, most);
  if (type === 'boolean') return { type: 'boolean' };
  if (type === 'choice') return { enum: choices };
  if (type === 'privacy') return { type: 'object' };
  return type === 'list' || type === 'modules' || type === 'tenants' ? list() : text();
}

/** A setting that another one needs beside it. */
const NEEDS = { kafkaBrokers: ['kafkaTopic'], kafkaTopic: ['kafkaBrokers'], kafkaSaslMechanism: ['kafkaUsername'] };

function settingsSchema(settings) {
  const plain = settings.filter(({ name, secret }) => secret !== true && !OF_THE_CHART.has(name));
  const properties = Object.fromEntries(
    plain.map((setting) => [setting.name, { ...settingSchema(setting), description: setting.description }]),
  );
  const sentinels = { properties: { redisMode: { const: 'sentinel' } }, required: ['redisMode'] };
  return object(properties, {
    required: ['s3Bucket'],
    dependencies: NEEDS,
    if: sentinels,
    then: { required: ['redisSentinelName'] },
  });
}

/** Roles need these; without them a process would be on its own. */
const SECRETS = ['databaseUrl', 'redisUrls'];

function secretsSchema(settings) {
  const names = settings.filter(({ secret }) => secret === true).map(({ name }) => name);
  const all = (keyword) => SECRETS.map((name) => ({ [keyword]: { const: name } }));
  const values = object(
    Object.fromEntries(names.map((name) => [name, text(name === 'privacySecret' ? { minLength: 32 } : {})])),
  );
  return object(
    {
      existingSecret: { type: 'string' },
      existingKeys: { type: 'array', uniqueItems: true, items: { enum: names }, allOf: all('contains') },
      values,
    },
    {
      if: { properties: { existingSecret: { const: '' } } },
      then: { properties: { values: { required: SECRETS } } },
    },
  );
}

const quantity = { anyOf: [{ type: 'integer', minimum: 0 }, text({ pattern: '^[0-9.]+(m|k|Ki|M|Mi|G|Gi|T|Ti)?$' })] };
const resources = object({
  requests: object({ cpu: quantity, memory: quantity, 'ephemeral-storage': quantity }),
  limits: object({ cpu: quantity, memory: quantity, 'ephemeral-storage': quantity }),
});
const autoscaling = object({
  enabled: { type: 'boolean' },
  minReplicas: whole(1),
  maxReplicas: whole(1),
  targetCPUUtilizationPercentage: whole(1, 100),
});
const SCALING = new Set(['ingest', 'worker', 'api']);

const roleSchema = (name) =>
  object({
    replicas: whole(0),
    resources,
    ...(SCALING.has(name) ? { autoscaling } : {}),
    nodeSelector: mapOf(text()),
    tolerations: { type: 'array', items: { type: 'object' } },
    affinity: object({
      nodeAffinity: { type: 'object' },
      podAffinity: { type: 'object' },
      podAntiAffinity: { type: 'object' },
    }),
    podAnnotations: mapOf({ type: 'string' }),
  });

const on = { type: 'boolean' };
const labels = mapOf({ type: 'string' });
const variable = object(
  // Patterns are those of RE2, which has no look-ahead.
  {
    name: text({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$', not: { pattern: '^METERFOLD_' } }),
    value: { type: 'string' },
    valueFrom: { type: 'object' },
  },
  { required: ['name'] },
);

/** A login needs its password, in whichever way secrets come. */
const login = {
  if: { properties: { settings: { required: ['kafkaSaslMechanism'] } } },
  then: {
    properties: {
      secrets: {
        if: { properties: { existingSecret: { const: '' } } },
        then: { properties: { values: { required: ['kafkaPassword'] } } },
        else: { properties: { existingKeys: { contains: { const: 'kafkaPassword' } } } },
      },
    },
  },
};

/** Everything that values.yaml may say. */
function valuesSchema({ settings, roles }) {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    $comment: 'Generated by npm run generate. Do not edit.',
    title: 'Values of the chart meterfold',
    ...object(
      {
        global: { type: 'object' },
        image: object({
          repository: text({ pattern: '^[a-z0-9][a-z0-9._/:-]*$' }),
          tag: { type: 'string', pattern: '^[A-Za-z0-9_.-]*$', not: { const: 'latest' } },
          digest: { type: 'string', pattern: '^(sha256:[0-9a-f]{32,64})?$' },
          pullPolicy: { enum: ['IfNotPresent', 'Always', 'Never'] },
        }),
        imagePullSecrets: { type: 'array', items: text() },
        nameOverride: { type: 'string', maxLength: 50 },
        fullnameOverride: { type: 'string', maxLength: 50 },
        settings: settingsSchema(settings),
        metersFile: object({ meters: { type: 'array' }, spread: { type: 'object' }, schemas: { type: 'object' } }),
        secrets: secretsSchema(settings),
        aws: object({ credentialsSecret: { type: 'string' } }),
        extraEnv: { type: 'array', items: variable },
        serviceAccount: object({ create: on, name: { type: 'string' }, annotations: labels }),
        roles: object(Object.fromEntries(roles.map((name) => [name, roleSchema(name)]))),
        service: object({
          type: { enum: ['ClusterIP', 'NodePort', 'LoadBalancer'] },
          port: whole(1, 65_535),
          annotations: labels,
        }),
        probes: object({ startupSeconds: whole(1, 86_400), periodSeconds: whole(1, 300), timeoutSeconds: whole(1, 300) }),
        preStopSeconds: whole(0, 300),
        terminationSlackSeconds: whole(5, 600),
        revisionHistoryLimit: whole(0),
        podDisruptionBudget: object({ enabled: on }),
        topologySpread: object({ keys: { type: 'array', items: text() } }),
        podLabels: labels,
        priorityClassName: { type: 'string' },
        runAsUser: whole(1),
        serviceMonitor: object({ enabled: on, interval: text({ pattern: '^([0-9]+(ms|s|m|h))+$' }), labels }),
        networkPolicy: object({
          enabled: on,
          from: { type: 'array', minItems: 1, items: { type: 'object' } },
          egress: { type: 'array', items: { type: 'object' } },
        }),
      },
      { required: ['settings', 'secrets', 'roles', 'image'], ...login },
    ),
  };
}

const MARK = /^\s*-- /;
/** [name, default, meaning] of every value that has a comment of its own, in the order of the file. */
function rowsOf(node, before = '') {
  return node.items.flatMap(({ key, value }, n) => {
    // The comment above the first key of a map belongs to the map for the parser.
    const comment = key.commentBefore ?? (n === 0 ? node.commentBefore : undefined) ?? '';
    const name = `${before}${key.value}`;
    const hasRows = isMap(value) && !value.flow && value.items.length > 0;
    const shown = hasRows ? '' : `\`${JSON.stringify(value.toJSON())}\``;
    const own = MARK.test(comment) ? [[name, shown, comment.replace(MARK, '')]] : [];
    return hasRows ? [...own, ...rowsOf(value, `${name}.`)] : [...own, ...(own.length === 0 ? [[name, shown, '']] : [])];
  });
}

function valuesTable() {
  const { contents } = parseDocument(readFileSync(new URL('values.yaml', chart), 'utf8'));
  const rows = rowsOf(contents).filter(([name, , meaning]) => meaning !== '' || !name.startsWith('roles.'));
  return [
    '| value | default | meaning |',
    '| --- | --- | --- |',
    ...rows.map((row) => `| \`${row[0]}\` | ${row[1]} | ${row[2]} |`),
  ].join('\n');
}

const [BEGIN, END] = ['<!-- values: generated by npm run generate -->', '<!-- end of values -->'];

/** Texts of the generated files by their path. */
export async function generated() {
  const { SETTINGS: settings } = await import(new URL('dist/settings.js', root));
  const { ROLES: roles } = await import(new URL('dist/topology.js', root));
  const readme = readFileSync(new URL('README.md', chart), 'utf8');
  const [head, rest = ''] = readme.split(BEGIN);
  const tail = rest.split(END)[1] ?? '\n';
  return {
    'deploy/helm/meterfold/values.schema.json': `${JSON.stringify(valuesSchema({ settings, roles }), undefined, 2)}\n`,
    'deploy/helm/meterfold/README.md': `${head}${BEGIN}\n\n${valuesTable()}\n\n${END}${tail}`,
  };
}

if (process.argv[1] === new URL(import.meta.url).pathname)
  for (const [path, content] of Object.entries(await generated())) writeFileSync(new URL(path, root), content);
