/** `meterfold import`: history from a file, to a server or straight into a data directory. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { type Clock, systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { CUT_END, type Outgoing, type Written } from '../contract.ts';
import { encodeEvent } from '../domain/avro.ts';
import type { Edge } from '../domain/edge.ts';
import type { UsageEvent } from '../domain/event.ts';
import { routingKeyOf } from '../domain/routing.ts';
import { MeterError } from '../errors.ts';
import { maintain } from '../embedded/maintenance.ts';
import { openFacts } from '../observe/facts.ts';
import { openLog } from '../observe/log.ts';
import { openRegistry } from '../observe/metrics.ts';
import { runRole } from '../runtime/role.ts';
import { importFile, type ImportResult } from '../sources/import/importer.ts';
import { parseMapping } from '../sources/import/mapping.ts';
import { archiving, type Ports, runAll } from '../topology.ts';
import { Client } from './client.ts';
import { openEdge } from './edge.ts';
import { loadProcessors } from './modules.ts';
import { json, type Streams } from './output.ts';
import { loadMeters, settingsOf } from './product.ts';
import { progressLine } from './progress.ts';
import { openStores, type Stores } from './stores.ts';

export interface ImportFlags {
  readonly mapping: string;
  readonly url?: string;
  readonly json?: boolean;
}

/** Records that the log may be ahead of the cut: bounds disk and what a kill has to replay. */
const MOST_AHEAD = 50_000;
/** Events sent at a time: what one request may hold, and what one statement writes well. */
const BATCH = 1000;
const LOOK_MS = 20;
const DEAD_LOG_MS = 0;

type Send = (events: readonly UsageEvent[]) => Promise<void>;

interface Sink {
  readonly send: Send;
  readonly edge?: Edge;
}

async function runImport(
  path: string,
  flags: ImportFlags,
  sink: Sink,
  streams: Streams,
  signal: AbortSignal,
): Promise<ImportResult> {
  const mapping = parseMapping(await readFile(flags.mapping, 'utf8'));
  const progress = progressLine(streams, systemClock);
  const now = (): number => systemClock.now();
  const rejectsPath = `${path}.rejects.ndjson`;
  try {
    return await importFile({ path, mapping, ...sink, batch: BATCH, rejectsPath, now, signal, onProgress: progress.show });
  } finally {
    progress.end();
  }
}

/** Answers 0, also with rejected rows: they are named in a file of their own. */
export async function importCommand(
  path: string,
  flags: ImportFlags,
  config: Config,
  streams: Streams,
  stop: AbortSignal,
): Promise<number> {
  const result =
    flags.url === undefined
      ? await importIntoDirectory(path, flags, config, streams, stop)
      : await importToServer(path, flags, flags.url, streams, stop);
  const rejected = result.rejected === 0 ? '' : `, ${result.rejected} rows rejected (see ${path}.rejects.ndjson)`;
  streams.out(
    flags.json === true
      ? json(result)
      : `${result.rows} rows read, ${result.events} events imported${dropped(result)}${rejected}`,
  );
  return 0;
}

const dropped = ({ filtered }: ImportResult): string =>
  Object.entries(filtered)
    .map(([code, count]) => `, ${count} dropped by a processor with ${code}`)
    .join('');

/** What a processor drops is known to the server alone, which runs it. */
async function importToServer(
  path: string,
  flags: ImportFlags,
  url: string,
  streams: Streams,
  stop: AbortSignal,
): Promise<ImportResult> {
  const client = new Client(url);
  const filtered: Record<string, number> = {};
  let gone = 0;
  const send: Send = async (batch) => {
    const { events, codes } = await client.send(batch, { history: true });
    gone += events;
    for (const code of codes) filtered[code] = (filtered[code] ?? 0) + 1;
  };
  const result = await runImport(path, flags, { send }, streams, stop);
  return { ...result, events: result.events - gone, filtered };
}

async function importIntoDirectory(
  path: string,
  flags: ImportFlags,
  config: Config,
  streams: Streams,
  stop: AbortSignal,
): Promise<ImportResult> {
  const meters = await loadMeters(config.metersFile);
  const processors = await loadProcessors(config.processors, []);
  const stores = await openStores(config, meters, systemClock, 'import');
  const facts = openFacts({
    registry: openRegistry(),
    logger: openLog({ level: config.logLevel === 'info' ? 'warn' : config.logLevel }),
  });
  // Imported records are history: once published there is no reason to keep them in the log.
  const settings = { ...settingsOf(config, stores.meters), logRetentionMs: DEAD_LOG_MS };
  const ports: Ports = { ...stores, clock: systemClock, facts, random: Math.random, unique: randomUUID };
  const over = new AbortController();
  const roles = [runAll(ports, settings, archiving, over.signal)];
  if (stores.embedded)
    roles.push(runRole({ clock: systemClock, facts, random: ports.random }, maintain(stores.pool), over.signal));
  const running = Promise.all(roles);
  const failed = running.then(() => new Promise<never>(() => undefined));
  const ahead = new Ahead(stores, systemClock, stop);
  try {
    const edge = await openEdge(config, { stores, facts, processors });
    const work = runImport(path, flags, { send: (events) => ahead.send(events), edge }, streams, stop).then(
      async (result) => {
        await ahead.published();
        return result;
      },
    );
    return await Promise.race([work, failed]);
  } finally {
    over.abort();
    await running.catch(() => undefined);
    await stores.close();
  }
}

/** Appends, and waits while the cut is too far behind. */
class Ahead {
  readonly #stores: Stores;
  readonly #clock: Clock;
  readonly #stop: AbortSignal;
  /** The last position written in each lineage. */
  readonly #written = new Map<string, string>();
  #appended = 0;
  #published = 0;

  constructor(stores: Stores, clock: Clock, stop: AbortSignal) {
    this.#stores = stores;
    this.#clock = clock;
    this.#stop = stop;
  }

  async send(events: readonly UsageEvent[]): Promise<void> {
    while (this.#appended - this.#published > MOST_AHEAD) await this.#look();
    let rest = events.map((event): Outgoing => ({ routingKey: routingKeyOf(event), value: encodeEvent(event) }));
    while (rest.length > 0) {
      this.#stop.throwIfAborted();
      const outcomes = await this.#stores.log.append(rest);
      outcomes.forEach((outcome) => {
        if (!(outcome instanceof Error)) this.#note(outcome);
      });
      // Not acknowledged: sent again. If it was written all the same, the copy counts once.
      const failed = outcomes.find((outcome) => outcome instanceof Error);
      if (failed !== undefined && !(failed instanceof MeterError && failed.kind === 'transient')) throw failed;
      rest = rest.filter((_, n) => outcomes[n] instanceof Error);
      if (rest.length > 0) await this.#clock.sleep(LOOK_MS, this.#stop);
    }
    this.#appended += events.length;
  }

  /** Resolves when everything written lies below the cut. */
  async published(): Promise<void> {
    while (!(await this.#look()));
  }

  #note({ lineage, position }: Written): void {
    const last = this.#written.get(lineage);
    if (last === undefined || position > last) this.#written.set(lineage, position);
  }

  /** Waits a little, then counts how far the cut is. */
  async #look(): Promise<boolean> {
    this.#stop.throwIfAborted();
    await this.#clock.sleep(LOOK_MS, this.#stop);
    const cuts = await this.#stores.batch.cuts();
    let behind = 0;
    for (const [lineage, last] of this.#written) {
      const cut = cuts.get(lineage);
      if (cut?.segments === CUT_END || (cut !== undefined && cut.position > last)) continue;
      behind += Number(last) + 1 - Number(cut?.position ?? 0);
    }
    this.#published = this.#appended - behind;
    return behind === 0;
  }
}
