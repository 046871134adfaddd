/**
 * Topics that are the log one after the other. All partitions of one are the parents of all partitions of the next; what is
 * written behind the end of a partition, by producers that have not heard, is the lineage `ID~tail`: it owns no key, and comes
 * home by the outbox.
 */
import type { Clock } from '../../clock.ts';
import {
  type Control,
  END,
  type Lineage,
  type Outgoing,
  type Position,
  type Producer,
  type Reader,
  type Sharing,
  type SharingHealth,
  type Source,
  type Standing,
  type Written,
} from '../../contract.ts';
import { asError, MeterError } from '../../errors.ts';
import { EndingReader, renamed } from './ending.ts';
import type { Generation, GenerationRegistry, Generations } from './registry.ts';

/** One topic. */
export interface TopicLog extends Source, Producer {
  standings(): readonly Standing[];
  share(group: { readonly groupId: string } & SharingHealth, hold: Hold, stop: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
type Hold = Parameters<Sharing['share']>[0];

export interface GenerationsOptions {
  readonly name: string;
  readonly registry: GenerationRegistry;
  readonly clock: Clock;
  /** Of the first generation; the later ones are on record. */
  readonly first: Pick<Generation, 'topic' | 'partitions'>;
  readonly open: (topic: string, partitions: number) => Promise<TopicLog>;
  /** Members of a group share a topic; a later generation has a group of its own. */
  readonly groupId: string;
}

/** Where a lineage lies. */
interface Place {
  readonly log: TopicLog;
  /** Its name there. */
  readonly base: string;
  readonly lineage: Lineage;
  /** Of a tail: where it begins. */
  readonly tailFrom?: Position;
}

/** Between two looks at what is on record, ms: so long a producer may go on writing behind an end. */
const LOOK_MS = 2000;
const TAIL = '~tail';

/** Throws INSTALLATION_DIFFERS for another first topic than is on record, and what opening a topic throws. */
export async function openGenerations(options: GenerationsOptions): Promise<GenerationsLog> {
  const log = new GenerationsLog(options);
  try {
    await log.lineages();
    return log;
  } catch (error) {
    await log.close();
    throw error;
  }
}

export class GenerationsLog implements Source, Producer {
  readonly name: string;
  readonly #options: GenerationsOptions;
  readonly #topics: TopicLog[] = [];
  #places = new Map<string, Place>();
  #ends: Generations['ends'] = new Map();
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(options: GenerationsOptions) {
    this.#options = options;
    this.name = options.name;
  }

  async lineages(): Promise<readonly Lineage[]> {
    await this.#look();
    return [...this.#places.values()].map(({ lineage }) => lineage);
  }

  open(lineage: string, from: Position): Reader {
    const place = this.#places.get(lineage);
    if (place?.tailFrom !== undefined) return renamed(place.log.open(place.base, from), lineage);
    const open = (): Reader => this.#demand(lineage).log.open(lineage, from);
    return new EndingReader({ lineage, from, end: () => this.#ends.get(lineage), open });
  }

  after = (position: Position): Position => this.#newest.after(position);
  places = (from: Position, to: Position): number => this.#newest.places?.(from, to) ?? 0;

  async bounds(lineage: string): Promise<{ first: Position; end: Position }> {
    const { log, base, tailFrom } = this.#demand(lineage);
    const { first, end } = await log.bounds(base);
    if (tailFrom !== undefined) return { first: first > tailFrom ? first : tailFrom, end };
    const own = this.#ends.get(lineage);
    return own === undefined ? { first, end } : { first: first < own ? first : own, end: END };
  }

  /** Of a tail nothing: before it in the same partition may lie what is not published yet. */
  async trim(lineage: string, before: Position): Promise<number> {
    const { log, base, tailFrom } = this.#demand(lineage);
    if (tailFrom !== undefined) return 0;
    const own = this.#ends.get(lineage);
    return log.trim(base, own !== undefined && before > own ? own : before);
  }

  async append(records: readonly Outgoing[]): Promise<readonly (Written | Error)[]> {
    this.#lookSometimes();
    return this.#newest.append(records);
  }

  /** Into every topic: what lies behind an end is read, too. */
  async control(control: Control): Promise<void> {
    await this.#look();
    await Promise.all(this.#topics.map((topic) => topic.control(control)));
  }

  standings = (): readonly Standing[] => this.#topics.flatMap((topic) => topic.standings());

  sharing(health: SharingHealth): Sharing {
    return { share: (hold, stop) => this.#share(health, hold, stop) };
  }

  async close(): Promise<void> {
    await this.#looking?.catch(() => undefined);
    await Promise.all(this.#topics.map((topic) => topic.close()));
  }

  get #newest(): TopicLog {
    const newest = this.#topics.at(-1);
    if (newest === undefined) throw new RangeError('a log without a topic');
    return newest;
  }

  #demand(lineage: string): Place {
    const found = this.#places.get(lineage);
    if (found !== undefined) return found;
    throw new MeterError('LOG_REPLACED', `look at ${lineage}: there is no such partition`);
  }

  /** A failure is told by whoever looks next and waits for it: an append needs no more than the topic. */
  #lookSometimes(): void {
    if (Math.abs(this.#options.clock.now() - this.#lookedAt) >= LOOK_MS) this.#look().catch(() => undefined);
  }

  #look(): Promise<void> {
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookNow(): Promise<void> {
    const { registry, clock, first } = this.#options;
    this.#lookedAt = clock.now();
    const { all, ends } = await registry.look();
    demandFirst(all[0], first);
    const open = all.filter(({ isOpen }) => isOpen);
    if (this.#topics.length === 0) await this.#openTopic(all[0] ?? first);
    for (const generation of open.slice(this.#topics.length)) await this.#openTopic(generation);
    this.#ends = ends;
    this.#places = await this.#placed();
  }

  async #openTopic(generation: Pick<Generation, 'topic' | 'partitions'> & { readonly log?: string }): Promise<void> {
    const { topic, partitions, log } = generation;
    const opened = await this.#options.open(topic, partitions);
    const found = (await opened.lineages())[0]?.id;
    this.#topics.push(opened);
    if (log === undefined || log === found) return;
    throw new MeterError('LOG_REPLACED', `open the topic ${topic}: it was ${log}, and is ${String(found)}`);
  }

  /** Parents before children. A partition that was added to a topic after it was closed is no parent, and has no end. */
  async #placed(): Promise<Map<string, Place>> {
    const places = new Map<string, Place>();
    let parents: readonly string[] = [];
    for (const [depth, log] of this.#topics.entries()) {
      const own = await log.lineages();
      for (const one of own) places.set(one.id, { log, base: one.id, lineage: { ...one, ...asChild(one, parents, depth) } });
      const closed = own.filter(({ id }) => this.#ends.has(id));
      for (const { id } of closed) places.set(id + TAIL, this.#tailOf(log, id));
      parents = closed.map(({ id }) => id);
    }
    return places;
  }

  #tailOf(log: TopicLog, base: string): Place {
    const tailFrom = this.#ends.get(base) ?? END;
    const lineage: Lineage = { id: base + TAIL, parents: [], depth: 0, origin: tailFrom, owns: () => false };
    return { log, base, lineage, tailFrom };
  }

  /** Each topic by its group, and topics that come meanwhile. */
  async #share(health: SharingHealth, hold: Hold, stop: AbortSignal): Promise<void> {
    const { clock, groupId } = this.#options;
    const failed = new AbortController();
    const over = AbortSignal.any([stop, failed.signal]);
    const running: Promise<void>[] = [];
    let error: Error | undefined;
    const fail = (cause: unknown): void => {
      error ??= asError(cause);
      failed.abort();
    };
    while (!over.aborted) {
      for (const topic of this.#topics.slice(running.length)) {
        const group = { groupId: running.length === 0 ? groupId : `${groupId}.${running.length + 1}`, ...health };
        running.push(topic.share(group, (lineage, giveUp) => this.#hold(lineage, hold, giveUp), over).catch(fail));
      }
      await clock.sleep(LOOK_MS, over);
      await this.#look().catch((cause: unknown) => {
        health.troubled(cause);
      });
    }
    await Promise.all(running);
    if (error !== undefined) throw error;
  }

  /** Who has a partition has its tail, too, once there is one. */
  async #hold({ id }: Lineage, hold: Hold, giveUp: AbortSignal): Promise<void> {
    if (!this.#places.has(id)) await this.#look();
    const tail = async (): Promise<void> => {
      while (!this.#places.has(id + TAIL) && !giveUp.aborted) await this.#options.clock.sleep(LOOK_MS, giveUp);
      const place = this.#places.get(id + TAIL);
      if (place !== undefined && !giveUp.aborted) await hold(place.lineage, giveUp);
    };
    await Promise.all([hold(this.#demand(id).lineage, giveUp), tail()]);
  }
}

const asChild = (one: Lineage, parents: readonly string[], depth: number): Pick<Lineage, 'parents' | 'depth' | 'owns'> => ({
  parents,
  depth: parents.length === 0 ? 0 : depth,
  owns: (routingKey) => one.owns(routingKey),
});

function demandFirst(found: Generation | undefined, { topic, partitions }: GenerationsOptions['first']): void {
  if (found === undefined || (found.topic === topic && found.partitions === partitions)) return;
  throw new MeterError('INSTALLATION_DIFFERS', `open the log: its first topic is ${found.topic}`, {
    field: 'kafkaTopic',
    value: topic,
    allowed: `${found.topic} with ${String(found.partitions)} partitions: later ones are on record`,
  });
}
