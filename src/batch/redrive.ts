/**
 * Sends rejects home once more, after what was wrong with them was mended: those that would count now, and no others. What is
 * sent is a new record at a new position, with the same key; the reject stays where it is, marked.
 */
import type { Clock } from '../clock.ts';
import type {
  BatchView,
  Facts,
  Homeward,
  Judged,
  Lineage,
  LogRecord,
  Processor,
  Producer,
  Reject,
  RejectFilter,
  Rejects,
  RuleSets,
} from '../contract.ts';
import { contentDigest } from '../domain/canonical.ts';
import { FUTURE_BOUND_MS } from '../domain/epoch.ts';
import type { UsageEvent } from '../domain/event.ts';
import { routingKeyOf } from '../domain/routing.ts';

/** Rejects taken at a time: judged in one go, marked in one transaction. */
const PAGE = 500;

export interface RedrivePorts {
  readonly rejects: Rejects;
  readonly batch: Pick<BatchView, 'holders'>;
  readonly producer: Pick<Producer, 'control'>;
  readonly ruleSets: Pick<RuleSets, 'newest' | 'refresh'>;
  readonly judge: Processor<LogRecord, Judged>;
  readonly clock: Clock;
  readonly facts: Pick<Facts, 'redriven'>;
}

export interface RedriveRequest {
  readonly filter: RejectFilter;
  /** Nothing is written. */
  readonly dryRun: boolean;
  readonly cursor?: string;
}

/** Its key counts already, with the same content: nothing is missing. */
export const ALREADY_COUNTED = 'ALREADY_COUNTED';

/** Rejects with one code that would get the same code now: `ok` is what counts. */
export interface Fate {
  readonly code: string;
  readonly now: string;
  readonly rejects: number;
}

/** What became of a page of rejects. */
export interface Redriven {
  readonly fates: readonly Fate[];
  /** Marked and put into the outbox by this call. */
  readonly redriven: number;
  /** Where to go on; undefined behind the last page. */
  readonly next: string | undefined;
}

/** A reject with what it would get now. */
interface Rejudged {
  readonly reject: Reject;
  readonly event: UsageEvent | undefined;
  readonly now: string;
}

/** The home of any record: where it goes is decided when it is sent. */
const HOME: Lineage = { id: 'home', parents: [], depth: 0, origin: '', owns: () => true };

/** One page. Sending the same page again sends nothing: what is marked is not taken. */
export async function redrive(ports: RedrivePorts, { filter, dryRun, cursor }: RedriveRequest): Promise<Redriven> {
  const { rejects, ruleSets } = ports;
  await ruleSets.refresh();
  const page = await rejects.waiting(filter, { limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
  const rejudged = await withHolders(
    ports,
    page.rejects.map((reject) => rejudge(ports, reject)),
  );
  const conflicts = cursor === undefined ? await rejects.conflicts(filter) : 0;
  const fates = fatesOf(rejudged, conflicts);
  const redriven = dryRun ? 0 : await send(ports, rejudged);
  return { fates, redriven, next: page.next };
}

/**
 * By the worker's own step and the newest rules: as if it arrived now. And a little later, because the relay takes its time:
 * what is sent must count when it arrives.
 */
function rejudge({ judge, ruleSets, clock }: RedrivePorts, reject: Reject): Rejudged {
  const { position, key, value } = reject;
  const place = { lineage: HOME, segment: 0, rules: ruleSets.newest.version };
  const verdictAt = (arrival: number): Judged => judge.process({ position, arrival, key, value }, place);
  const now = clock.now();
  const judged = verdictAt(now);
  const last = judged.verdict === 'ok' ? verdictAt(now + FUTURE_BOUND_MS) : judged;
  return { reject, event: judged.event, now: last.verdict };
}

/** What is published may hold the key by now: the sender has sent it again, or used the key for something else. */
async function withHolders({ batch }: RedrivePorts, rejudged: readonly Rejudged[]): Promise<readonly Rejudged[]> {
  const keys = rejudged.flatMap(({ event, now }) => (now === 'ok' && event !== undefined ? [event] : []));
  if (keys.length === 0) return rejudged;
  const holders = await batch.holders(keys.map(({ tenant, key }) => ({ tenant, key })));
  const held = new Map(holders.map((row) => [idOf(row), row.content]));
  return rejudged.map((one): Rejudged => {
    const content = one.now === 'ok' && one.event !== undefined ? held.get(idOf(one.event)) : undefined;
    if (content === undefined || one.event === undefined) return one;
    return { ...one, now: content === contentDigest(one.event) ? ALREADY_COUNTED : 'KEY_CONFLICT' };
  });
}

const idOf = ({ tenant, key }: { readonly tenant: string; readonly key: string }): string => JSON.stringify([tenant, key]);

async function send(
  { rejects, ruleSets, producer, clock, facts }: RedrivePorts,
  rejudged: readonly Rejudged[],
): Promise<number> {
  const { version, spread } = ruleSets.newest;
  const homeward = rejudged.flatMap(({ reject: { lineage, position, code }, event, now }): Homeward[] =>
    now === 'ok' && event !== undefined ? [{ lineage, position, code, routingKey: routingKeyOf(event, spread) }] : [],
  );
  if (homeward.length === 0) return 0;
  // Another process may have recorded these rules and not put them in force yet: then they must come before these records.
  if (version > 1) await producer.control({ type: 'rules', rules: version });
  const done = await rejects.redrive(homeward, clock.now());
  for (const [code, count] of done) facts.redriven(code, count);
  return [...done.values()].reduce((sum, count) => sum + count, 0);
}

/** By code, and what became of it: in the order in which they are met, conflicts last. */
function fatesOf(rejudged: readonly Rejudged[], conflicts: number): readonly Fate[] {
  const fates = new Map<string, Fate>();
  const add = (code: string, now: string, rejects: number): void => {
    const id = JSON.stringify([code, now]);
    fates.set(id, { code, now, rejects: (fates.get(id)?.rejects ?? 0) + rejects });
  };
  for (const { reject, now } of rejudged) add(reject.code, now, 1);
  if (conflicts > 0) add('KEY_CONFLICT', 'KEY_CONFLICT', conflicts);
  return [...fates.values()];
}
