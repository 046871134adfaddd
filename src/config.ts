/** Every setting: one schema, from flags, environment and file to a frozen object; all faults at once. */
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { isPrivacy, type Privacy } from './domain/privacy.ts';
import { MeterError } from './errors.ts';
import { SETTINGS, type Setting } from './settings.ts';

export type Tenants = 'open' | readonly string[];

export interface Config {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly databaseUrl: string | undefined;
  readonly databaseConnections: number;
  readonly databaseConnectTimeoutMs: number;
  readonly databaseStatementTimeoutMs: number;
  readonly databaseLockTimeoutMs: number;
  readonly databaseIdleInTransactionTimeoutMs: number;
  readonly metersFile: string | undefined;
  readonly tenants: Tenants | undefined;
  readonly maxGroups: number | undefined;
  readonly partitions: number;
  readonly buckets: number;
  readonly tickMs: number;
  readonly epochMs: number | undefined;
  readonly archiveFormat: number | undefined;
  readonly kafkaBrokers: readonly string[] | undefined;
  readonly kafkaTopic: string | undefined;
  readonly kafkaGroup: string;
  readonly kafkaSessionMs: number;
  readonly kafkaHeartbeatMs: number;
  readonly kafkaRebalanceMs: number;
  readonly kafkaMinInsyncReplicas: number;
  readonly kafkaTls: boolean;
  readonly kafkaSaslMechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512' | undefined;
  readonly kafkaUsername: string | undefined;
  readonly kafkaPassword: string | undefined;
  readonly leaseMs: number;
  readonly redisUrls: readonly string[] | undefined;
  readonly redisMode: 'single' | 'sentinel' | 'cluster';
  readonly redisSentinelName: string | undefined;
  readonly redisPrefix: string;
  readonly speedReadMs: number;
  readonly s3Bucket: string | undefined;
  readonly s3Prefix: string | undefined;
  readonly s3Region: string | undefined;
  readonly s3Endpoint: string | undefined;
  readonly s3PathStyle: boolean;
  readonly s3KmsKeyId: string | undefined;
  readonly pastBoundMs: number;
  readonly logRetentionMs: number;
  readonly eventRowRetentionMs: number;
  readonly keyRetentionMs: number;
  readonly usageRetentionMonths: number;
  readonly propertiesIndex: 'off' | 'on';
  readonly maxUnsettled: number;
  readonly gcGraceMs: number;
  readonly drainMs: number;
  readonly showStoppedMs: number;
  readonly afterTimeoutMs: number;
  readonly maxBodyBytes: number;
  readonly maxEventsPerRequest: number;
  /** Names of packages, and absolute paths. */
  readonly processors: readonly string[];
  readonly checkProcessors: 'on' | 'off';
  readonly logModule: string | undefined;
  readonly privacy: Privacy | undefined;
  readonly privacySecret: string | undefined;
  readonly insecure: boolean;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/** From strongest to weakest. Values are text where they come from the environment, of any type in flags and file. */
export interface ConfigInput {
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Text of a YAML file whose keys are the names of the settings. */
  readonly file?: string;
  /** The directory of that file: its paths of modules are relative to it, those of flags and environment to the working directory. */
  readonly fileDir?: string;
}

const MINUTE_MS = 60_000;
/** What the first start records. Where memory is a server's, more of it is kept. */
export const epochMsOf = ({ epochMs, redisUrls }: Config): number =>
  epochMs ?? (redisUrls === undefined ? 5 * MINUTE_MS : 60 * MINUTE_MS);

export const envName = (name: string): string => `METERFOLD_${name.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase()}`;

/** The value, or why it is none. */
type Read = { readonly value: unknown } | { readonly fault: string };

function readInteger(raw: unknown, { least = 0, most = Number.MAX_SAFE_INTEGER, zero = false }: Setting): Read {
  const value = typeof raw === 'string' && /^\d{1,16}$/.test(raw) ? Number(raw) : raw;
  if (zero && value === 0) return { value };
  const ok = Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
  return ok ? { value } : { fault: `${zero ? '0, or ' : ''}a whole number from ${least} to ${most}` };
}

function readSetting(setting: Setting, raw: unknown, dir: string): Read {
  switch (setting.type) {
    case 'integer':
      return readInteger(raw, setting);
    case 'boolean':
      if (raw === true || raw === 'true' || raw === '1') return { value: true };
      if (raw === false || raw === 'false' || raw === '0') return { value: false };
      return { fault: 'true or false' };
    case 'choice':
      return setting.choices?.includes(String(raw)) === true
        ? { value: raw }
        : { fault: (setting.choices ?? []).join(', ') };
    case 'tenants':
      return readTenants(raw);
    case 'list':
      return readList(raw);
    case 'modules':
      return readModules(raw, dir);
    case 'module':
      return isText(raw) ? { value: modulePath(raw, dir) } : { fault: MODULE };
    case 'text':
      return isText(raw, setting.least) ? { value: raw } : { fault: textOf(setting) };
    case 'privacy':
      return readPrivacy(raw);
  }
}

const isText = (raw: unknown, least = 1): raw is string => typeof raw === 'string' && raw.length >= least;
const textOf = ({ least }: Setting): string => (least === undefined ? 'a text' : `a text of at least ${least} characters`);

/** In the environment it is the YAML or JSON of what stands in the file. */
function readPrivacy(raw: unknown): Read {
  try {
    const value: unknown = typeof raw === 'string' ? parse(raw) : raw;
    if (isPrivacy(value)) return { value };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  }
  return { fault: 'EVENT_TYPE: { default: keep | hash | drop, properties: { PATH: keep | hash | drop } }' };
}

function readList(raw: unknown): Read {
  const list: unknown = typeof raw === 'string' ? raw.split(',').map((text) => text.trim()) : raw;
  const ok = Array.isArray(list) && list.length > 0 && list.every((text) => isText(text));
  return ok ? { value: Object.freeze([...list]) } : { fault: 'texts separated by commas' };
}

const MODULE = 'the name of a package, or a path that begins with ./, ../ or /';
const modulePath = (name: string, dir: string): string => (/^(\.\.?)?\//.test(name) ? resolve(dir, name) : name);

function readModules(raw: unknown, dir: string): Read {
  const list: unknown = typeof raw === 'string' ? raw.split(',').map((name) => name.trim()) : raw;
  if (!Array.isArray(list) || !list.every((name) => isText(name))) return { fault: `a list, each ${MODULE}` };
  return { value: Object.freeze(list.map((name) => modulePath(name, dir))) };
}

function readTenants(raw: unknown): Read {
  if (raw === 'open') return { value: raw };
  const list: unknown = typeof raw === 'string' ? raw.split(',').map((name) => name.trim()) : raw;
  const ok = Array.isArray(list) && list.length > 0 && list.every((name) => typeof name === 'string' && name !== '');
  return ok
    ? { value: Object.freeze([...new Set(list as string[])].sort()) }
    : { fault: 'open, or tenant ids separated by commas' };
}

function readFile(text: string | undefined, faults: string[]): Readonly<Record<string, unknown>> {
  if (text === undefined) return {};
  let parsed: unknown;
  try {
    parsed = parse(text) ?? {};
  } catch (error) {
    faults.push(`file: not YAML: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : ''}`);
    return {};
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Record<string, unknown>;
  faults.push('file: must be a map of settings');
  return {};
}

function unknownNames(env: Readonly<Record<string, unknown>>, file: Readonly<Record<string, unknown>>): string[] {
  const names = SETTINGS.map(({ name }) => name);
  const inFile = Object.keys(file).filter((name) => !names.includes(name));
  const known = new Set([...names.map(envName), ...names.map((name) => `${envName(name)}_FILE`), 'METERFOLD_CONFIG_FILE']);
  const inEnv = Object.keys(env).filter(
    (name) => name.startsWith('METERFOLD_') && !name.startsWith('METERFOLD_TEST_') && !known.has(name),
  );
  return [...inFile, ...inEnv].map((name) => `${name}: there is no such setting`);
}

/** Throws BAD_CONFIG, whose message lists every fault. */
export function parseConfig({ flags = {}, env = {}, file, fileDir = '.' }: ConfigInput): Config {
  const faults: string[] = [];
  const fromFile = readFile(file, faults);
  faults.push(...unknownNames(env, fromFile));
  const config: Record<string, unknown> = {};
  for (const setting of SETTINGS) {
    const { name } = setting;
    const given = flags[name] ?? env[envName(name)];
    const raw = given ?? fromFile[name] ?? setting.default;
    const dir = given === undefined ? fileDir : '.';
    const read: Read = raw === undefined ? { value: undefined } : readSetting(setting, raw, dir);
    if ('fault' in read)
      faults.push(
        `${name}: ${setting.secret === true ? 'the value' : JSON.stringify(raw)} is not allowed; allowed: ${read.fault}`,
      );
    else config[name] = read.value;
  }
  if (faults.length > 0) throw new MeterError('BAD_CONFIG', `read the configuration: ${faults.join('; ')}`);
  return Object.freeze(config) as unknown as Config;
}

/** For people: secrets are masked. */
export function shownConfig(config: Config): Readonly<Record<string, unknown>> {
  const values = config as unknown as Record<string, unknown>;
  return Object.fromEntries(
    SETTINGS.map(({ name, secret }) => [
      name,
      secret === true && values[name] !== undefined ? '****' : (values[name] ?? null),
    ]),
  );
}
