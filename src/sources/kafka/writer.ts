/**
 * Appends to one partition, one request at a time; what comes meanwhile goes together in the next one. A batch that is sent
 * again is the same bytes under the same producer id and sequence, so that the broker keeps one of it. Once it is given up,
 * the id is too: under another content the same sequence would be acknowledged and not written.
 */
import type { Clock } from '../../clock.ts';
import { asError, MeterError } from '../../errors.ts';
import type { Outcome } from '../homes.ts';
import { positionOf } from '../positions.ts';
import { decodeProduce, encodeProduce, PRODUCE, PRODUCE_BY_NAME, PRODUCE_BY_UUID, type Produced } from './api-produce.ts';
import { type Cluster, type Leader, unavailable } from './cluster.ts';
import { demandNone, isSequenceLost } from './codes.ts';
import { encodeBatch, type OutgoingRecord } from './batch-encoder.ts';

export interface WriterOptions {
  readonly clock: Clock;
  /** How long a batch that is not full waits for more, ms. */
  readonly lingerMs: number;
  /** Bytes of keys and values in one batch; a larger record goes alone. */
  readonly batchBytes: number;
  /** The codec's number. */
  readonly compression: number;
  /** How long the broker waits for its replicas, ms. */
  readonly ackMs: number;
}

interface Waiting {
  readonly record: OutgoingRecord;
  readonly settle: (outcome: Outcome) => void;
}
interface Session {
  readonly producerId: string;
  readonly producerEpoch: number;
  sequence: number;
}

const MOST_RECORDS = 5000;
/** Writers of one node share so many connections: a broker answers one request of a connection at a time. */
const CONNECTIONS = 4;
/** Sequences are 31 bits and start again at 0. */
const SEQUENCES = 2 ** 31;
/** Of a transaction; an idempotent producer has none, and brokers want a number. */
const NO_TRANSACTION_MS = 60_000;

const sizeOf = ({ key, value }: OutgoingRecord): number => (key?.length ?? 0) + value.length;

export class PartitionWriter {
  readonly #cluster: Cluster;
  readonly #options: WriterOptions;
  readonly #lineage: string;
  readonly #partition: number;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #session: Session | undefined;

  constructor(cluster: Cluster, options: WriterOptions, { lineage, partition }: { lineage: string; partition: number }) {
    this.#cluster = cluster;
    this.#options = options;
    this.#lineage = lineage;
    this.#partition = partition;
  }

  /** One outcome a record, in order. Never rejects. */
  append(records: readonly OutgoingRecord[]): Promise<Outcome[]> {
    const outcomes = records.map((record) => new Promise<Outcome>((settle) => this.#waiting.push({ record, settle })));
    this.#running ??= this.#run();
    return Promise.all(outcomes);
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const { clock, lingerMs } = this.#options;
      if (lingerMs > 0 && !this.#isFull()) await clock.sleep(lingerMs);
      await this.#write(this.#take());
    }
    this.#running = undefined;
  }

  #isFull(): boolean {
    return this.#countOf(this.#waiting) < this.#waiting.length;
  }

  #take(): Waiting[] {
    const count = this.#countOf(this.#waiting);
    const taken = this.#waiting.slice(0, count);
    this.#waiting = this.#waiting.slice(count);
    return taken;
  }

  /** How many from the front make one batch, at least one. */
  #countOf(waiting: readonly Waiting[]): number {
    let [count, bytes] = [0, 0];
    for (const { record } of waiting) {
      bytes += sizeOf(record);
      if (count > 0 && (count >= MOST_RECORDS || bytes > this.#options.batchBytes)) break;
      count += 1;
    }
    return count;
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    let base: number;
    try {
      base = await this.#send(group.map(({ record }) => record));
    } catch (error) {
      // One that is too large must not take the others of its batch with it.
      if (error instanceof MeterError && error.kind === 'invalid' && group.length > 1) return this.#apart(group);
      for (const { settle } of group) settle(asError(error));
      return;
    }
    group.forEach(({ settle }, n) => settle({ lineage: this.#lineage, position: positionOf(base + n) }));
  }

  /** In halves, in order. */
  async #apart(group: readonly Waiting[]): Promise<void> {
    const half = group.length >> 1;
    await this.#write(group.slice(0, half));
    await this.#write(group.slice(half));
  }

  async #send(records: readonly OutgoingRecord[]): Promise<number> {
    try {
      return await this.#sendOnce(records);
    } catch (error) {
      if (!isSequenceLost(error)) throw error;
      // The broker has forgotten this producer, as it does after a day: under a new id it takes the batch.
      return this.#sendOnce(records);
    }
  }

  async #sendOnce(records: readonly OutgoingRecord[]): Promise<number> {
    const what = `append to ${this.#lineage}`;
    const { clock, compression } = this.#options;
    try {
      const session = (this.#session ??= await this.#begin(what));
      const batch = await encodeBatch(records, {
        compression,
        timestamp: clock.now(),
        producerId: session.producerId,
        producerEpoch: session.producerEpoch,
        firstSequence: session.sequence,
      });
      const { base } = await this.#cluster.withLeader(this.#partition, what, (leader) => this.#ask(leader, batch, what));
      session.sequence = (session.sequence + records.length) % SEQUENCES;
      return base;
    } catch (error) {
      this.#session = undefined;
      throw unavailable(error, what);
    }
  }

  #begin(what: string): Promise<Session> {
    return this.#cluster.withLeader(this.#partition, what, async ({ node }) => {
      const { producerId, producerEpoch } = await this.#cluster.links.with(node, this.#purpose, (broker) =>
        broker.initProducerId({ transactionTimeout: NO_TRANSACTION_MS }),
      );
      return { producerId, producerEpoch, sequence: 0 };
    });
  }

  get #purpose(): string {
    return `write ${this.#partition % CONNECTIONS}`;
  }

  async #ask({ node }: Leader, batch: Buffer, what: string): Promise<Produced> {
    const { links, topic, uuid } = this.#cluster;
    const newest = await links.with(node, this.#purpose, (broker) =>
      Promise.resolve(broker.versions[PRODUCE.key]?.maxVersion),
    );
    const version = (newest ?? 0) >= PRODUCE_BY_UUID ? PRODUCE_BY_UUID : PRODUCE_BY_NAME;
    const { ackMs: timeoutMs } = this.#options;
    const body = encodeProduce({ version, topic, uuid, partition: this.#partition, timeoutMs, batch });
    const decode = (payload: Buffer): Produced => decodeProduce(payload, version);
    const produced = await links.ask(node, this.#purpose, { api: { ...PRODUCE, version }, body, decode, waitMs: timeoutMs });
    demandNone(produced.error, what, produced.message);
    if (version === PRODUCE_BY_NAME) await this.#cluster.demandSameAt(node, this.#purpose, what);
    return produced;
  }
}
