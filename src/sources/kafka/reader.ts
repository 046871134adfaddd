/** Reads one partition: a fetch at a time, when it is asked for, over a connection of its own. */
import type { Batch, LogRecord, Position, Reader } from '../../contract.ts';
import { MeterError } from '../../errors.ts';
import { isEnd, offsetOf, positionOf } from '../positions.ts';
import { decodeFetch, encodeFetch, FETCH, type Fetched } from './api-fetch.ts';
import { decodeBatches } from './batches.ts';
import type { Cluster, Leader } from './cluster.ts';
import { demandNone, OFFSET_OUT_OF_RANGE } from './codes.ts';
import { committed } from './committed.ts';
import { offsetBounds } from './offsets.ts';
import type { Translation } from './formats.ts';
import { logRecords } from './records.ts';
import type { Standings } from './standings.ts';

/** One batch holds at most so many records, and ends with the one that fills so many bytes of values. */
const MOST_RECORDS = 2000;
const MOST_BYTES = 1024 * 1024;
/** What a fetch may bring; a larger record batch still comes whole. */
const FETCH_BYTES = 1024 * 1024;

export interface ReaderPorts {
  readonly cluster: Cluster;
  /** How long the broker holds a fetch that finds nothing, ms. */
  readonly fetchWaitMs: number;
  /** Tells one reader's connection from another's. */
  readonly purpose: string;
  readonly translation: Translation;
  readonly standings: Standings;
}

export interface Place {
  readonly lineage: string;
  /** Undefined where the log has no such lineage. */
  readonly partition: number | undefined;
  readonly from: Position;
}

interface Held {
  readonly records: LogRecord[];
  /** The offset behind them, and behind what does not count. */
  readonly next: number;
}

export class PartitionReader implements Reader {
  readonly #ports: ReaderPorts;
  readonly #place: Place;
  #at: number | undefined;
  /** Fetched and not yet given. */
  #held: Held | undefined;
  #fetching: Promise<Held> | undefined;
  readonly #over = new AbortController();

  constructor(ports: ReaderPorts, place: Place) {
    this.#ports = ports;
    this.#place = place;
    this.#at = isEnd(place.from) ? undefined : offsetOf(place.from);
  }

  async next(stop: AbortSignal): Promise<Batch | undefined> {
    const { lineage, partition } = this.#place;
    if (partition === undefined) throw new MeterError('LOG_REPLACED', `read ${lineage}: there is no such partition`);
    const from = this.#at;
    if (from === undefined) throw new MeterError('LOG_REPLACED', `read ${lineage} at END: a partition has no end`);
    while (!stop.aborted) {
      this.#held ??= await this.#fetched(partition, from, stop);
      if (this.#held !== undefined && this.#held.next > from) return this.#give(partition, from, this.#held);
      this.#held = undefined;
    }
    return undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    const { partition } = this.#place;
    if (partition !== undefined) this.#ports.standings.closed(partition);
    return this.#ports.cluster.links.drop(this.#ports.purpose);
  }

  /** As many of the records at hand as one batch may have. */
  #give(partition: number, from: number, { records, next }: Held): Batch {
    let [count, bytes] = [0, 0];
    while (count < records.length && count < MOST_RECORDS && bytes < MOST_BYTES) {
      bytes += records[count]?.value.length ?? 0;
      count += 1;
    }
    const given = records.slice(0, count);
    const rest = records.slice(count);
    const last = given.at(-1);
    this.#held = rest.length > 0 ? { records: rest, next } : undefined;
    this.#at = rest.length > 0 && last !== undefined ? offsetOf(last.position) + 1 : next;
    this.#ports.standings.given(partition, this.#at, last?.arrival);
    return { lineage: this.#place.lineage, from: positionOf(from), next: positionOf(this.#at), records: given };
  }

  /** What a fetch brings, or undefined once `stop` aborts; the fetch then goes on, and the next call gets what it brings. */
  async #fetched(partition: number, at: number, stop: AbortSignal): Promise<Held | undefined> {
    const fetching = (this.#fetching ??= this.#fetch(partition, at));
    let wake = (): void => undefined;
    const stopped = new Promise<undefined>((resolve) => {
      wake = (): void => resolve(undefined);
      stop.addEventListener('abort', wake, { once: true });
    });
    try {
      const held = await Promise.race([fetching, stopped]);
      if (held !== undefined) this.#fetching = undefined;
      return held;
    } catch (error) {
      this.#fetching = undefined;
      throw error;
    } finally {
      stop.removeEventListener('abort', wake);
    }
  }

  #fetch(partition: number, at: number): Promise<Held> {
    const { cluster } = this.#ports;
    const what = `read ${this.#place.lineage} at ${positionOf(at)}`;
    const fetching = cluster
      .withLeader(partition, what, (leader) => this.#ask(leader, partition, at, what), this.#over.signal)
      .then((fetched) => this.#decode(at, fetched, what));
    // Whoever asks next is told.
    fetching.catch(() => undefined);
    return fetching;
  }

  async #ask(leader: Leader, partition: number, offset: number, what: string): Promise<Fetched> {
    const { cluster, fetchWaitMs: waitMs, purpose, standings } = this.#ports;
    const place = { uuid: cluster.uuid, partition, leaderEpoch: leader.epoch, offset };
    const body = encodeFetch({ ...place, waitMs, bytes: FETCH_BYTES });
    const fetched = await cluster.links.ask(leader.node, purpose, { api: FETCH, body, decode: decodeFetch, waitMs });
    if (fetched.error === OFFSET_OUT_OF_RANGE) await this.#demandHeld(partition, offset, what);
    demandNone(fetched.error, what);
    standings.fetched(partition, offset, fetched);
    return fetched;
  }

  async #decode(at: number, { records, aborted }: Fetched, what: string): Promise<Held> {
    const batches = await decodeBatches(records, this.#place.lineage);
    if (batches.length === 0 && records.length > 0)
      throw new MeterError('LOG_DISORDER', `${what}: ${records.length} bytes hold no whole batch`);
    const position = positionOf(at);
    const { translation } = this.#ports;
    const counted = committed(batches, aborted);
    await translation.prepare(counted.flatMap((batch) => batch.records));
    const read = counted.flatMap((batch) => logRecords(batch, this.#place.lineage, translation.valueOf));
    // The first batch may begin before the place that was asked for.
    return {
      records: read.filter((record) => record.position >= position),
      next: Math.max(at, (batches.at(-1)?.last ?? -1) + 1),
    };
  }

  /** A place that the log does not hold means that it was trimmed, or that this is not the log that was read before. */
  async #demandHeld(partition: number, at: number, what: string): Promise<void> {
    const { first, end } = await offsetBounds(this.#ports.cluster, partition, what);
    if (at < first) {
      throw new MeterError('LOG_TRIMMED', `${what}: it begins at ${positionOf(first)}; ${first - at} places are gone`, {
        allowed: 'a longer retention of the topic: what was trimmed before it was read is lost to the live view',
      });
    }
    if (at > end) throw new MeterError('LOG_REPLACED', `${what}: it ends at ${positionOf(end)}`);
  }
}
