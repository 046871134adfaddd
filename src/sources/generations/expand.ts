/**
 * Starts a new generation of the log, step by step. Each step leaves alone what stands, so that whoever dies half way is
 * followed by whoever runs it again.
 */
import type { Control, Lineage, Position, Source } from '../../contract.ts';
import { MeterError } from '../../errors.ts';
import type { TopicLog } from './log.ts';
import type { Generation, GenerationRegistry } from './registry.ts';

export interface ExpandPorts {
  readonly registry: GenerationRegistry;
  readonly first: Pick<Generation, 'topic' | 'partitions'>;
  readonly open: (topic: string, partitions: number) => Promise<TopicLog>;
}

export interface ExpandRequest {
  readonly topic: string;
  /** Without it, all that the topic has. */
  readonly partitions?: number;
}

export interface Expanded {
  readonly generation: number;
  readonly topic: string;
  readonly partitions: number;
  /** Where each lineage of the generation before ends. */
  readonly ends: readonly { readonly lineage: string; readonly end: Position }[];
}

const CLOSE: Control = { type: 'close' };

/** Throws BAD_REQUEST for a topic that cannot be the next one, and what opening a topic throws. */
export async function expand(ports: ExpandPorts, request: ExpandRequest, stop: AbortSignal): Promise<Expanded> {
  const { registry, open } = ports;
  const next = await planned(ports, request);
  const before = (await registry.look()).all.find(({ number }) => number === next.number - 1);
  if (before === undefined) throw new RangeError('a generation without the one before it');
  const old = await open(before.topic, before.partitions);
  try {
    // Once it is open its parents are fixed: a partition that was added to the topic before it since is none of them.
    if (!next.isOpen) await close(registry, old, stop);
    await registry.open(next.number);
    const { ends } = await registry.look();
    const { number: generation, topic, partitions } = next;
    const own = (await old.lineages()).flatMap(({ id }) => {
      const end = ends.get(id);
      return end === undefined ? [] : [{ lineage: id, end }];
    });
    return { generation, topic, partitions, ends: own };
  } finally {
    await old.close();
  }
}

/** Step 1: the first generation is on record, and the one that is to follow the newest. */
async function planned({ registry, first, open }: ExpandPorts, { topic, partitions }: ExpandRequest): Promise<Generation> {
  const { all } = await registry.look();
  const newest = all.at(-1);
  if (newest?.topic === topic && newest.number > 1) return demandSame(newest, partitions);
  if (topic === first.topic || all.some((one) => one.topic === topic))
    throw refused(topic, 'it is a generation of this log already');
  if (newest?.isOpen === false)
    throw refused(topic, `the log is on its way to ${newest.topic}: that is to be finished first`, newest.topic);
  if (newest === undefined) await registry.plan({ number: 1, ...(await identified(open, first.topic, first.partitions)) });
  const number = (newest?.number ?? 1) + 1;
  const found = await registry.plan({ number, ...(await identified(open, topic, partitions)), isOpen: false });
  if (found.topic !== topic) throw refused(topic, `another expansion, to ${found.topic}, came first`, found.topic);
  return found;
}

function demandSame(found: Generation, partitions = found.partitions): Generation {
  if (partitions === found.partitions) return found;
  throw new MeterError('BAD_REQUEST', `expand to ${found.topic}: it is on record with other partitions`, {
    field: 'partitions',
    value: String(partitions),
    allowed: String(found.partitions),
  });
}

const refused = (topic: string, why: string, allowed = 'a new topic'): MeterError =>
  new MeterError('BAD_REQUEST', `expand to ${topic}: ${why}`, { field: 'topic', value: topic, allowed });

/** Opening a topic checks it. */
async function identified(open: ExpandPorts['open'], topic: string, wanted?: number): Promise<Omit<Generation, 'number'>> {
  const log = await open(topic, wanted ?? 1);
  try {
    const lineages = await log.lineages();
    return { topic, log: lineages[0]?.id ?? '', partitions: wanted ?? lineages.length, isOpen: true };
  } finally {
    await log.close();
  }
}

/** Steps 2 to 4: a place before any closing record, the closing records, and where the first of each lineage lies. */
async function close(registry: GenerationRegistry, old: TopicLog, stop: AbortSignal): Promise<void> {
  const lineages = await old.lineages();
  const before = new Map<string, Position>();
  for (const { id } of lineages) before.set(id, await registry.closing(id, (await old.bounds(id)).end));
  const { ends } = await registry.look();
  const open = lineages.filter(({ id }) => !ends.has(id));
  if (open.length === 0) return;
  await old.control(CLOSE);
  for (const { id, origin } of open)
    await registry.ended(id, await firstClose(old, { id, origin: before.get(id) ?? origin }, stop));
}

/** It was acknowledged, hence it is there: what retention took meanwhile is passed, an open transaction waited for. */
async function firstClose(
  log: Source,
  { id, origin }: Pick<Lineage, 'id' | 'origin'>,
  stop: AbortSignal,
): Promise<Position> {
  const { first } = await log.bounds(id);
  await using reader = log.open(id, first > origin ? first : origin);
  for (;;) {
    const batch = await reader.next(stop);
    if (batch === undefined) throw new MeterError('LOG_UNAVAILABLE', `close ${id}: stopped before its end was found`);
    const found = batch.records.find(({ control }) => control?.type === CLOSE.type);
    if (found !== undefined) return found.position;
  }
}
