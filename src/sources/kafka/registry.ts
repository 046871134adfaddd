/**
 * Confluent's wire format: a zero, the id of a schema in four bytes, then the event. The id stands for one schema for ever, so
 * it is asked for once. https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html
 */
import avsc from 'avsc';
import { encodeWireEvent } from '../../domain/avro.ts';
import { canonicalSchema, eventType, type WireEvent } from '../../domain/wire.ts';
import { asError, MeterError } from '../../errors.ts';

export interface RegistryOptions {
  readonly url: string;
  readonly user?: string;
  readonly password?: string;
  /** For an answer, ms. */
  readonly timeoutMs?: number;
  /** Ids that no schema is waited for: their records are rejected. */
  readonly refusedIds?: readonly number[];
}

/** Undefined where the bytes are no event of the schema: the record is rejected as it is. */
type Translate = (body: Buffer) => Uint8Array | undefined;
const REFUSED: Translate = () => undefined;

const HEAD_BYTES = 5;
const TIMEOUT_MS = 10_000;

export class Registry {
  readonly #options: RegistryOptions;
  readonly #known = new Map<number, Translate>();

  constructor(options: RegistryOptions) {
    this.#options = options;
    for (const id of options.refusedIds ?? []) this.#known.set(id, REFUSED);
  }

  /**
   * Fetches the schemas that these need. Throws LOG_UNAVAILABLE, also for an id that the registry does not know: it may be
   * given to a schema later, and a record that was rejected before would have been another on a replay.
   */
  async prepare(values: readonly Buffer[]): Promise<void> {
    const ids = new Set(values.flatMap((value) => idOf(value) ?? []));
    for (const id of ids) if (!this.#known.has(id)) this.#known.set(id, await this.#fetch(id));
  }

  /** Undefined where it is of another format, or no event. */
  valueOf(value: Buffer): Uint8Array | undefined {
    const id = idOf(value);
    return id === undefined ? undefined : this.#known.get(id)?.(value.subarray(HEAD_BYTES));
  }

  async #fetch(id: number): Promise<Translate> {
    const { url, timeoutMs = TIMEOUT_MS } = this.#options;
    const what = `look up schema ${id} at ${new URL(url).host}`;
    let answer: Response;
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      answer = await fetch(new URL(`schemas/ids/${id}`, asFolder(url)), { headers: this.#headers(), signal });
    } catch (cause) {
      throw new MeterError('LOG_UNAVAILABLE', `${what}: ${asError(cause).message}`, { cause });
    }
    if (!answer.ok) {
      const allowed = 'register the schema, or name the id in `refusedIds`: its records are then rejected';
      throw new MeterError('LOG_UNAVAILABLE', `${what}: it answers ${answer.status}`, { value: String(id), allowed });
    }
    return translateBy(await answer.json());
  }

  #headers(): Record<string, string> {
    const { user, password = '' } = this.#options;
    const accept = { accept: 'application/vnd.schemaregistry.v1+json' };
    if (user === undefined) return accept;
    return { ...accept, authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
  }
}

/** Else the last part of its path would be replaced. */
const asFolder = (url: string): string => (url.endsWith('/') ? url : `${url}/`);

function idOf(value: Buffer): number | undefined {
  return value.length >= HEAD_BYTES && value[0] === 0 ? value.readUInt32BE(1) : undefined;
}

/** What a registry says of a schema: Avro where it names no type. */
function translateBy(answer: unknown): Translate {
  const { schema, schemaType = 'AVRO' } = answer as { readonly schema?: unknown; readonly schemaType?: unknown };
  if (schemaType === 'JSON') return (body) => body;
  if (schemaType !== 'AVRO' || typeof schema !== 'string') return REFUSED;
  try {
    return translateAvro(avsc.Type.forSchema(JSON.parse(schema) as avsc.Schema, { registry: {}, wrapUnions: 'never' }));
  } catch {
    // No Avro schema, or none whose values are events: every record of it is rejected, the same on every replay.
    return REFUSED;
  }
}

/** Throws where a value of the schema cannot be read as an event. */
function translateAvro(writer: avsc.Type): Translate {
  // The same schema: the bytes are left alone, and `decode` judges them.
  if (canonicalSchema(writer) === canonicalSchema(eventType)) return (body) => encodeWireEvent(body);
  const resolver = eventType.createResolver(writer);
  return (body) => {
    try {
      const event = eventType.fromBuffer(body, resolver) as WireEvent;
      return isText(event) ? encodeWireEvent(eventType.toBuffer(event)) : undefined;
    } catch {
      return undefined;
    }
  };
}

/** Bytes that are not UTF-8 are read as U+FFFD, which would make two keys one. */
const isText = (event: WireEvent): boolean =>
  Object.values(event).every((value) => typeof value !== 'string' || !value.includes('\ufffd'));
