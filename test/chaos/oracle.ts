/**
 * The oracle: reads the topic itself, with a client of another author, and says what an answer must be at the positions that its
 * proof names. It imports nothing of Meterfold: the rules are those of docs/guarantees.md, written down a second time.
 */
import { readFileSync } from 'node:fs';
import avsc from 'avsc';
import { type Consumer, type Kafka, type KafkaMessage, Partitioners } from 'kafkajs';
import { Books, type Copy, type Gap, idOf, isIn, nameOfGap } from './books.ts';

export interface Answer {
  readonly rows: readonly { readonly start: string; readonly value: string; readonly count: number }[];
  readonly proof: {
    readonly state: 'exact' | 'provisional';
    readonly reason?: string;
    readonly lineages: readonly {
      readonly lineage: string;
      readonly batch: { readonly position: string };
      readonly speed: readonly { readonly bucket: number; readonly fence: string | null }[];
      readonly reaches: readonly { readonly bucket: number; readonly position: string }[];
    }[];
    readonly gaps?: readonly NamedGap[];
  };
}

/** As answers and `/v1/gaps` name it. */
export interface NamedGap {
  readonly lineage: string;
  readonly from: string;
  readonly to: string;
}

export interface Asked {
  /** Undefined: all of them. */
  readonly tenant: string | undefined;
  readonly type: string;
  /** [from, to), ms. */
  readonly from: number;
  readonly to: number;
}

export interface Truth {
  readonly value: bigint;
  readonly count: number;
}

const DIGITS = 12;
const FUTURE_MS = 5 * 60_000;
const schema = JSON.parse(readFileSync(new URL('../../schemas/usage_event.v1.avsc', import.meta.url), 'utf8'));
const avro = avsc.Type.forSchema(schema, { wrapUnions: 'never' });
/** Marker and fingerprint of a single object. */
const AVRO_HEAD = 10;
const OPENING_BRACE = 0x7b;

/** An integer of 10^-12; undefined for what is no decimal, or negative. */
export function scaled(text: string): bigint | undefined {
  const [, whole, fraction = ''] = /^(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  return whole === undefined || fraction.length > DIGITS ? undefined : BigInt(whole + fraction.padEnd(DIGITS, '0'));
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

type Read = Omit<Copy, 'offset' | 'partition'> | undefined;

function fromJson(value: Buffer): Read {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(value.toString());
  } catch {
    return undefined;
  }
  const quantity = scaled(String(fields.quantity));
  const [tenant, type, key] = [fields.tenant_id, fields.event_type, fields.idempotency_key].map(text);
  const at = Date.parse(String(fields.event_timestamp));
  if (quantity === undefined || tenant === undefined || type === undefined || key === undefined) return undefined;
  return Number.isNaN(at) ? undefined : { tenant, type, key, quantity, at };
}

function fromAvro(value: Buffer): Read {
  const event = avro.fromBuffer(value.subarray(AVRO_HEAD));
  const quantity = BigInt(`0x0${event.quantity.toString('hex')}`);
  const { tenant_id: tenant, event_type: type, idempotency_key: key } = event;
  return { tenant, type, key, quantity, at: event.event_timestamp / 1000 };
}

const isControl = ({ headers }: KafkaMessage): boolean => headers?.meterfold?.toString() === 'control';
const partition = Partitioners.DefaultPartitioner();

/** After a broker died it reads again as soon as brokers let it: they take no shorter session. */
const MISSED = { sessionTimeout: 6000, rebalanceTimeout: 6000, heartbeatInterval: 500 } as const;

/** `kafka.<uuid>.<partition>`. */
const partitionOf = (lineage: string): number => Number(lineage.slice(lineage.lastIndexOf('.') + 1));

const gapOf = ({ lineage, from, to }: NamedGap): Gap => ({
  ...{ partition: partitionOf(lineage), from: Number(from), to: Number(to) },
});

export class Oracle {
  readonly #kafka: Kafka;
  readonly #topic: string;
  /** As of the installation's first start: homes do not move when more are added. */
  readonly #partitions: number;
  #consumer: Consumer | undefined;
  /** By partition: the offset that is read next. */
  readonly #next: number[] = [];
  readonly #copies: Copy[] = [];
  readonly #away: Copy[] = [];
  /** tenant and key of what lies at home, or lay there; and of what was lost on its way. */
  readonly #known = new Set<string>();
  /** By the gaps that they are of. */
  readonly #books = new Map<string, Books>();
  /** Those of before the row, which later answers to other ranges do not name. */
  #gaps: readonly Gap[] = [];
  /** The bucket of each tenant, as the proofs of its own answers name it. */
  readonly #buckets = new Map<string, number>();

  constructor(kafka: Kafka, topic: string, partitions: number) {
    this.#kafka = kafka;
    this.#topic = topic;
    this.#partitions = partitions;
  }

  /** From the beginning; what was read before stands. */
  async start(): Promise<void> {
    const groupId = `oracle-${this.#topic}`;
    const retry = { retries: 1000, maxRetryTime: 500 };
    const consumer = this.#kafka.consumer({ groupId, maxWaitTimeInMs: 50, ...MISSED, retry });
    this.#consumer = consumer;
    await consumer.connect();
    await consumer.subscribe({ topics: [this.#topic], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: ({ batch }) => {
        for (const message of batch.messages) this.#take(batch.partition, message);
        return Promise.resolve();
      },
    });
  }

  async stop(): Promise<void> {
    await this.#consumer?.disconnect();
  }

  #take(at: number, message: KafkaMessage): void {
    const offset = Number(message.offset);
    // After a failure the consumer begins again: what was read stands.
    if (offset < (this.#next[at] ?? 0)) return;
    this.#next[at] = offset + 1;
    const { value } = message;
    if (value === null || isControl(message)) return;
    const event = value[0] === OPENING_BRACE ? fromJson(value) : fromAvro(value);
    if (event === undefined || event.at > Number(message.timestamp) + FUTURE_MS) return;
    const copy = { ...event, partition: at, offset };
    if (this.#homeOf(event.tenant) !== at) {
      this.#away.push(copy);
      return;
    }
    this.#known.add(idOf(copy));
    this.#copies.push(copy);
    for (const books of this.#books.values()) books.take(copy);
  }

  #booksOf(gaps: readonly Gap[]): Books {
    const name = gaps.map(nameOfGap).sort().join();
    let books = this.#books.get(name);
    if (books === undefined) {
      books = new Books(gaps);
      for (const copy of this.#copies) books.take(copy);
      this.#books.set(name, books);
    }
    return books;
  }

  #homeOf(tenant: string): number {
    const partitionMetadata = Array.from({ length: this.#partitions }, (_, partitionId) => ({ partitionId, leader: 0 }));
    const given = { topic: this.#topic, partitionMetadata: partitionMetadata as never };
    return partition({ ...given, message: { key: tenant, value: null } });
  }

  /** By partition: where it reads next. */
  get ends(): readonly number[] {
    return [...this.#next];
  }

  /** Whether the log has been read as far as the proof reaches. */
  covers = ({ lineages }: Answer['proof']): boolean =>
    lineages.every(({ lineage, reaches }) =>
      reaches.every(({ position }) => Number(position) <= (this.#next[partitionOf(lineage)] ?? 0)),
    );

  /** Whether a copy lies at home, or lay there or elsewhere before retention took it. */
  knows = (tenant: string, key: string): boolean => this.#known.has(idOf({ tenant, key }));

  /** These are gone: every answer that has folded them is without them, whether it names them or not. */
  lose(gaps: readonly NamedGap[]): void {
    const lost = gaps.map(gapOf);
    this.#gaps = [...this.#gaps, ...lost];
    for (const copy of this.#away) if (lost.some((gap) => isIn(gap, copy))) this.#known.add(idOf(copy));
  }

  /** The gaps that an answer has folded: it was counted without them from then on. */
  #foldedBy({ lineages, gaps = [] }: Answer['proof']): readonly Gap[] {
    const cuts = new Map(lineages.map(({ lineage, batch }) => [partitionOf(lineage), Number(batch.position)]));
    const all = new Map([...this.#gaps, ...gaps.map(gapOf)].map((gap) => [nameOfGap(gap), gap]));
    return [...all.values()].filter(({ partition: at, to }) => to <= (cuts.get(at) ?? 0));
  }

  /** A fault in its own books, to show that a comparison notices one: the first of these events is forgotten, until it is told. */
  forget({ tenant = '', type }: Asked): () => void {
    const lists = [...this.#books.values()].flatMap(({ counted }) =>
      [...(counted.get(type)?.get(tenant)?.values() ?? [])].slice(0, 1),
    );
    const firsts = lists.map((list) => list.shift());
    return () => lists.forEach((list, n) => firsts[n] !== undefined && list.unshift(firsts[n]));
  }

  /** What the answer must be. Undefined while the bucket of a tenant in it is not known. */
  truth({ tenant, type, from, to }: Asked, proof: Answer['proof']): Truth | undefined {
    if (tenant !== undefined) this.#learn(tenant, proof);
    const all = this.#booksOf(this.#foldedBy(proof)).counted.get(type) ?? new Map<string, Map<number, Copy[]>>();
    const chosen = tenant === undefined ? [...all.keys()] : [tenant];
    if (chosen.some((one) => !this.#buckets.has(one))) return undefined;
    let [value, count] = [0n, 0];
    for (const { lineage, reaches } of proof.lineages) {
      const reach = new Map(reaches.map(({ bucket, position }) => [bucket, Number(position)]));
      for (const one of chosen) {
        const end = reach.get(this.#buckets.get(one) ?? -1) ?? 0;
        for (const { offset, at, quantity } of all.get(one)?.get(partitionOf(lineage)) ?? []) {
          if (offset >= end) break;
          if (at < from || at >= to) continue;
          value += quantity;
          count += 1;
        }
      }
    }
    return { value, count };
  }

  /** A tenant without spread lies in one bucket, and stays there. */
  #learn(tenant: string, { lineages }: Answer['proof']): void {
    const buckets = new Set(lineages.flatMap(({ reaches }) => reaches.map(({ bucket }) => bucket)));
    const [bucket = -1] = buckets;
    const known = this.#buckets.get(tenant) ?? bucket;
    if (buckets.size > 1 || known !== bucket)
      throw new Error(`${tenant} was in bucket ${known}, now in ${[...buckets].join()}`);
    this.#buckets.set(tenant, bucket);
  }
}

/** Whether an answer holds all that lay in the log before these ends. */
export const reachesTo = ({ lineages }: Answer['proof'], ends: readonly number[]): boolean =>
  lineages.every(({ lineage, reaches }) =>
    reaches.every(({ position }) => Number(position) >= (ends[partitionOf(lineage)] ?? 0)),
  );
