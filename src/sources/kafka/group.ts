/**
 * A group of processes that share a topic's partitions. Membership says who should read what, and nothing more: where two read
 * one, fences decide. Hence our own protocol over Kafka's: members go on while the group is formed anew, and only what changes
 * hands stops.
 */
import type { Clock } from '../../clock.ts';
import { MeterError } from '../../errors.ts';
import type { Node } from './api-metadata.ts';
import { assign, type Member } from './assignor.ts';
import { type Cluster, unavailable } from './cluster.ts';
import { type Hold, Holdings } from '../holdings.ts';
import type { Broker } from './kafkajs.ts';

export interface GroupOptions {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly groupId: string;
  /** A member that is not heard of for so long is taken for dead. */
  readonly sessionMs: number;
  readonly heartbeatMs: number;
  /** How long the others wait for a member when the group is formed anew. Members that live join within a heartbeat. */
  readonly rebalanceMs: number;
  /** Told of each failure that is waited out. */
  readonly troubled: (error: unknown) => void;
  /** This process has its share. */
  readonly settled: () => void;
}

/** Not Kafka's `consumer`: tools that reset a consumer's offsets must not take this for one. */
export const PROTOCOL = 'meterfold';
/** The version of what members tell each other. */
const NAME = 'held-1';
const GROUP = 0;
const PURPOSE = 'group';

interface Generation {
  readonly node: Node;
  readonly id: number;
}

const typeOf = (error: unknown): string => (error as { readonly type?: string } | undefined)?.type ?? '';

export class Group {
  readonly #options: GroupOptions;
  readonly #stop: AbortSignal;
  readonly #holdings: Holdings<number>;
  #memberId = '';
  #heardAt: number;
  #wake = new AbortController();
  /** How many partitions there were when this member, as the leader, shared them out; undefined where another leads. */
  #shared: number | undefined;

  constructor(options: GroupOptions, hold: Hold<number>, stop: AbortSignal) {
    this.#options = options;
    this.#stop = stop;
    this.#heardAt = options.clock.now();
    this.#holdings = new Holdings(hold, () => this.#wake.abort());
  }

  /** Resolves once `stop` aborts and all is drained and left. Throws what `hold` threw. */
  async run(): Promise<void> {
    const wake = (): void => this.#wake.abort();
    this.#stop.addEventListener('abort', wake, { once: true });
    try {
      while (!this.#isOver) await this.#term();
    } finally {
      this.#stop.removeEventListener('abort', wake);
      await this.#leave();
    }
    if (this.#holdings.failure !== undefined) throw this.#holdings.failure;
  }

  get #isOver(): boolean {
    return this.#stop.aborted || this.#holdings.failure !== undefined;
  }

  /** One generation of the group. What fails is tried again; who is not heard of for a session gives up what it holds. */
  async #term(): Promise<void> {
    try {
      const generation = await this.#join();
      while (!this.#isOver && (await this.#beat(generation)) === 'stay');
    } catch (error) {
      if (error instanceof MeterError && error.kind !== 'transient') throw error;
      this.#options.troubled(error);
      if (typeOf(error) === 'UNKNOWN_MEMBER_ID' || typeOf(error) === 'FENCED_INSTANCE_ID') this.#memberId = '';
      const { clock, sessionMs, heartbeatMs } = this.#options;
      if (Math.abs(clock.now() - this.#heardAt) >= sessionMs) this.#holdings.assign([]);
      await clock.sleep(heartbeatMs, this.#stop);
    }
  }

  async #join(): Promise<Generation> {
    const { cluster, groupId, sessionMs, rebalanceMs } = this.#options;
    await cluster.refresh();
    const node = await this.#coordinator();
    this.#wake = new AbortController();
    const metadata = Buffer.from(JSON.stringify({ held: this.#holdings.held }));
    const joined = await this.#with(node, (broker) =>
      broker.joinGroup({
        groupId,
        sessionTimeout: sessionMs,
        rebalanceTimeout: rebalanceMs,
        memberId: this.#memberId,
        protocolType: PROTOCOL,
        groupProtocols: [{ name: NAME, metadata }],
      }),
    );
    const { memberId, generationId, leaderId, members } = joined;
    this.#memberId = memberId;
    const isLeader = leaderId === memberId;
    this.#shared = isLeader ? cluster.partitions.length : undefined;
    const groupAssignment = isLeader ? sharesOf(cluster.partitions.length, members) : [];
    const { memberAssignment } = await this.#with(node, (broker) =>
      broker.syncGroup({ groupId, generationId, memberId, groupAssignment }),
    );
    this.#heardAt = this.#options.clock.now();
    this.#options.settled();
    this.#holdings.assign(memberAssignment.length === 0 ? [] : (JSON.parse(memberAssignment.toString()) as number[]));
    return { node, id: generationId };
  }

  /** `join`: the group is formed anew, or something that others wait for was given up. */
  async #beat({ node, id }: Generation): Promise<'stay' | 'join'> {
    const { cluster, clock, groupId, heartbeatMs } = this.#options;
    await clock.sleep(heartbeatMs, this.#wake.signal);
    if (this.#isOver) return 'stay';
    if (this.#wake.signal.aborted) return 'join';
    try {
      await this.#with(node, (broker) => broker.heartbeat({ groupId, groupGenerationId: id, memberId: this.#memberId }));
    } catch (error) {
      if (typeOf(error) === 'REBALANCE_IN_PROGRESS') return 'join';
      throw error;
    }
    this.#heardAt = clock.now();
    // The leader looks whether partitions were added.
    if (this.#shared === undefined) return 'stay';
    await cluster.refresh();
    return cluster.partitions.length === this.#shared ? 'stay' : 'join';
  }

  async #leave(): Promise<void> {
    await this.#holdings.drain();
    // What it held is drained: where this fails, it is taken for dead after a session, and nothing is at stake.
    await this.#tellLeave().catch(() => undefined);
    await this.#options.cluster.links.drop(PURPOSE);
  }

  async #tellLeave(): Promise<void> {
    const { groupId } = this.#options;
    if (this.#memberId === '') return;
    const node = await this.#coordinator();
    await this.#with(node, (broker) => broker.leaveGroup({ groupId, memberId: this.#memberId }));
  }

  async #coordinator(): Promise<Node> {
    const { cluster, groupId } = this.#options;
    const what = `find who coordinates ${groupId}`;
    const { coordinator } = await cluster.withAny(what, (node) =>
      this.#with(node, (broker) => broker.findGroupCoordinator({ groupId, coordinatorType: GROUP })),
    );
    return { host: coordinator.host, port: coordinator.port };
  }

  async #with<T>(node: Node, use: (broker: Broker) => Promise<T>): Promise<T> {
    const { cluster, groupId } = this.#options;
    try {
      return await cluster.links.with(node, PURPOSE, use);
    } catch (error) {
      // Its type tells what to do next.
      if (typeOf(error) !== '') throw error;
      throw unavailable(error, `share ${cluster.topic} in the group ${groupId}`);
    }
  }
}

function sharesOf(
  partitions: number,
  members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[],
): { memberId: string; memberAssignment: Buffer }[] {
  const all = members.map(({ memberId, memberMetadata }): Member => {
    const { held } = JSON.parse(memberMetadata.toString()) as Pick<Member, 'held'>;
    return { id: memberId, held };
  });
  return [...assign(partitions, all)].map(([memberId, share]) => ({
    memberId,
    memberAssignment: Buffer.from(JSON.stringify(share)),
  }));
}
