/** `meterfold import`: history from a file, to a server or straight into a data directory. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { type Clock, systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { CUT_END, type Outgoing, type Written } from '../contract.ts';
import { encodeEvent } from '../domain/avro.ts';
import type { UsageEvent } from '../domain/event.ts';
import type { Kept } from '../domain/kept.ts';
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

async function runImport(
  path: string,
  flags: ImportFlags,
  send: Send,
  streams: Streams,
  signal: AbortSignal,
  kept?: Kept,
): Promise<ImportResult> {
  const mapping = parseMapping(await readFile(flags.mapping, 'utf8'));
  const progress = progressLine(streams, systemClock);
  const now = (): number => systemClock.now();
  const rejectsPath = `${path}.rejects.ndjson`;
  try {
    const options = { path, mapping, send, batch: BATCH, rejectsPath, now, signal, onProgress: progress.show };
    return await importFile(kept === undefined ? options : { ...options, kept });
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
      : await runImport(path, flags, (events) => new Client(flags.url ?? '').send(events, { history: true }), streams, stop);
  const rejected = result.rejected === 0 ? '' : `, ${result.rejected} rows rejected (see ${path}.rejects.ndjson)`;
  streams.out(flags.json === true ? json(result) : `${result.rows} rows read, ${result.events} events imported${rejected}`);
  return 0;
}

async function importIntoDirectory(
  path: string,
  flags: ImportFlags,
  config: Config,
  streams: Streams,
  stop: AbortSignal,
): Promise<ImportResult> {
  const meters = await loadMeters(config.metersFile);
  const stores = await openStores(config, meters, systemClock, 'import');
  const facts = openFacts({
    registry: openRegistry(),
    logger: openLog({ level: config.logLevel === 'info' ? 'warn' : config.logLevel }),
  });
  // Imported records are history: once published there is no reason to keep them in the log.
  const settings = { ...settingsOf(config, meters), logRetentionMs: DEAD_LOG_MS };
  const ports: Ports = { ...stores, clock: systemClock, facts, random: Math.random, unique: randomUUID };
  const over = new AbortController();
  const roles = [runAll(ports, settings, archiving, over.signal)];
  if (stores.embedded)
    roles.push(runRole({ clock: systemClock, facts, random: ports.random }, maintain(stores.pool), over.signal));
  const running = Promise.all(roles);
  const failed = running.then(() => new Promise<never>(() => undefined));
  const ahead = new Ahead(stores, systemClock, stop);
  try {
    const work = runImport(path, flags, (events) => ahead.send(events), streams, stop, config).then(async (result) => {
      await ahead.published();
      return result;
    });
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
