// Simulation of the real modules: node scripts/simulate.mjs [schedules] [steps] [--seed S] [--jobs N]
// One schedule again, step by step: node scripts/simulate.mjs --seed S --steps N [--trace] [--minimise]
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { compile } from './compile.mjs';

function parse(argv) {
  const options = { jobs: 2, numbers: [] };
  for (let at = 0; at < argv.length; at += 1) {
    const name = argv[at].replace(/^--/, '');
    if (['seed', 'steps', 'jobs', 'stride'].includes(name)) options[name] = Number(argv[(at += 1)]);
    else if (name === 'in') options.in = argv[(at += 1)];
    else if (['trace', 'minimise', 'json'].includes(name)) options[name] = true;
    else if (/^\d+$/.test(name)) options.numbers.push(Number(name));
    else return undefined;
  }
  return options;
}

/** One process's share: every `jobs`-th seed. */
function share(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [new URL(import.meta.url).pathname, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout.on('data', (data) => (out += data));
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(out));
      else reject(new Error(`a share of the schedules ended with ${code}`));
    });
  });
}

function printTable(counts, expected, print) {
  const names = [...new Set([...expected, ...Object.keys(counts)])].sort();
  for (const name of names) print(`${String(counts[name] ?? 0).padStart(10)}  ${name}`);
  return expected.filter((name) => (counts[name] ?? 0) === 0);
}

async function runAll({ numbers, seed = 1, jobs }, built) {
  const [schedules = 300, steps = 300] = numbers;
  const began = performance.now();
  const each = Array.from({ length: jobs }, (_, n) => Math.floor((schedules + jobs - 1 - n) / jobs));
  const reports = await Promise.all(
    each.map((count, n) =>
      share([String(count), String(steps), '--seed', String(seed + n), '--stride', String(jobs), '--in', built, '--json']),
    ),
  );
  const counts = {};
  for (const report of reports)
    for (const [name, n] of Object.entries(report.counts)) counts[name] = (counts[name] ?? 0) + n;
  const { EXPECTED } = await import(join(built, 'test/simulation/tally.js'));
  const missing = printTable(counts, EXPECTED, console.log);
  const ran = reports.reduce((sum, report) => sum + report.ran, 0);
  const seconds = (performance.now() - began) / 1000;
  console.log(`${ran} schedules of ${steps} steps in ${seconds.toFixed(1)} s (${(ran / seconds).toFixed(0)} a second)`);
  const failed = reports.flatMap((report) => report.failed ?? []).sort((a, b) => a.seed - b.seed);
  for (const { seed: at, failure } of failed) {
    console.log(`FAILS at seed ${at}: ${failure}\n  node scripts/simulate.mjs --seed ${at} --steps ${steps} --trace`);
  }
  if (missing.length > 0) console.log(`never happened: ${missing.join('; ')}`);
  return failed.length + missing.length === 0 ? 0 : 1;
}

async function runOne({ seed = 1, steps = 300, trace, minimise }, built) {
  if (minimise) {
    const { minimise: shrink } = await import(join(built, 'test/simulation/minimise.js'));
    await shrink(seed, steps, console.log);
    return 1;
  }
  const { runSchedule } = await import(join(built, 'test/simulation/schedule.js'));
  const { failure } = await runSchedule(seed, steps, trace ? { trace: console.log } : {});
  console.log(failure === undefined ? `seed ${seed} holds for ${steps} steps` : `seed ${seed} FAILS: ${failure}`);
  return failure === undefined ? 0 : 1;
}

async function main(argv) {
  const options = parse(argv);
  if (options === undefined) {
    console.error('simulate.mjs [schedules] [steps] [--seed S] [--jobs N] | --seed S --steps N [--trace | --minimise]');
    return 2;
  }
  if (options.json) {
    const { runSchedules } = await import(join(options.in, 'test/simulation/main.js'));
    const [schedules, steps] = options.numbers;
    console.log(JSON.stringify(await runSchedules(schedules, steps, options.seed, options.stride)));
    return 0;
  }
  const built = options.in === undefined ? compile() : { to: options.in, remove: () => undefined };
  try {
    return await (options.steps === undefined ? runAll(options, built.to) : runOne(options, built.to));
  } finally {
    built.remove();
  }
}

process.exitCode = await main(process.argv.slice(2));
