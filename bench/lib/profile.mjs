// Where the CPU goes: the profile of each thread, by whose code ran (self) and by which of our folders had called it (stage).
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from './client.mjs';
import { rounded } from './report.mjs';
import { Server } from './server.mjs';
import { Workload } from './workload.mjs';

const TRACE = new URL('./trace.mjs', import.meta.url).href;
const DIST = new URL('../../dist/', import.meta.url).href;
const MODULES = /node_modules\/((?:@[^/]+\/)?[^/]+)/;
const TOP = 25;

/** Files of the domain one by one: that folder is most of our own work. */
function oursOf(url) {
  const path = (url.startsWith('file:') ? url : `file://${url}`).split(DIST)[1];
  if (path === undefined) return undefined;
  const [folder, ...rest] = path.split('/');
  return rest.length === 0 || folder === 'domain' ? path : `${folder}/${rest.length > 1 ? `${rest[0]}/` : ''}`;
}

function ownerOf({ functionName, url }) {
  const modules = MODULES.exec(url)?.[1];
  if (/^\((garbage collector|program|idle)\)$/.test(functionName)) return functionName;
  if (url.startsWith('wasm:')) return 'PostgreSQL (WebAssembly)';
  if (modules !== undefined) return modules;
  return oursOf(url) ?? (url.startsWith('node:') ? url : 'other');
}

const add = (totals, name, ms) => totals.set(name, (totals.get(name) ?? 0) + ms);

/** Shares of what was not idle, greatest first. */
function shares(totals) {
  totals.delete('(idle)');
  const all = [...totals.values()].reduce((a, b) => a + b, 0);
  const sorted = [...totals].sort(([, a], [, b]) => b - a).slice(0, TOP);
  return sorted.map(([name, ms]) => ({ name, ms: Math.round(ms), percent: rounded((ms / all) * 100, 3) }));
}

function analyse({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const stageOf = new Map();
  /** Top down, so that a parent's stage is known: what we did not write is done for whoever of us called it. */
  const visit = (node, stage) => {
    const owner = ownerOf(node.callFrame);
    const own = owner.startsWith('(') ? owner : (oursOf(node.callFrame.url) ?? stage);
    stageOf.set(node.id, own ?? `by itself: ${owner}`);
    for (const child of node.children ?? []) visit(byId.get(child), own?.startsWith('(') ? undefined : own);
  };
  visit(nodes[0], undefined);
  const [self, stages, functions] = [new Map(), new Map(), new Map()];
  samples.forEach((id, n) => {
    const ms = (timeDeltas[n] ?? 0) / 1000;
    const { callFrame } = byId.get(id);
    const owner = ownerOf(callFrame);
    add(self, owner, ms);
    add(stages, stageOf.get(id), ms);
    if (!owner.startsWith('(')) add(functions, `${callFrame.functionName || '(anonymous)'} ${owner}`, ms);
  });
  return { self: shares(self), stages: shares(stages), functions: shares(functions) };
}

/** Statements by how long they occupied the database. */
async function statements(file) {
  const totals = Object.entries(JSON.parse(await readFile(file, 'utf8')));
  const all = totals.reduce((sum, [, { ms }]) => sum + ms, 0);
  const sorted = totals.sort(([, a], [, b]) => b.ms - a.ms).slice(0, TOP);
  return sorted.map(([name, { calls, ms }]) => ({
    ...{ name, calls, ms: Math.round(ms), percent: rounded((ms / all) * 100, 3) },
  }));
}

/** One run of its own, smaller: a profile costs time, so no speed is taken from it. */
export async function profilePhase({ dir, report, options }) {
  const profiles = join(dir, 'profiles');
  const trace = join(dir, 'trace.json');
  await mkdir(profiles);
  const server = new Server(join(dir, 'profiled'));
  const nodeArgs = ['--cpu-prof', `--cpu-prof-dir=${profiles}`, '--import', fileURLToPath(TRACE)];
  await server.start({ nodeArgs, env: { METERFOLD_TEST_BENCH_TRACE: trace } });
  const client = new Client(server.url);
  const workload = new Workload(options);
  const sent = await client.sendAll(workload.batches(options.profile, 1000), options.senders);
  const settled = await client.settled(sent);
  client.close();
  await server.stop();
  const threads = {};
  for (const name of await readdir(profiles)) {
    const found = analyse(JSON.parse(await readFile(join(profiles, name), 'utf8')));
    threads[found.self.some((s) => s.name.startsWith('PostgreSQL')) ? 'database' : 'main'] = found;
  }
  report.keep('profile', { events: options.profile, settled, threads, statements: await statements(trace) });
  for (const { name, percent } of threads.main?.stages.slice(0, 10) ?? [])
    report.row('profile', `main thread: ${name}`, `${percent} %`);
  for (const { name, percent } of threads.database?.self.slice(0, 4) ?? [])
    report.row('profile', `database thread: ${name}`, `${percent} %`);
  for (const { name, percent } of report.results.phases.profile.statements.slice(0, 10))
    report.row('profile', `statement: ${name}`, `${percent} %`);
}
