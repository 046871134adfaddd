// What the embedded product does with the defaults that it is shipped with, and whether its answers are right meanwhile.
// npm run build && node bench/embedded.mjs --events 200000 --date 2026-01-31 --name NAME; --help lists the rest.
import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bigPhase } from './lib/big.mjs';
import { Client } from './lib/client.mjs';
import { importPhase } from './lib/import.mjs';
import * as phases from './lib/phases.mjs';
import { profilePhase } from './lib/profile.mjs';
import { Report } from './lib/report.mjs';
import { killAll, MAIN, Server } from './lib/server.mjs';
import { Workload } from './lib/workload.mjs';

const ALL = ['start', 'ingest', 'freshness', 'query', 'rebuild', 'plain', 'import', 'profile'];
const text = (otherwise) => ({ type: 'string', default: String(otherwise) });
const { values } = parseArgs({
  options: {
    events: text(1_000_000),
    seed: text(1),
    hours: text(3),
    senders: text(4),
    rate: text(1000),
    seconds: text(30),
    import: text(200_000),
    profile: text(50_000),
    phases: text(ALL.join(',')),
    name: text('latest'),
    date: text(''),
    big: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const HELP = `node bench/embedded.mjs [options]
  --events N    events of the ingest phases, a fifth in requests of 100, the rest in requests of 1,000 (1000000)
  --seed N      of the workload (1)            --hours H    event times lie in the last H hours (3)
  --senders N   requests under way (4)         --rate N     events/s of the freshness phase (1000), for --seconds S (30)
  --import N    rows of the import (200000)    --profile N  events of the profiled run (50000)
  --big         queries over 1,000,000 cells, which are imported first: minutes
  --phases A,B  of ${ALL.join(', ')}
  --name NAME   bench/results/NAME.json        --date DATE  written there: this program does not decide what day it is`;

/** Times lie around the clock of the machine: the product refuses what is too old. The seed decides all the rest. */
const options = {
  ...{ seed: Number(values.seed), hours: Number(values.hours), now: Date.now() },
  ...{ events: Number(values.events), senders: Number(values.senders), rate: Number(values.rate) },
  ...{ seconds: Number(values.seconds), importRows: Number(values.import), profile: Number(values.profile) },
};
const wanted = new Set(values.phases.split(','));
const small = Math.floor(options.events / 5);

async function served(context) {
  const { report, dir } = context;
  const server = new Server(join(dir, 'data'));
  await server.start();
  Object.assign(context, { server, client: new Client(server.url), workload: new Workload(options) });
  if (wanted.has('ingest')) {
    await phases.ingestPhase(context, { events: small, size: 100 });
    context.ours = await phases.ingestPhase(context, { events: options.events - small, size: 1000 });
    await phases.memoryPhase(context);
  }
  if (wanted.has('query') && context.workload.count > 0) await phases.queryPhase(context);
  if (wanted.has('rebuild') && context.workload.count > 0) await phases.rebuildPhase(context);
  if (wanted.has('freshness')) await phases.freshnessPhase(context);
  if (wanted.has('start') && context.workload.count > 0) await phases.startPhase(context);
  report.keep('workload', {
    events: context.workload.made,
    different: context.workload.count,
    bytes: context.workload.bytes,
  });
  context.client.close();
  await server.stop();
}

async function everything(context) {
  if (wanted.has('start')) await phases.emptyStartPhase(context);
  if (['ingest', 'freshness', 'query', 'rebuild'].some((phase) => wanted.has(phase))) await served(context);
  if (wanted.has('plain') && context.ours !== undefined) await phases.plainPhase(context, context.ours);
  if (wanted.has('import')) await importPhase(context);
  if (values.big) await bigPhase(context);
  if (wanted.has('profile')) await profilePhase(context);
}

async function main() {
  if (!existsSync(MAIN)) throw new Error('there is no dist: npm run build');
  const command = ['node', 'bench/embedded.mjs', ...process.argv.slice(2)].join(' ');
  const report = new Report({ name: values.name, date: values.date, seed: options.seed, command });
  report.deviation('the log level is warn, the port a free one');
  const dir = await mkdtemp(join(tmpdir(), 'meterfold-bench-'));
  const stop = () => {
    killAll();
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
    process.exit(130);
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    await everything({ report, dir, options });
    report.write();
    process.exitCode = report.wrong.length === 0 ? 0 : 1;
  } finally {
    killAll();
    await rm(dir, { recursive: true, force: true });
  }
}

if (values.help) console.log(HELP);
else await main();
