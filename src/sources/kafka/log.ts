/** Kafka as a log: one topic, whose partitions are the lineages. */
import type { Control, Lineage, Outgoing, Position, Producer, Source, Standing } from '../../contract.ts';
import { partitionOf } from '../../domain/routing.ts';
import { MeterError } from '../../errors.ts';
import { appendHome, type Outcome } from '../homes.ts';
import { isEnd, offsetOf, placesBetween, positionOf } from '../positions.ts';
import { Cluster } from './cluster.ts';
import { isTopicUnknown } from './codes.ts';
import { demandCompression, registerCodecs } from './compression.ts';
import { Translation } from './formats.ts';
import { Group } from './group.ts';
import { Links } from './links.ts';
import { offsetBounds, trimTo } from './offsets.ts';
import { DEFAULTS, type KafkaLogOptions, nodeOf, type Settings, type Sharing } from './options.ts';
import { PartitionReader } from './reader.ts';
import { controlRecord, eventRecord } from './records.ts';
import { Registry } from './registry.ts';
import { Standings } from './standings.ts';
import { saslOf } from './security.ts';
import { demandSettings } from './topic-settings.ts';
import { PartitionWriter } from './writer.ts';

export type { KafkaLogOptions, Sharing } from './options.ts';

export interface KafkaLog extends Source, Producer {
  /** Of the partitions that this process reads. */
  standings(): readonly Standing[];
  /**
   * Shares the lineages with the other members of a group: `hold` is called for each that is ours, and its signal aborts when
   * it is to be given up. Another gets it once `hold` has resolved. Resolves when `stop` aborts and all is given up; throws
   * what `hold` threw.
   */
  share(group: Sharing, hold: (lineage: Lineage, giveUp: AbortSignal) => Promise<void>, stop: AbortSignal): Promise<void>;
  /** Waits for appends under way. Nothing may be asked any more. */
  close(): Promise<void>;
}

/**
 * Throws LOG_MISCONFIGURED for a topic that is no immutable log, INSTALLATION_DIFFERS for one with fewer partitions than were
 * recorded, LOG_UNAVAILABLE.
 */
export async function openKafkaLog(options: KafkaLogOptions): Promise<KafkaLog> {
  const settings = { ...DEFAULTS, ...options };
  registerCodecs();
  demandCompression(settings.compression);
  const cluster = await clusterOf(options);
  try {
    await demandTopic(cluster, options);
    await demandSettings(cluster, settings.minInsyncReplicas);
  } catch (error) {
    await cluster.links.close();
    throw error;
  }
  return new Log(cluster, settings);
}

/** Nobody has been asked yet. Throws BAD_CONFIG. */
export async function clusterOf(options: KafkaLogOptions): Promise<Cluster> {
  const settings = { ...DEFAULTS, ...options };
  const links = new Links({ ...settings, sasl: options.sasl && (await saslOf(options.sasl)) });
  return new Cluster({ ...settings, links, seeds: options.brokers.map(nodeOf) });
}

/** Throws LOG_MISCONFIGURED where there is no such topic, INSTALLATION_DIFFERS, LOG_UNAVAILABLE. */
export async function demandTopic(cluster: Cluster, options: KafkaLogOptions): Promise<void> {
  try {
    await cluster.refresh();
  } catch (error) {
    throw isTopicUnknown(error) ? noTopic(options, error) : error;
  }
  demandPartitions(cluster.partitions.length, options);
}

const nothing = (): void => undefined;

type Share = Parameters<KafkaLog['share']>[1];

class Log implements KafkaLog {
  readonly name: string;
  readonly #cluster: Cluster;
  readonly #settings: Settings;
  readonly #lineages: Lineage[] = [];
  readonly #writers: PartitionWriter[] = [];
  readonly #translation: Translation;
  readonly #standings: Standings;
  #readers = 0;

  constructor(cluster: Cluster, settings: Settings) {
    this.name = `kafka topic ${cluster.topic}`;
    this.#cluster = cluster;
    this.#settings = settings;
    const { registry, cloudEvents, clock, hungAfterMs } = settings;
    this.#translation = new Translation({ cloudEvents, registry: registry && new Registry(registry) });
    this.#standings = new Standings(clock, hungAfterMs);
    this.#grow();
  }

  async lineages(): Promise<readonly Lineage[]> {
    await this.#cluster.refresh();
    this.#grow();
    return [...this.#lineages];
  }

  open(lineage: string, from: Position): PartitionReader {
    const { fetchWaitMs } = this.#settings;
    this.#readers += 1;
    const of = { cluster: this.#cluster, translation: this.#translation, standings: this.#standings };
    const ports = { ...of, fetchWaitMs, purpose: `read ${this.#readers}` };
    return new PartitionReader(ports, { lineage, partition: this.#numberOf(lineage), from });
  }

  standings = (): readonly Standing[] => this.#standings.all((partition) => this.#at(partition).id);

  after = (position: Position): Position => positionOf(offsetOf(position) + 1);
  places = placesBetween;

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

  share(sharing: Sharing, hold: Share, stop: AbortSignal): Promise<void> {
    const { clock, sessionMs, heartbeatMs, rebalanceMs } = this.#settings;
    const quiet = { troubled: nothing, settled: nothing };
    const options = { ...quiet, ...sharing, cluster: this.#cluster, clock, sessionMs, heartbeatMs, rebalanceMs };
    const holdNumbered = (partition: number, giveUp: AbortSignal): Promise<void> => {
      this.#grow();
      return hold(this.#at(partition), giveUp);
    };
    return new Group(options, holdNumbered, stop).run();
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
      const owns = (routingKey: string): boolean => partitionOf(routingKey, partitions) === index;
      this.#lineages.push({ id, parents: [], depth: 0, origin: positionOf(0), owns });
      this.#writers.push(new PartitionWriter(this.#cluster, this.#writing, { lineage: id, partition: index }));
    }
  }

  get #writing(): ConstructorParameters<typeof PartitionWriter>[1] {
    const { clock, lingerMs, batchBytes, answerMs, compression } = this.#settings;
    return { clock, lingerMs, batchBytes, compression: demandCompression(compression), ackMs: answerMs };
  }

  #numberOf(lineage: string): number | undefined {
    const found = this.#lineages.findIndex(({ id }) => id === lineage);
    return found < 0 ? undefined : found;
  }

  #at(partition: number): Lineage {
    const found = this.#lineages[partition];
    if (found !== undefined) return found;
    throw new MeterError('LOG_REPLACED', `read partition ${partition} of ${this.#cluster.topic}: there is none`);
  }

  #demand(lineage: string): number {
    const found = this.#numberOf(lineage);
    if (found === undefined) throw new MeterError('LOG_REPLACED', `look at ${lineage}: there is no such partition`);
    return found;
  }
}

/** Never made here: how many copies there are, and for how long, is not ours to choose. */
const noTopic = ({ topic, partitions }: KafkaLogOptions, cause: unknown): MeterError =>
  new MeterError('LOG_MISCONFIGURED', `open the topic ${topic}: there is none`, {
    field: 'topic',
    value: topic,
    allowed: `a topic of ${partitions} partitions with cleanup.policy=delete, message.timestamp.type=LogAppendTime, min.insync.replicas=2`,
    cause,
  });

function demandPartitions(found: number, { topic, partitions }: KafkaLogOptions): void {
  if (found >= partitions) return;
  throw new MeterError('INSTALLATION_DIFFERS', `open the topic ${topic}: it has ${found} partitions`, {
    field: 'partitions',
    value: String(partitions),
    allowed: String(found),
  });
}

const append = (records: readonly Outgoing[], writers: readonly PartitionWriter[]): Promise<Outcome[]> =>
  appendHome(records, writers, (writer, share) =>
    writer.append(share.map(({ routingKey, value }) => eventRecord(routingKey, value))),
  );
