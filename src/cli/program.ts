/** The commands and their options. Each loads what it needs when it runs: a start waits for no module of another command. */
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { type Config, envName, parseConfig, shownConfig } from '../config.ts';
import { SETTINGS } from '../settings.ts';
import { MeterError } from '../errors.ts';
import type { Ask } from './ask.ts';
import type { ExpandFlags } from './broker.ts';
import type { JsonFlag, RejectFlags } from './checks.ts';
import type { ExportFlags } from './export.ts';
import type { AcknowledgeFlags } from './gaps.ts';
import type { ImportFlags } from './import.ts';
import { json, type Streams, table } from './output.ts';
import type { TableName } from '../sinks/export/tables.ts';
import type { QueryFlags } from './query.ts';
import type { RebuildFlags } from './rebuild.ts';
import type { RedriveFlags } from './redrive.ts';
import type { RoleName } from '../topology.ts';

export interface Context {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly streams: Streams;
  readonly stop: AbortSignal;
  readonly random: () => number;
}

type Flags = Readonly<Record<string, unknown>>;
type Done = (code: number) => void;

/** Flags over environment over file over defaults. Throws BAD_CONFIG. */
async function configOf(context: Context, flags: Flags): Promise<Config> {
  const env = await withFiles(context.env);
  const path = typeof flags.config === 'string' ? flags.config : env.METERFOLD_CONFIG_FILE;
  return parseConfig({
    flags,
    env,
    ...(path === undefined ? {} : { file: await readConfigFile(path), fileDir: dirname(path) }),
  });
}

/** A setting may lie in a file of its own, as orchestrators mount secrets: METERFOLD_NAME_FILE is where. */
async function withFiles(env: Context['env']): Promise<Context['env']> {
  const found = SETTINGS.map(({ name }) => envName(name)).filter((name) => env[`${name}_FILE`] !== undefined);
  const texts = found.map(async (name) => [name, await readSecret(name, env[`${name}_FILE`] ?? '')] as const);
  return { ...env, ...Object.fromEntries(await Promise.all(texts)) };
}

async function readSecret(name: string, path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).replace(/\r?\n$/, '');
  } catch (cause) {
    const what = `read ${path}, which ${name}_FILE names: it cannot be read`;
    throw new MeterError('BAD_CONFIG', what, { field: `${name}_FILE`, value: path, cause });
  }
}

async function readConfigFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new MeterError('BAD_CONFIG', `read the configuration file ${path}: it cannot be read`, {
      field: 'config',
      value: path,
      cause,
    });
  }
}

async function askOf(context: Context, flags: Flags): Promise<Ask> {
  const { askOf: ask } = await import('./ask.ts');
  return ask(await configOf(context, flags), urlOf(flags));
}

const urlOf = ({ url }: Flags): string | undefined => (typeof url === 'string' ? url : undefined);

/** Options of every command that takes settings. */
const configured = (command: Command): Command =>
  command.option('--meters-file <file>', 'YAML file of meters').option('--config <file>', 'YAML file of settings');

/** ... that opens a data directory. */
const opening = (command: Command): Command =>
  configured(command.option('--data-dir <dir>', 'where the data lies (default: ./.meterfold)'));

/** ... that listens. */
const listening = (command: Command): Command =>
  command
    .option('--port <port>', 'port to listen on; 0 takes a free one (default: 8080)')
    .option('--host <host>', 'address to listen on (default: 127.0.0.1)')
    .option('--insecure', 'listen on other addresses than loopback');

/** ... or asks a server. */
const asking = (command: Command): Command =>
  opening(command).option('--url <url>', 'ask the server at this address instead').option('--json', 'print JSON');

function addDev(root: Command, context: Context, done: Done): void {
  listening(opening(root.command('dev').description('run the whole product in this process'))).action(
    async (flags: Flags) => {
      const { dev } = await import('./dev.ts');
      done(await dev(await configOf(context, flags), context.random, context.streams, context.stop));
    },
  );
}

const ROLES: Readonly<Record<RoleName, string>> = {
  ingest: 'serve POST /v1/events: events into the log',
  worker: 'read its share of the log into live counters and archive',
  publisher: 'fold what is sealed into the batch view',
  relay: 'bring misrouted and redriven records home',
  scheduler: 'declare what the meters file says; tick, collect what is published, keep retention',
  api: 'serve answers over HTTP',
};

/** Roles of several processes that share a database, Redis and a bucket: any number of each. */
function addRoles(root: Command, context: Context, done: Done): void {
  for (const [name, what] of Object.entries(ROLES) as [RoleName, string][])
    listening(configured(root.command(name).description(`role: ${what}`))).action(async (flags: Flags) => {
      const { role } = await import('./dev.ts');
      done(await role(name, await configOf(context, flags), context, context.stop));
    });
}

function addImport(root: Command, context: Context, done: Done): void {
  const what = 'import usage from a file or a folder of CSV, NDJSON (also gzipped), Avro or Parquet';
  asking(root.command('import <path>').description(what))
    .requiredOption('--mapping <file>', 'YAML file that says which columns make which events')
    .option('--checkpoint <file>', 'where to note what is done (default: PATH.checkpoint.json)')
    .option('--no-checkpoint', 'begin at the start, and note nothing')
    .option('--rejects <file>', 'for rows that cannot be used (default: PATH.rejects.ndjson)')
    .action(async (file: string, flags: Flags & ImportFlags) => {
      const { importCommand } = await import('./import.ts');
      done(await importCommand(file, flags, await configOf(context, flags), context.streams, context.stop));
    });
}

function addExport(root: Command, context: Context, done: Done): void {
  const parent = root.command('export').description('write what is published into a file');
  const tables = { events: 'the events, newest first', usage: 'the hourly usage, by tenant, event type and hour' } as const;
  for (const [table, what] of Object.entries(tables) as [TableName, string][])
    asking(parent.command(table).description(what))
      .requiredOption('--out <file>', 'the file, which appears when it is whole; - for the standard output')
      .option('--format <name>', 'csv, ndjson or parquet (default: by the name of the file)')
      .option('--from <time>', 'from this time on, such as 2026-01-31T00:00Z or 2026-01-31')
      .option('--to <time>', 'before this time')
      .option('--tenant <id>', 'only of this tenant')
      .option('--event-type <name>', 'only of this type')
      .action(async (flags: Flags & ExportFlags) => {
        const { exportCommand } = await import('./export.ts');
        const ask = await askOf(context, flags);
        done(await exportCommand(table, flags, ask, context.streams, context.stop));
      });
}

const collect = (value: string, list: readonly string[]): readonly string[] => [...list, value];

function addQuery(root: Command, context: Context, done: Done): void {
  asking(root.command('query <meter>').description('ask for usage: batch and live, merged'))
    .requiredOption('--from <time>', 'start, a whole minute, such as 2026-01-31T00:00Z or 2026-01-31')
    .requiredOption('--to <time>', 'end, not included')
    .option('--tenant <id>', 'of one tenant (default: the sum over all)')
    .option('--window <size>', 'minute, hour, day, month or range (default: range)')
    .option('--zone <zone>', 'IANA time zone of days and months (default: UTC)')
    .option('--group-by <names>', 'properties, separated by commas')
    .option('--filter <name=value>', 'only where the property has this value; may be repeated', collect, [])
    .option('--meter-version <n>', 'this version of the meter (default: the newest that answers)')
    .option('--after <token>', 'wait until this write is in the answer')
    .action(async (meter: string, flags: Flags & QueryFlags) => {
      const { queryCommand } = await import('./query.ts');
      done(await queryCommand(meter, flags, await askOf(context, flags), context.streams));
    });
}

function addChecks(root: Command, context: Context, done: Done): void {
  asking(
    root.command('verify').description('recount everything from the archive and compare; exit 1 where anything differs'),
  ).action(async (flags: Flags & JsonFlag) => {
    const { verifyCommand } = await import('./checks.ts');
    done(await verifyCommand(flags, await askOf(context, flags), context.streams));
  });
  asking(root.command('rebuild').description('make the batch view anew from the archive, compare, and put it in place'))
    .option('--accept-differences', 'put it in place also where it differs from the live view')
    .option('--drop', 'give up what an earlier rebuild left')
    .action(async (flags: Flags & RebuildFlags) => {
      const { rebuildCommand } = await import('./rebuild.ts');
      done(await rebuildCommand(flags, await askOf(context, flags), context.streams, context.stop));
    });
  const rejects = root.command('rejects').description('records that could not be used');
  asking(rejects.command('list').description('list them, newest first'))
    .option('--code <code>', 'only with this code')
    .option('--tenant <id>', 'only of this tenant')
    .option('--limit <n>', 'how many', '50')
    .option('--cursor <cursor>', 'where the last list ended')
    .action(async (flags: Flags & RejectFlags) => {
      const { rejectsCommand } = await import('./checks.ts');
      done(await rejectsCommand(flags, await askOf(context, flags), context.streams));
    });
  const what = 'send those home that would count now, each once: after a tenant was registered, or its time has come';
  asking(rejects.command('redrive').description(what))
    .option('--dry-run', 'say what would become of each; write nothing')
    .option('--code <code>', 'only with this code')
    .option('--tenant <id>', 'only of this tenant')
    .option('--since <time>', 'only what arrived from this time on')
    .option('--before <time>', 'only what arrived before this time')
    .option('--lineage <lineage>', 'only of this lineage')
    .option('--position <position>', 'with --lineage: only this one')
    .action(async (flags: Flags & RedriveFlags) => {
      const { redriveCommand } = await import('./redrive.ts');
      done(await redriveCommand(flags, await askOf(context, flags), context.streams));
    });
}

function addRestored(root: Command, context: Context, done: Done): void {
  const what = 'say that PostgreSQL was put back to an earlier state, while no role runs: live counters begin anew';
  configured(root.command('restored').description(what))
    .option('--json', 'print JSON')
    .action(async (flags: Flags & JsonFlag) => {
      const { restoredCommand } = await import('./restored.ts');
      done(await restoredCommand(await configOf(context, flags), flags, context.streams));
    });
}

function addGaps(root: Command, context: Context, done: Done): void {
  const gaps = root.command('gaps').description('what the log let go of before it was read: lost usage, on record');
  asking(gaps.command('list').description('list them; exit 1 while one is not acknowledged')).action(
    async (flags: Flags & JsonFlag) => {
      const { gapsCommand } = await import('./gaps.ts');
      done(await gapsCommand(flags, await askOf(context, flags), context.streams));
    },
  );
  const what = 'note that you know of a gap: answers name it from then on, and are exact without it';
  asking(gaps.command('acknowledge <lineage> <from>').description(what))
    .requiredOption('--note <text>', 'what was done about it')
    .action(async (lineage: string, from: string, flags: Flags & AcknowledgeFlags) => {
      const { acknowledgeCommand } = await import('./gaps.ts');
      done(await acknowledgeCommand({ lineage, from }, flags, await askOf(context, flags), context.streams));
    });
}

function addBroker(root: Command, context: Context, done: Done): void {
  const broker = root.command('broker').description('the topics of Kafka that are the log');
  const what = 'go on in a new topic, under load: the old one is closed and drains; run again, it goes on where it stopped';
  asking(broker.command('expand').description(what))
    .requiredOption('--topic <name>', 'the new topic, made for it: it is checked like the first one')
    .option('--partitions <n>', 'how many of its partitions homes are spread over (default: all that it has)')
    .action(async (flags: Flags & ExpandFlags) => {
      const { expandCommand } = await import('./broker.ts');
      done(await expandCommand(flags, await askOf(context, flags), context.streams));
    });
}

function addSchemas(root: Command, context: Context, done: Done): void {
  const schemas = root.command('schemas').description('what the events of a type promise');
  asking(schemas.command('list').description('list them with their versions')).action(async (flags: Flags & JsonFlag) => {
    const { schemasCommand } = await import('./schemas.ts');
    done(await schemasCommand(flags, await askOf(context, flags), context.streams));
  });
}

function addConfig(root: Command, context: Context, done: Done): void {
  opening(root.command('config').description('print the effective configuration, or everything that is wrong with it'))
    .option('--json', 'print JSON')
    .option('--check', 'try every server, right and setting; exit 1 where anything is at fault. Nothing is changed')
    .addOption(new Option('--role <role>', 'with --check: what this role needs').choices(Object.keys(ROLES)))
    .action(async (flags: Flags & JsonFlag & { readonly check?: boolean; readonly role?: RoleName }) => {
      if (flags.check === true) {
        const { configCheckCommand } = await import('./config-check.ts');
        done(await configCheckCommand(() => configOf(context, flags), flags, context.streams));
        return;
      }
      const config = await configOf(context, flags);
      const { declaredBy } = await import('./schemas.ts');
      const shown = { ...shownConfig(config), ...(await declaredBy(config)) };
      const rows = Object.entries(shown).map(([name, value]) => [
        name,
        value === null ? '–' : typeof value === 'string' ? value : JSON.stringify(value),
      ]);
      context.streams.out(flags.json === true ? json(shown) : table(['setting', 'value'], rows, new Set()));
      done(0);
    });
}

/** Resolves with the exit code: 0 done, 1 a check failed, 2 usage. */
export async function program({ streams, ...context }: Context, argv: readonly string[]): Promise<number> {
  let code = 0;
  const done = (result: number): void => void (code = result);
  const root = new Command('meterfold').description('Usage metering whose live answers are exact.').version('0.1.0');
  const write = (to: (text: string) => void) => (text: string) => {
    to(text.trimEnd());
  };
  // Set before the commands are added: they inherit it.
  root.exitOverride().configureOutput({ writeOut: write(streams.out), writeErr: write(streams.err) });
  for (const add of [
    addDev,
    addRoles,
    addImport,
    addExport,
    addQuery,
    addChecks,
    addRestored,
    addGaps,
    addBroker,
    addSchemas,
    addConfig,
  ])
    add(root, { streams, ...context }, done);
  try {
    await root.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    // Commander has said what is wrong; help and version are no error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
  return code;
}
