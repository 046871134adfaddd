/** Kafka as a log: one topic, whose partitions are the lineages. */
import type { ConnectionOptions } from 'node:tls';
import type { Clock } from '../../clock.ts';
import type { Control, Lineage, Outgoing, Position, Producer, Source } from '../../contract.ts';
import { partitionOf } from '../../domain/routing.ts';
import { MeterError } from '../../errors.ts';
import { isEnd, offsetOf, positionOf } from '../postgres-position.ts';
import type { Node } from './api-metadata.ts';
import { Cluster } from './cluster.ts';
import type { Sasl } from './kafkajs.ts';
import { Links } from './links.ts';
import { offsetBounds, trimTo } from './offsets.ts';
import { PartitionReader } from './reader.ts';
import { controlRecord, eventRecord } from './records.ts';
import { demandSettings } from './topic-settings.ts';
import { type Outcome, PartitionWriter } from './writer.ts';

export interface KafkaLogOptions {
  /** `host:port` of any nodes of the cluster. */
  readonly brokers: readonly string[];
  readonly topic: string;
  /** Of this generation of the topic, as recorded at the first start: homes are by this number, whatever is added later. */
  readonly partitions: number;
  readonly clock: Clock;
  /** What `min.insync.replicas` of the topic has to be at least. 1 where there is one broker. */
  readonly minInsyncReplicas?: number;
  readonly clientId?: string;
  readonly tls?: ConnectionOptions;
  readonly sasl?: Sasl;
  /** How long a failure is tried again before it is told: longer than an election takes. */
  readonly patienceMs?: number;
  readonly connectMs?: number;
  readonly answerMs?: number;
  readonly fetchWaitMs?: number;
  readonly lingerMs?: number;
  readonly batchBytes?: number;
}

export interface KafkaLog extends Source, Producer {
  /** Waits for appends under way. Nothing may be asked any more. */
  close(): Promise<void>;
}

const DEFAULTS = {
  minInsyncReplicas: 2,
  clientId: 'meterfold',
  patienceMs: 15_000,
  connectMs: 5000,
  answerMs: 15_000,
  fetchWaitMs: 500,
  lingerMs: 5,
  batchBytes: 512 * 1024,
} as const;

/**
 * Throws LOG_MISCONFIGURED for a topic that is no immutable log, INSTALLATION_DIFFERS for one with fewer partitions than were
 * recorded, LOG_UNAVAILABLE.
 */
export async function openKafkaLog(options: KafkaLogOptions): Promise<KafkaLog> {
  const settings = { ...DEFAULTS, ...options };
  const links = new Links(settings);
  const cluster = new Cluster({ ...settings, links, seeds: options.brokers.map(nodeOf) });
  try {
    await cluster.refresh();
    demandPartitions(cluster.partitions.length, options);
    await demandSettings(cluster, settings.minInsyncReplicas);
  } catch (error) {
    await links.close();
    throw error;
  }
  return new Log(cluster, settings);
}

type Settings = KafkaLogOptions & Required<Pick<KafkaLogOptions, keyof typeof DEFAULTS>>;

class Log implements KafkaLog {
  readonly name: string;
  readonly #cluster: Cluster;
  readonly #settings: Settings;
  readonly #lineages: Lineage[] = [];
  readonly #writers: PartitionWriter[] = [];
  #readers = 0;

  constructor(cluster: Cluster, settings: Settings) {
    this.name = `kafka topic ${cluster.topic}`;
    this.#cluster = cluster;
    this.#settings = settings;
    this.#grow();
  }

  async lineages(): Promise<readonly Lineage[]> {
    await this.#cluster.refresh();
    this.#grow();
    return this.#lineages;
  }

  open(lineage: string, from: Position): PartitionReader {
    const { fetchWaitMs } = this.#settings;
    this.#readers += 1;
    const ports = { cluster: this.#cluster, fetchWaitMs, purpose: `read ${this.#readers}`, seen: () => undefined };
    return new PartitionReader(ports, { lineage, partition: this.#numberOf(lineage), from });
  }

  after = (position: Position): Position => positionOf(offsetOf(position) + 1);

  async bounds(lineage: string): Promise<{ first: Position; end: Position }> {
    const { first, end } = await offsetBounds(this.#cluster, this.#demand(lineage), `look at ${lineage}`);
    return { first: positionOf(first), end: positionOf(end) };
  }

  async trim(lineage: string, before: Position): Promise<number> {
    const to = isEnd(before) ? Number.MAX_SAFE_INTEGER : offsetOf(before);
    return trimTo(this.#cluster, this.#demand(lineage), to, `trim ${lineage}`);
  }

  append = (records: readonly Outgoing[]): Promise<Outcome[]> =>
    append(records, this.#writers.slice(0, this.#settings.partitions));

  /** Into added partitions as well: what foreign producers put there is read until it is brought home. */
  async control(control: Control): Promise<void> {
    const record = controlRecord(control);
    const outcomes = await Promise.all(this.#writers.map((writer) => writer.append([record])));
    const failure = outcomes.flat().find((outcome) => outcome instanceof Error);
    if (failure !== undefined) throw failure;
  }

  async close(): Promise<void> {
    await Promise.all(this.#writers.map((writer) => writer.idle()));
    await this.#cluster.links.close();
  }

  /** Partitions that were added since own no key: the homes of a generation do not move. */
  #grow(): void {
    const { partitions } = this.#settings;
    for (const { index } of this.#cluster.partitions.slice(this.#lineages.length)) {
      const id = `kafka.${this.#cluster.uuid}.${index}`;
      const owns = (routingKey: string): boolean => index < partitions && partitionOf(routingKey, partitions) === index;
      this.#lineages.push({ id, parents: [], depth: 0, origin: positionOf(0), owns });
      this.#writers.push(new PartitionWriter(this.#cluster, this.#writing, { lineage: id, partition: index }));
    }
  }

  get #writing(): ConstructorParameters<typeof PartitionWriter>[1] {
    const { clock, lingerMs, batchBytes, answerMs } = this.#settings;
    return { clock, lingerMs, batchBytes, compression: 0, ackMs: answerMs };
  }

  #numberOf(lineage: string): number | undefined {
    const found = this.#lineages.findIndex(({ id }) => id === lineage);
    return found < 0 ? undefined : found;
  }

  #demand(lineage: string): number {
    const found = this.#numberOf(lineage);
    if (found === undefined) throw new MeterError('LOG_REPLACED', `look at ${lineage}: there is no such partition`);
    return found;
  }
}

/** `host:port`, also with an IPv6 address in brackets. Throws BAD_CONFIG. */
function nodeOf(broker: string): Node {
  const [, host, port] = /^(?:\[([^\]]+)\]|[^:[\]]+):(\d{1,5})$/.exec(broker) ?? [];
  if (port === undefined)
    throw new MeterError('BAD_CONFIG', `open Kafka: ${broker} is no broker`, {
      field: 'brokers',
      value: broker,
      allowed: 'host:port',
    });
  return { host: host ?? broker.slice(0, broker.lastIndexOf(':')), port: Number(port) };
}

function demandPartitions(found: number, { topic, partitions }: KafkaLogOptions): void {
  if (found >= partitions) return;
  throw new MeterError('INSTALLATION_DIFFERS', `open the topic ${topic}: it has ${found} partitions`, {
    field: 'partitions',
    value: String(partitions),
    allowed: String(found),
  });
}

const refusal = ({ routingKey }: Outgoing): Error | undefined =>
  routingKey.includes('\0') || !routingKey.isWellFormed()
    ? new MeterError('BAD_REQUEST', `append: ${JSON.stringify(routingKey)} cannot be a routing key`, {
        field: 'routing_key',
      })
    : undefined;

/** Each record goes to its home partition; outcomes come back in the order of the records. */
async function append(records: readonly Outgoing[], writers: readonly PartitionWriter[]): Promise<Outcome[]> {
  const outcomes: (Outcome | undefined)[] = records.map(refusal);
  const homes = new Map<PartitionWriter, number[]>();
  records.forEach(({ routingKey }, place) => {
    const home = outcomes[place] === undefined ? writers[partitionOf(routingKey, writers.length)] : undefined;
    if (home === undefined) return;
    const there = homes.get(home);
    if (there === undefined) homes.set(home, [place]);
    else there.push(place);
  });
  const shares = [...homes].map(async ([writer, places]) => {
    const share = places.flatMap((place) => records[place] ?? []);
    const written = await writer.append(share.map(({ routingKey, value }) => eventRecord(routingKey, value)));
    places.forEach((place, n) => (outcomes[place] = written[n]));
  });
  await Promise.all(shares);
  return outcomes.map((outcome) => outcome ?? new MeterError('LOG_UNAVAILABLE', 'append: no partition answered'));
}
