/** `meterfold import`: history from a file or a folder, to a server or straight into a data directory. */
import { createHash, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { systemClock } from '../clock.ts';
import type { Config } from '../config.ts';
import { type Edge, keepingSchemas } from '../domain/edge.ts';
import type { UsageEvent } from '../domain/event.ts';
import { FOR_EVER, type Kept } from '../domain/kept.ts';
import { asError, MeterError } from '../errors.ts';
import { maintain } from '../embedded/maintenance.ts';
import { openFacts } from '../observe/facts.ts';
import { openLog } from '../observe/log.ts';
import { openRegistry } from '../observe/metrics.ts';
import { runRole } from '../runtime/role.ts';
import type { CheckpointOptions } from '../sources/import/checkpoint.ts';
import { importPath, type ImportResult } from '../sources/import/importer.ts';
import { parseMapping } from '../sources/import/mapping.ts';
import { archiving, type Ports, ROLES, runRoles } from '../topology.ts';
import { Ahead } from './ahead.ts';
import { Client } from './client.ts';
import { openEdge } from './edge.ts';
import { loadProcessors } from './modules.ts';
import { json, type Streams } from './output.ts';
import { loadDeclared, settingsOf } from './product.ts';
import { progressLine } from './progress.ts';
import { openStores } from './stores.ts';

export interface ImportFlags {
  readonly mapping: string;
  readonly url?: string;
  readonly json?: boolean;
  readonly rejects?: string;
  /** A file; false for none. */
  readonly checkpoint?: string | boolean;
}

/** Events sent at a time: what one request may hold, and what one statement writes well. */
const BATCH = 1000;
const DEAD_LOG_MS = 0;

/** Where events go. */
interface Target {
  readonly send: (events: readonly UsageEvent[]) => Promise<void>;
  /** What happens to events before; absent where a server does it. */
  readonly edge?: Edge;
  /** Resolves when all that was sent is where it stays. */
  readonly settled: () => Promise<void>;
  /** Names the log: rows that are done in one log are not done in another. */
  readonly identity: string;
  /** What is kept there, as far as the import judges it. */
  readonly kept: Kept;
}

interface Running {
  readonly path: string;
  readonly flags: ImportFlags;
  readonly streams: Streams;
  readonly stop: AbortSignal;
}

/** Files beside the source are named after it, without the slash of a folder. */
const beside = (path: string, ending: string): string => `${path.replace(/(?<=.)[/\\]+$/, '')}.${ending}`;
const rejectsOf = (path: string, flags: ImportFlags): string => flags.rejects ?? beside(path, 'rejects.ndjson');

async function readMapping(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new MeterError('BAD_MAPPING', `read the mapping ${path}: ${asError(cause).message}`, { field: 'mapping', cause });
  }
}

const now = (): number => systemClock.now();

function checkpointOf({ path, flags, streams }: Running, identity: string): CheckpointOptions | undefined {
  if (flags.checkpoint === false) return undefined;
  const file = typeof flags.checkpoint === 'string' ? flags.checkpoint : beside(path, 'checkpoint.json');
  return { path: file, identity, now, note: streams.err };
}

async function runImport(running: Running, { send, settled, edge, kept, identity }: Target): Promise<ImportResult> {
  const { path, flags, streams, stop: signal } = running;
  const text = await readMapping(flags.mapping);
  const mapping = parseMapping(text);
  const hash = createHash('sha256')
    .update(JSON.stringify([text, identity]))
    .digest('hex');
  const checkpoint = checkpointOf(running, hash);
  const progress = progressLine(streams, systemClock);
  const [rejectsPath, onProgress] = [rejectsOf(path, flags), progress.show];
  try {
    const files = { path, rejectsPath, checkpoint };
    return await importPath({ ...files, mapping, kept, send, settled, edge, batch: BATCH, now, signal, onProgress });
  } finally {
    progress.end();
  }
}

function summary(result: ImportResult, path: string, flags: ImportFlags): string {
  const { files, rows, events, rejected, skippedRows } = result;
  const ofFiles = files === 1 ? '' : ` of ${files} files`;
  const skipped = skippedRows === 0 ? '' : `, ${skippedRows} skipped that an earlier run had done`;
  const refused = rejected === 0 ? '' : `, ${rejected} rows rejected (see ${rejectsOf(path, flags)})`;
  return `${rows} rows${ofFiles} read${skipped}, ${events} events imported${refused}`;
}

/** Answers 0, also with rejected rows: they are named in a file of their own. */
export async function importCommand(
  path: string,
  flags: ImportFlags,
  config: Config,
  streams: Streams,
  stop: AbortSignal,
): Promise<number> {
  const running = { path, flags, streams, stop };
  const result =
    flags.url === undefined
      ? await importIntoDirectory(running, config)
      : await importToServer(running, new Client(flags.url));
  streams.out(flags.json === true ? json(result) : summary(result, path, flags));
  return 0;
}

const identityOf = (lineages: readonly string[]): string => [...lineages].sort().join(' ');

/** What a processor drops is known to the server alone, which runs it. */
async function importToServer(running: Running, client: Client): Promise<ImportResult> {
  const { lineages } = await client.json<{ lineages: readonly { lineage: string }[] }>('/v1/lineages');
  const filtered: Record<string, number> = {};
  let gone = 0;
  const send: Target['send'] = async (batch) => {
    const { events, codes } = await client.send(batch, { history: true });
    gone += events;
    for (const code of codes) filtered[code] = (filtered[code] ?? 0) + 1;
  };
  const identity = identityOf(lineages.map(({ lineage }) => lineage));
  const result = await runImport(running, { send, settled: () => Promise.resolve(), identity, kept: FOR_EVER });
  return { ...result, events: result.events - gone, filtered };
}

async function importIntoDirectory(running: Running, config: Config): Promise<ImportResult> {
  const processors = await loadProcessors(config.processors, []);
  const stores = await openStores(config, systemClock, { role: 'import', declared: await loadDeclared(config) });
  const facts = openFacts({
    registry: openRegistry(),
    logger: openLog({ level: config.logLevel === 'info' ? 'warn' : config.logLevel }),
  });
  // Imported records are history: once published there is no reason to keep them in the log.
  const own = settingsOf(config);
  const settings = { ...own, ...(config.kafkaBrokers === undefined ? { logRetentionMs: DEAD_LOG_MS } : {}) };
  const ports: Ports = { ...stores, clock: systemClock, facts, random: Math.random, unique: randomUUID };
  const over = new AbortController();
  const roles = [runRoles(ports, settings, { roles: new Set(ROLES), wiring: archiving }, over.signal)];
  if (stores.embedded)
    roles.push(runRole({ clock: systemClock, facts, random: ports.random }, maintain(stores.pool), over.signal));
  const working = Promise.all(roles);
  const failed = working.then(() => new Promise<never>(() => undefined));
  const ahead = new Ahead(stores, systemClock, running.stop);
  try {
    const lineages = await stores.log.lineages();
    const identity = identityOf(lineages.map(({ id }) => id));
    const open = await openEdge(config, { stores, facts, processors });
    const edge = keepingSchemas(open, () => stores.ruleSets.newest.schemas);
    const target = { edge, kept: config, send: ahead.send.bind(ahead), settled: ahead.published.bind(ahead), identity };
    return await Promise.race([runImport(running, target), failed]);
  } finally {
    over.abort();
    await working.catch(() => undefined);
    await stores.close();
  }
}
