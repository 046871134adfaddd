/** `import { startMeterfold } from 'meterfold'`: the embedded product inside a program of your own. */
import { type Product, startProduct } from './cli/product.ts';
import { systemClock } from './clock.ts';
import { type Config, parseConfig } from './config.ts';
import type { EdgeProcessor } from './contract.ts';
import { type FailureCode, FAILURES, MeterError } from './errors.ts';
import { openLog } from './observe/log.ts';
import type { EventResult } from './serving/ingest.ts';
import type { Proof } from './serving/proof.ts';
import type { VerifyReport } from './verify/compare.ts';

export type { Config } from './config.ts';
export {
  type Batch,
  type Control,
  type EdgeEvent,
  type EdgeOutcome,
  type EdgeProcessor,
  END,
  type Lineage,
  type LogRecord,
  type Outgoing,
  type Position,
  type Producer,
  type Reader,
  type Source,
  type Written,
} from './contract.ts';
export { type FailureCode, type FailureKind, MeterError } from './errors.ts';
export type { Database, LogModule, LogModuleOptions, OpenedLog } from './log-module.ts';
export type { Clock } from './clock.ts';
export { partitionOf } from './domain/routing.ts';
export type { EventResult } from './serving/ingest.ts';
export type { LineageProof, Proof } from './serving/proof.ts';
export type { VerifyReport } from './verify/compare.ts';

/** Every setting of docs/configuration.md, by its name, and what only a program can give. All are optional. */
export interface MeterfoldOptions extends Partial<Omit<Config, 'port' | 'processors'>> {
  /** 0, the default, takes a free port; `none` listens nowhere: only this program asks. */
  readonly port?: number | 'none';
  /** Processors themselves, or modules that export one as `processor`. */
  readonly processors?: readonly (EdgeProcessor | string)[];
}

/** An event to send. Numbers of more than 15 significant digits are sent as text. */
export interface NewEvent {
  readonly tenant_id: string;
  readonly event_type: string;
  readonly quantity: string | number;
  /** Two events of a tenant with the same key are one. */
  readonly idempotency_key: string;
  /** ISO 8601, with its offset. */
  readonly event_timestamp: string;
  readonly subject?: string | null;
  readonly properties?: Readonly<Record<string, unknown>>;
}

/** Resolves when the log has acknowledged. Every event has its own result, in order. */
export interface Ingested {
  readonly accepted: number;
  readonly rejected: number;
  readonly filtered: number;
  readonly results: readonly EventResult[];
  /** Give it to a query as `after`, and the answer includes these events. */
  readonly token: string;
}

export interface Query {
  /** A whole minute, such as `2026-01-31T00:00Z`, or a day. */
  readonly from: string;
  /** Not included. */
  readonly to: string;
  /** Without it the sum over all. */
  readonly tenant?: string;
  readonly window?: 'minute' | 'hour' | 'day' | 'month' | 'range';
  /** IANA time zone of days and months; UTC without it. */
  readonly zone?: string;
  readonly groupBy?: readonly string[];
  readonly filter?: Readonly<Record<string, string>>;
  readonly after?: string;
}

export interface QueryAnswer {
  readonly meter: string;
  readonly unit: string | null;
  readonly tenant: string | null;
  readonly from: string;
  readonly to: string;
  readonly window: string;
  readonly zone: string;
  readonly rows: readonly {
    readonly start: string;
    readonly end: string;
    /** A decimal as text. */
    readonly value: string;
    readonly count: number;
    readonly group: Readonly<Record<string, string | null>>;
  }[];
  readonly proof: Proof;
}

export interface Meterfold extends AsyncDisposable {
  /** Where the HTTP API is served; undefined with port `none`. */
  readonly url: string | undefined;
  /**
   * Up to `maxEventsPerRequest` events at a time. What is wrong with an event is its result; throws LOG_UNAVAILABLE where the log
   * did not acknowledge: sending the same events again is harmless. `history` lifts the bound on the past.
   */
  ingest(events: readonly NewEvent[], options?: { readonly history?: boolean }): Promise<Ingested>;
  /** Throws UNKNOWN_METER, BAD_REQUEST, AFTER_TIMEOUT. */
  query(meter: string, query: Query): Promise<QueryAnswer>;
  /** Recounts everything from the archive and the log's tail, and compares. */
  verify(): Promise<VerifyReport>;
  /** Rejects when a part of the product stopped for good: nothing is wrong with what was answered, but nothing goes on. */
  readonly failed: Promise<never>;
  /** Finishes what is under way within `drainMs` and closes everything. Again, it does nothing. */
  close(): Promise<void>;
}

/** Lines on stderr are warnings, unless `logLevel` says otherwise. */
const QUIET = 'warn';

/**
 * Resolves once answers are served. Throws BAD_CONFIG, BAD_METERS, DATA_DIR_LOCKED, INSTALLATION_DIFFERS; nothing stays open
 * then.
 */
export async function startMeterfold(options: MeterfoldOptions = {}): Promise<Meterfold> {
  const { port = 0, processors = [], ...settings } = options;
  const modules = processors.filter((one) => typeof one === 'string');
  const given = processors.filter((one) => typeof one !== 'string');
  const flags = { logLevel: QUIET, ...settings, port: port === 'none' ? 0 : port };
  const config = parseConfig({ flags: { ...flags, ...(modules.length === 0 ? {} : { processors: modules }) } });
  const log = openLog({ level: config.logLevel });
  const listens = port !== 'none';
  const product = await startProduct(config, { clock: systemClock, random: Math.random, log, processors: given, listens });
  try {
    await Promise.race([product.ready(), product.failed]);
  } catch (error) {
    await product.close();
    throw error;
  }
  return handleOf(product, listens);
}

function handleOf(product: Product, listens: boolean): Meterfold {
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= product.close());
  // Whoever does not wait for it is told by what they ask: a failure must not end their process by itself.
  product.failed.catch(() => undefined);
  const ask = <T>(method: 'GET' | 'POST', url: string, body?: unknown): Promise<T> =>
    closing === undefined ? asked<T>(product, method, url, body) : Promise.reject(closed());
  return {
    url: listens ? product.url : undefined,
    failed: product.failed,
    ingest: (events, { history = false } = {}) => ask('POST', `/v1/events${history ? '?history=1' : ''}`, events),
    query: (meter, query) => ask('GET', `/v1/meters/${encodeURIComponent(meter)}/query?${paramsOf(query)}`),
    verify: () => ask('POST', '/v1/verify'),
    close,
    [Symbol.asyncDispose]: close,
  };
}

const closed = (): MeterError => new MeterError('BAD_REQUEST', 'ask Meterfold: it is closed');

/** By the server's own routes: the same checks and the same answers as over HTTP. */
async function asked<T>(product: Product, method: 'GET' | 'POST', url: string, body: unknown): Promise<T> {
  const headers = { host: 'localhost', ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const answer = product.app.inject({ method, url, headers, payload });
  const response = await Promise.race([answer, product.failed]);
  const content: unknown = JSON.parse(response.payload);
  if (response.statusCode >= 400) throw refusal(content as Problem);
  return content as T;
}

interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly field?: string;
  readonly value?: string;
  readonly allowed?: string;
}

const isCode = (code: string): code is FailureCode => Object.hasOwn(FAILURES, code);

function refusal({ code, detail, field, value, allowed }: Problem): Error {
  // A defect has no code of ours: the log says which it is.
  return isCode(code) ? new MeterError(code, detail, { field, value, allowed }) : new Error(`${code}: ${detail}`);
}

function paramsOf({ from, to, tenant, window, zone, groupBy, filter = {}, after }: Query): string {
  const params = new URLSearchParams({ from, to });
  const more = { tenant, window, zone, after, group_by: groupBy?.join(',') };
  for (const [name, value] of Object.entries(more)) if (value !== undefined) params.set(name, value);
  for (const [name, value] of Object.entries(filter)) params.append(`filter[${name}]`, value);
  return params.toString();
}
