// npm run check: everything that CI runs, in order, with the true counts at the end. `--quick` leaves out the long ones;
// `--node 22` runs only the unit and conformance suites, as CI does on each further version of Node.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const quick = process.argv.includes('--quick');
const scratch = mkdtempSync(join(tmpdir(), 'meterfold-check-'));
const suiteReport = join(scratch, 'suites.ndjson');
const results = [];
let [passed, failed] = [0, 0];

const env = { ...process.env, MF_SUITE_REPORT: suiteReport };

function run(name, command, args, more = {}) {
  console.log(`\n── ${name}`);
  const began = Date.now();
  const { status } = spawnSync(command, args, { stdio: 'inherit', env: { ...env, ...more } });
  const seconds = Math.round((Date.now() - began) / 1000);
  return { ok: status === 0, seconds };
}

/** A step that passes or fails as a whole. */
function step(name, command, args, more) {
  const { ok, seconds } = run(name, command, args, more);
  results.push([ok ? 'ok' : 'FAILED', `${seconds} s`, name]);
  if (ok) passed += 1;
  else failed += 1;
}

/** Suites of vitest: each test counts. */
function suites(name, args, { node = [process.execPath], ...more } = {}) {
  const file = join(scratch, `vitest-${results.length}.json`);
  const [command, ...before] = node;
  const vitest = [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${file}`,
  ];
  const { ok, seconds } = run(name, command, [...before, ...vitest, ...args], more);
  let report = { numPassedTests: 0, numFailedTests: ok ? 0 : 1, numPendingTests: 0 };
  try {
    report = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    console.error(`no report of ${name}: ${error.message}`);
    report.numFailedTests = 1;
  }
  // A suite that could not even be collected has no failing test of its own.
  const lost = ok || report.numFailedTests > 0 ? 0 : 1;
  const missing = ok && report.numPassedTests === 0 ? 1 : 0;
  passed += report.numPassedTests;
  failed += report.numFailedTests + lost + missing;
  results.push([
    ok && missing === 0 ? 'ok' : 'FAILED',
    `${seconds} s`,
    `${name}: ${report.numPassedTests} passed, ${report.numFailedTests + lost} failed`,
  ]);
}

const node = process.execPath;
step('build', 'npm', ['run', '--silent', 'build']);
step('types', 'npx', ['tsc']);
step('lint', 'npx', ['eslint', '.']);
step('format', 'npx', ['prettier', '--check', '--log-level', 'warn', '.']);
step('docs, schemas and promises agree with the code', node, ['scripts/docs-check.mjs']);
suites('unit and integration suites, with coverage of domain and runtime', [
  ...['src', 'test', '--exclude', 'test/simulation/**', '--exclude', 'test/process/**', '--exclude', 'test/chaos/**'],
  ...['--coverage', '--coverage.include=src/domain/**', '--coverage.include=src/runtime/**'],
  ...['--coverage.thresholds.branches=95', '--coverage.reporter=text-summary'],
]);
for (const example of ['embedded', 'processor-enrich']) step(`examples: ${example}`, node, [`examples/${example}.mjs`]);
suites('examples: a log of one’s own keeps the contract', ['examples']);
suites('process suites: kills of the real program', ['test/process']);
suites('faults under load: a selection of npm run chaos', ['test/chaos']);
if (!quick) {
  suites(
    'simulation: 5,000 schedules, which by themselves cover publish, merge and the memory store',
    [
      ...['test/simulation', '--coverage', '--coverage.include=src/batch/publish.ts'],
      ...['--coverage.include=src/serving/merged.ts', '--coverage.include=src/sinks/memory/*.ts'],
      ...['--coverage.thresholds.lines=90', '--coverage.thresholds.branches=90', '--coverage.reporter=text'],
    ],
    { SIMULATION_SCHEDULES: '5000' },
  );
  step('mutants: each rule of the protocol, broken, must be noticed', node, ['scripts/mutants.mjs']);
  step('demo', node, ['scripts/demo/main.mjs']);
  step('demo with a planted fault must fail', 'bash', [
    '-c',
    'if node scripts/demo/main.mjs --plant; then exit 1; else test $? -eq 1; fi',
  ]);
  step('demo, other seeds', node, ['scripts/demo-many.mjs', '--runs', '3', '--from', '100', '--events', '3000']);
  const conformance = ['log', 'views', 'migrate'].map((name) => `test/integration/postgres-${name}.test.ts`);
  for (const version of ['22', '24']) {
    const other = ['npx', '--yes', `node@${version}`];
    const here = [
      'src',
      ...conformance,
      'test/integration/s3-',
      'test/integration/http',
      'test/integration/versions.test.ts',
    ];
    suites(`unit and conformance suites on Node ${version}`, here, { node: other });
  }
}

console.log('\nsuite                                              server                ');
console.log('-------------------------------------------------  ----------------------');
try {
  const lines = readFileSync(suiteReport, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const seen = new Set();
  for (const { suite, server, outcome } of lines) {
    const text = `${suite.padEnd(49)}  ${server}${outcome === 'ran' ? '' : ` (${outcome})`}`;
    if (!seen.has(text)) console.log(text);
    seen.add(text);
  }
} catch (error) {
  console.log(`no suite has reported: ${error.message}`);
}
console.log('');
for (const [outcome, seconds, name] of results) console.log(`${outcome.padEnd(7)} ${seconds.padStart(6)}  ${name}`);
rmSync(scratch, { recursive: true, force: true });
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
