/** One topic of a cluster: who leads its partitions now, and trying again where that has changed. */
import type { Clock } from '../../clock.ts';
import { asError, MeterError } from '../../errors.ts';
import {
  decodeMetadata,
  encodeMetadata,
  METADATA,
  type Metadata,
  type Node,
  type PartitionState,
  type TopicState,
} from './api-metadata.ts';
import { demandNone, isSequenceLost, isTopicUnknown, UNKNOWN_TOPIC } from './codes.ts';
import type { Links } from './links.ts';

export interface ClusterOptions {
  readonly links: Links;
  readonly seeds: readonly Node[];
  readonly topic: string;
  readonly clock: Clock;
  /** How long a failure is tried again before it is told, ms. */
  readonly patienceMs: number;
}

export interface Leader {
  readonly node: Node;
  readonly epoch: number;
}

/** Between two tries: long enough for an election, short enough that nobody notices one. */
const [FIRST_WAIT_MS, LONGEST_WAIT_MS] = [20, 500];

export class Cluster {
  readonly topic: string;
  readonly links: Links;
  readonly #options: ClusterOptions;
  #nodes: ReadonlyMap<number, Node> = new Map();
  #partitions: readonly PartitionState[] = [];
  #uuid: string | undefined;
  #refreshing: Promise<void> | undefined;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.topic = options.topic;
    this.links = options.links;
  }

  /** Of the topic, in Kafka's own. Known once a refresh has succeeded. */
  get uuid(): string {
    return this.#uuid ?? '';
  }
  /** As of the last refresh. */
  get partitions(): readonly PartitionState[] {
    return this.#partitions;
  }
  /** Any node that is known. */
  get nodes(): readonly Node[] {
    return [...this.#nodes.values(), ...this.#options.seeds];
  }

  /** Looks who leads what. Throws LOG_REPLACED for another topic under the same name, LOG_UNAVAILABLE. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /**
   * Throws LOG_REPLACED where this node knows another topic under the name. What it has taken by name before it answers went
   * to the one that is ours: a node tells of a topic before it writes for it.
   */
  async demandSameAt(node: Node, purpose: string, what: string): Promise<void> {
    const { topic } = await this.#look(node, purpose, what);
    this.#demandSame(topic.uuid, what);
  }

  /**
   * What `use` answers when it is given the leader of a partition. What may pass is tried again, with the leaders of then,
   * until the patience ends, or `giveUp` aborts. Throws LOG_UNAVAILABLE, LOG_REPLACED, and what `use` throws of another kind.
   */
  async withLeader<T>(
    partition: number,
    what: string,
    use: (leader: Leader) => Promise<T>,
    giveUp?: AbortSignal,
  ): Promise<T> {
    const { clock, patienceMs } = this.#options;
    const began = clock.now();
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      try {
        if (giveUp?.aborted === true) throw new MeterError('LOG_UNAVAILABLE', `${what}: given up`);
        return await use(this.#leaderOf(partition, what));
      } catch (error) {
        if (isSequenceLost(error) || (error instanceof MeterError && error.kind !== 'transient')) throw error;
        if (giveUp?.aborted === true) throw unavailable(error, what);
        // A clock that was set back counts as time gone by: patience is no promise.
        if (Math.abs(clock.now() - began) >= patienceMs) throw this.#outcome(error, what);
        await clock.sleep(waitMs, giveUp);
        await this.#refreshed(error, what);
      }
    }
  }

  /** As above, with any node. */
  async withAny<T>(what: string, use: (node: Node) => Promise<T>): Promise<T> {
    let failure: Error | undefined;
    for (const node of this.nodes) {
      try {
        return await use(node);
      } catch (error) {
        if (error instanceof MeterError && error.kind !== 'transient') throw error;
        failure = asError(error);
      }
    }
    throw unavailable(failure, what);
  }

  /** The leaders that `error` may have told of. Not reaching anyone is no reason to stop trying; another topic is. */
  async #refreshed(because: unknown, what: string): Promise<void> {
    try {
      await this.refresh();
    } catch (error) {
      if (error instanceof MeterError && error.kind !== 'transient')
        throw new MeterError(error.code, `${what}: ${error.message}`, { cause: because });
    }
  }

  #leaderOf(partition: number, what: string): Leader {
    const state = this.#partitions[partition];
    const node = this.#nodes.get(state?.leader ?? -1);
    if (state === undefined || node === undefined)
      throw new MeterError('LOG_UNAVAILABLE', `${what}: nobody leads partition ${partition} of ${this.topic}`);
    return { node, epoch: state.epoch };
  }

  #outcome(error: unknown, what: string): MeterError {
    if (!isTopicUnknown(error)) return unavailable(error, what);
    return new MeterError('LOG_REPLACED', `${what}: there is no topic ${this.topic} with the uuid ${this.uuid}`, {
      cause: error,
    });
  }

  async #refresh(): Promise<void> {
    const what = `look up the topic ${this.topic}`;
    const { nodes, topic } = await this.withAny(what, (node) => this.#look(node, 'look', what));
    this.#uuid ??= topic.uuid;
    this.#demandSame(topic.uuid, what);
    // A node that has not heard of added partitions yet takes none away.
    if (topic.partitions.length >= this.#partitions.length) this.#partitions = topic.partitions;
    this.#nodes = nodes;
  }

  async #look(node: Node, purpose: string, what: string): Promise<Metadata & { readonly topic: TopicState }> {
    const body = encodeMetadata(this.topic);
    const { nodes, topic } = await this.links.ask(node, purpose, { api: METADATA, body, decode: decodeMetadata });
    demandNone(topic?.error ?? UNKNOWN_TOPIC, what);
    if (topic === undefined) throw new RangeError(`${what}: the answer names no topic`);
    return { nodes, topic };
  }

  #demandSame(found: string, what: string): void {
    if (found === this.#uuid) return;
    throw new MeterError('LOG_REPLACED', `${what}: it was made again; its uuid is ${found}, not ${this.uuid}`, {
      value: found,
      allowed: 'a topic that is kept: what another one holds was never read',
    });
  }
}

/** A failure of the network or of kafkajs as one of ours. */
export function unavailable(error: unknown, what: string): MeterError {
  if (error instanceof MeterError) return error;
  return new MeterError('LOG_UNAVAILABLE', `${what}: ${error === undefined ? 'no node answers' : asError(error).message}`, {
    cause: error,
  });
}
