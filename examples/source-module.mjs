// A log of your own, for `logModule: ./source-module.mjs`. This one lives in memory: it shows what has to be kept
// (docs/component-spec.md, SRC-* and PRD-*), and forgets everything with its process, which a real one must not.
import { randomUUID } from 'node:crypto';
import { END, MeterError, partitionOf } from 'meterfold';

const PARTITIONS = 2;
/** Most records and bytes of one batch. */
export const BATCH = { records: 500, bytes: 256 * 1024 };

const positionOf = (offset) => String(offset).padStart(20, '0');
const replaced = (what) => new MeterError('LOG_REPLACED', `read the memory log: it never had ${what}`);

/** One partition: `records[0]` is at offset `first`. */
class Partition {
  constructor(id) {
    this.id = id;
    this.first = 0;
    this.records = [];
    this.waiting = new Set();
  }

  get end() {
    return this.first + this.records.length;
  }

  push(record) {
    const position = positionOf(this.end);
    this.records.push({ ...record, position, arrival: Date.now() });
    for (const wake of this.waiting) wake();
    return { lineage: this.id, position };
  }

  /** Resolves once there is something behind `offset`, or `stop` aborts. */
  async beyond(offset, stop) {
    while (offset >= this.end && !stop.aborted) {
      await new Promise((resolve) => {
        const wake = () => {
          this.waiting.delete(wake);
          stop.removeEventListener('abort', wake);
          resolve();
        };
        this.waiting.add(wake);
        stop.addEventListener('abort', wake, { once: true });
      });
    }
  }

  batch(offset) {
    const records = [];
    let bytes = 0;
    for (const record of this.records.slice(offset - this.first, offset - this.first + BATCH.records)) {
      bytes += record.value.length;
      // A single record may be larger than a batch.
      if (bytes > BATCH.bytes && records.length > 0) break;
      records.push(record);
    }
    return { lineage: this.id, from: positionOf(offset), next: positionOf(offset + records.length), records };
  }
}

function readerOf(partition, id, from) {
  let at = Number(from);
  return {
    async next(stop) {
      if (partition === undefined) throw replaced(id);
      if (at > partition.end) throw replaced(positionOf(at));
      await partition.beyond(at, stop);
      if (stop.aborted) return undefined;
      if (at < partition.first) throw new MeterError('LOG_TRIMMED', `read ${id}: ${positionOf(at)} is no longer there`);
      const batch = partition.batch(at);
      at = Number(batch.next);
      return batch;
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** The log of a data directory, for as long as the process lives. */
const logs = new Map();

/** @type {import('meterfold').LogModule['openLog']} */
export async function openLog({ config: { dataDir } }) {
  if (!logs.has(dataDir)) {
    // The id holds a uuid of the log: another log is never taken for this one.
    const uuid = randomUUID();
    logs.set(
      dataDir,
      Array.from({ length: PARTITIONS }, (_, n) => new Partition(`memory.${uuid}.${n}`)),
    );
  }
  const partitions = logs.get(dataDir);
  const find = (id) => partitions.find((partition) => partition.id === id);

  const append = (record) => {
    const key = record.routingKey;
    if (key.includes('\0') || !key.isWellFormed()) return new MeterError('BAD_REQUEST', 'append: no routing key');
    // Copied: the caller may use its buffer again.
    return partitions[partitionOf(key, PARTITIONS)].push({ key, value: Uint8Array.from(record.value) });
  };

  return {
    name: 'memory log',
    lineages: async () =>
      partitions.map(({ id }, n) => ({
        ...{ id, parents: [], depth: 0, origin: positionOf(0) },
        owns: (routingKey) => partitionOf(routingKey, PARTITIONS) === n,
      })),
    open: (id, from) => readerOf(find(id), id, from),
    after: (position) => positionOf(Number(position) + 1),
    bounds: async (id) => {
      const { first, end } = find(id);
      return { first: positionOf(first), end: positionOf(end) };
    },
    trim: async (id, before) => {
      const partition = find(id);
      const count = Math.max(
        0,
        (before === END ? partition.end : Math.min(Number(before), partition.end)) - partition.first,
      );
      partition.records.splice(0, count);
      partition.first += count;
      return count;
    },
    append: async (records) => records.map(append),
    control: async (control) => {
      for (const partition of partitions) partition.push({ key: null, value: new Uint8Array(), control });
    },
    close: async () => {},
  };
}
