/** Privacy: what of an event is kept, hashed or dropped before the log. Pure: equal values give equal hashes under one secret. */
import { createHmac } from 'node:crypto';
import { canonicalJson } from './canonical.ts';
import { MAX_PROPERTIES_BYTES, type UsageEvent } from './event.ts';
import type { Schema, Schemas } from './event-schema.ts';
import { fault, type Fault } from './fault.ts';
import type { Meter, MeterSet } from './meter.ts';

const ACTIONS = ['keep', 'hash', 'drop'] as const;
export type PrivacyAction = (typeof ACTIONS)[number];

export interface TypePrivacy {
  /** Of properties that no path names; `keep` without it. */
  readonly default?: PrivacyAction;
  /** By path, such as `user.email`; the longest path that leads to a value decides. `subject` is the event's own, too. */
  readonly properties?: Readonly<Record<string, PrivacyAction>>;
}

/** By event type; `*` is for every type without an own entry. */
export type Privacy = Readonly<Record<string, TypePrivacy>>;

type Raw = Readonly<Record<string, unknown>>;
const isMap = (raw: unknown): raw is Raw => typeof raw === 'object' && raw !== null && !Array.isArray(raw);
const isAction = (raw: unknown): raw is PrivacyAction => ACTIONS.some((action) => action === raw);

/** Whether this is what the setting holds. */
export const isPrivacy = (raw: unknown): raw is Privacy => isMap(raw) && Object.values(raw).every(isTypePrivacy);

function isTypePrivacy(raw: unknown): boolean {
  if (!isMap(raw) || Object.keys(raw).some((name) => name !== 'default' && name !== 'properties')) return false;
  const { default: rest = 'keep', properties = {} } = raw;
  return (
    isAction(rest) && isMap(properties) && Object.entries(properties).every(([path, to]) => isPath(path) && isAction(to))
  );
}
const isPath = (path: string): boolean => path !== '' && path.split('.').every((name) => name !== '');

/** The rules of one event type. */
class Rules {
  readonly #paths: ReadonlyMap<string, PrivacyAction>;
  readonly #default: PrivacyAction;

  constructor({ default: rest = 'keep', properties = {} }: TypePrivacy) {
    this.#paths = new Map(Object.entries(properties));
    this.#default = rest;
  }

  /** The longest path that leads here decides. */
  at(path: string): PrivacyAction {
    for (let end = path.length; end > 0; end = path.lastIndexOf('.', end - 1)) {
      const found = this.#paths.get(path.slice(0, end));
      if (found !== undefined) return found;
    }
    return this.#default;
  }

  /** The default is for properties. */
  get subject(): PrivacyAction {
    return this.#paths.get('subject') ?? 'keep';
  }
}

type RulesOf = (eventType: string) => Rules | undefined;

function rulesOf(privacy: Privacy): RulesOf {
  const types = new Map(Object.entries(privacy).map(([type, rules]) => [type, new Rules(rules)]));
  return (eventType) => types.get(eventType) ?? types.get('*');
}

/** Whether any rule needs the secret. */
export const usesHashes = (privacy: Privacy): boolean =>
  Object.values(privacy).some((rules) => rules.default === 'hash' || Object.values(rules.properties ?? {}).includes('hash'));

/** The prefix tells a hash from a value. */
export const hashOf = (secret: Uint8Array, text: string): string =>
  `h:${createHmac('sha256', secret).update(text).digest('base64url')}`;

/** What shows that a secret is the one of before, and nothing else of it. */
export const secretPrint = (secret: Uint8Array): string =>
  createHmac('sha256', secret).update('meterfold: print of the privacy secret').digest('hex');

/** As it would be a group: a number and its text are the same. */
const textOf = (value: unknown): string => (typeof value === 'string' ? value : canonicalJson(value));

/** What the rules leave of an event. `secret` is there where a rule hashes. */
export function concealing(privacy: Privacy, secret: Uint8Array | undefined): (event: UsageEvent) => UsageEvent | Fault {
  const of = rulesOf(privacy);
  const hash = (value: unknown): unknown => {
    if (secret === undefined) throw new Error('a privacy rule hashes, and there is no secret');
    return value === null ? null : hashOf(secret, textOf(value));
  };
  const conceal = (value: unknown, action: PrivacyAction): unknown =>
    action === 'keep' ? value : action === 'hash' ? hash(value) : undefined;
  return (event) => {
    const rules = of(event.type);
    if (rules === undefined) return event;
    const subject = event.subject === null ? null : ((conceal(event.subject, rules.subject) ?? null) as string | null);
    if (event.properties === '{}') return { ...event, subject };
    const left = visit('', JSON.parse(event.properties), (path, value) => conceal(value, rules.at(path)));
    const properties = canonicalJson(left ?? {});
    if (Buffer.byteLength(properties) > MAX_PROPERTIES_BYTES) return fault('PROPERTIES_TOO_LARGE', 'properties', '');
    return { ...event, subject, properties };
  };
}

type Leave = (path: string, value: unknown) => unknown;

/**
 * Every single value by its path; those of a list have the path of the list. A map or list of which nothing is left goes, too:
 * its name may tell enough.
 */
function visit(path: string, value: unknown, leave: Leave): unknown {
  if (Array.isArray(value) && value.length > 0) {
    const left = value.map((one) => visit(path, one, leave)).filter((one) => one !== undefined);
    return left.length === 0 ? undefined : left;
  }
  if (!isMap(value) || Object.keys(value).length === 0) return leave(path, value);
  const left = Object.entries(value).flatMap(([name, inner]): [string, unknown][] => {
    const kept = visit(path === '' ? name : `${path}.${name}`, inner, leave);
    return kept === undefined ? [] : [[name, kept]];
  });
  return left.length === 0 ? undefined : Object.fromEntries(left);
}

/** What a meter needs and the rules take from it, in sentences that name both. */
export function unmeasurable(privacy: Privacy, { meters }: Pick<MeterSet, 'meters'>): readonly string[] {
  const of = rulesOf(privacy);
  return meters.flatMap((meter) => {
    const rules = of(meter.eventType);
    if (rules === undefined) return [];
    const needs = (path: string): string => `meter ${meter.key} needs ${path} of ${meter.eventType}`;
    const dropped = pathsOf(meter).filter((path) => rules.at(path) === 'drop');
    const hashed = meter.value === 'quantity' ? [] : [meter.value.join('.')].filter((path) => rules.at(path) === 'hash');
    return [
      ...dropped.map((path) => `${needs(path)}, which privacy drops`),
      ...hashed.map((path) => `${needs(path)} as a number, which privacy hashes`),
    ];
  });
}

/** What a schema asks of every event, and the rules take from it: no event of the type could pass. */
export function unkeepable(privacy: Privacy, schemas: Schemas): readonly string[] {
  const of = rulesOf(privacy);
  return [...schemas].flatMap(([eventType, { properties }]) => {
    const rules = of(eventType);
    const lost = rules === undefined ? [] : demanded(properties).filter((path) => rules.at(path) === 'drop');
    return lost.map((path) => `the schema of ${eventType} requires ${path}, which privacy drops`);
  });
}

/** Paths that every event has: what is required within what is required. */
function demanded(schema: Schema, path = ''): string[] {
  if (typeof schema === 'boolean') return [];
  const { required = [], properties = {} } = schema;
  return required.flatMap((name) => {
    const own = `${path}${name}`;
    const inner = Object.hasOwn(properties, name) ? demanded(properties[name] ?? true, `${own}.`) : [];
    return inner.length === 0 ? [own] : inner;
  });
}

const pathsOf = ({ value, groupBy, filter }: Meter): string[] => [
  ...new Set([...(value === 'quantity' ? [] : [value.join('.')]), ...groupBy, ...filter.keys()]),
];

/**
 * Meters whose filters also know the hash of each of their values, whatever the rules are now: what was hashed once stays
 * hashed in the archive, and must count the same when it is counted again.
 */
export function knowingHashes(meters: readonly Meter[], secret: Uint8Array | undefined): readonly Meter[] {
  if (secret === undefined) return meters;
  const both = (values: ReadonlySet<string>): ReadonlySet<string> =>
    new Set([...values, ...[...values].map((value) => hashOf(secret, value))]);
  return meters.map((meter) => ({
    ...meter,
    filter: new Map([...meter.filter].map(([name, values]) => [name, both(values)])),
  }));
}
