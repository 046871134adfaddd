// The mutants of src: each must die, under random seeds or by its written schedule.
// node scripts/mutants.mjs [NAME …] [--schedules N] [--steps N] [--random]   --random: no written schedules
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MUTANTS, SPARE } from '../test/simulation/mutants/list.mjs';
import { compile, compileFile, root } from './compile.mjs';

const JOBS = 2;
/** A mutant that stands still for so long has not been caught. */
const PATIENCE_MS = 600_000;

function option(argv, name, otherwise) {
  const at = argv.indexOf(name);
  return at < 0 ? otherwise : Number(argv.splice(at, 2)[1]);
}

/** Throws where a patch is stale. Answers the patched text of each file. */
function patched({ name, patches }) {
  const texts = new Map();
  for (const { file, find, replace } of patches) {
    const text = texts.get(file) ?? readFileSync(join(root, file), 'utf8');
    const times = text.split(find).length - 1;
    if (times !== 1) throw new Error(`mutant ${name} is stale: its text is ${times} times in ${file}:\n${find}`);
    texts.set(
      file,
      text.replace(find, () => replace),
    );
  }
  return texts;
}

function run(script, args) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [new URL(script, import.meta.url).pathname, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: PATIENCE_MS,
    });
    let out = '';
    child.stdout.on('data', (data) => (out += data));
    child.on('close', (code) => resolve(code === 0 ? JSON.parse(out) : undefined));
  });
}

/** Answers how the mutant died, or undefined. */
async function hunt(mutant, texts, base, { schedules, steps, onlyRandom, trace }) {
  const dir = mkdtempSync(join(tmpdir(), 'meterfold-mutant-'));
  try {
    cpSync(base, dir, { recursive: true, verbatimSymlinks: true });
    for (const [file, text] of texts) compileFile(dir, file, text);
    if (mutant.how === 'script' && !onlyRandom) {
      const found = await run('./mutants.mjs', ['--script', mutant.name, '--in', dir, ...(trace ? ['--trace'] : [])]);
      return found?.failure && { needed: 'script', failure: found.failure };
    }
    const args = [String(schedules), String(steps), '--seed', '1', '--stride', '1', '--in', dir, '--json'];
    const report = await run('./simulate.mjs', args);
    return report?.failed && { needed: report.ran, failure: report.failed.failure };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function suite(argv) {
  const settings = {
    schedules: option(argv, '--schedules', 3000),
    steps: option(argv, '--steps', 300),
    trace: argv.includes('--trace') && argv.splice(argv.indexOf('--trace'), 1).length > 0,
    onlyRandom: argv.includes('--random') && argv.splice(argv.indexOf('--random'), 1).length > 0,
  };
  const all = [...MUTANTS, ...SPARE];
  const chosen = argv.length === 0 ? MUTANTS : all.filter(({ name }) => argv.includes(name));
  const unknown = argv.filter((name) => !all.some((mutant) => mutant.name === name));
  SPARE.forEach(patched);
  if (unknown.length > 0) throw new Error(`no such mutant: ${unknown.join(', ')}`);
  const work = chosen.map((mutant) => ({ mutant, texts: patched(mutant) }));
  const { to: base, remove } = compile();
  const began = performance.now();
  const survivors = await heldScripts(base, chosen, settings);
  const died = { random: 0, script: 0 };
  const next = async () => {
    for (let job = work.shift(); job !== undefined; job = work.shift()) {
      const { mutant, texts } = job;
      const death = await hunt(mutant, texts, base, settings);
      if (death === undefined) survivors.push(mutant.name);
      else died[death.needed === 'script' ? 'script' : 'random'] += 1;
      const how = death === undefined ? 'SURVIVES' : String(death.needed).padStart(8);
      console.log(`${mutant.name.padEnd(34)} ${how}  ${(death?.failure ?? '').split('\n')[0].slice(0, 110)}`);
    }
  };
  await Promise.all(Array.from({ length: JOBS }, next));
  remove();
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(
    `${died.random} died under random seeds, ${died.script} by written schedules, ${survivors.length} survive; ${seconds} s`,
  );
  if (chosen === MUTANTS && died.random < 12) survivors.push('fewer than 12 died under random seeds');
  return survivors.length === 0 ? 0 : 1;
}

/** The real modules must survive every written schedule. */
async function heldScripts(base, chosen, { onlyRandom }) {
  const failed = [];
  for (const { name, how } of onlyRandom ? [] : chosen) {
    if (how !== 'script') continue;
    const found = await run('./mutants.mjs', ['--script', name, '--in', base]);
    if (found?.failure === undefined && found !== undefined) continue;
    console.log(`the real modules fail the written schedule ${name}: ${found?.failure ?? 'it did not end'}`);
    failed.push(name);
  }
  return failed;
}

async function main(argv) {
  const at = argv.indexOf('--script');
  if (at < 0) return suite(argv);
  const { runScript } = await import(join(argv[argv.indexOf('--in') + 1], 'test/simulation/mutants/scripts.js'));
  console.log(
    JSON.stringify({ failure: await runScript(argv[at + 1], argv.includes('--trace') ? console.error : undefined) }),
  );
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
