// Which suites run on which servers: selected and listed before the run, and held to it afterwards. A suite writes a line when it
// is collected and one when it ran (test/support/services/suites.ts). Alone, `node scripts/suites.mjs`, it shows the table.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const keyOf = ({ suite, server }) => `${suite}\n${server}`;

/** The lines of a report by suite and server; of one suite the last word stands. */
function readReport(path) {
  const text = readFileSync(path, { encoding: 'utf8', flag: 'a+' }).trim();
  const lines = text === '' ? [] : text.split('\n').map((line) => JSON.parse(line));
  const order = ['missing', 'selected', 'ran'];
  const found = new Map();
  for (const line of lines) {
    const before = found.get(keyOf(line));
    if (before === undefined || order.indexOf(line.outcome) > order.indexOf(before.outcome)) found.set(keyOf(line), line);
  }
  return found;
}

/** Collects every suite and runs none: what servers are to be fetched is fetched here, once. */
export function selectSuites(env) {
  const scratch = mkdtempSync(join(tmpdir(), 'meterfold-suites-'));
  const report = join(scratch, 'suites.ndjson');
  const command = ['node_modules/vitest/vitest.mjs', 'list', 'test/', '--exclude', 'test/simulation/**'];
  const { status, stderr } = spawnSync(process.execPath, command, {
    env: { ...env, MF_SUITE_REPORT: report },
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  const selected = readReport(report);
  rmSync(scratch, { recursive: true, force: true });
  if (status !== 0) throw new Error(`the suites cannot be listed:\n${stderr}`);
  return new Map([...selected].sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function tableOf(rows) {
  const head = { suite: 'suite', server: 'server', way: 'by' };
  const cells = [head, ...rows].map(({ suite, server, way, outcome }) => [
    suite,
    server,
    outcome === 'missing' ? '(missing)' : way,
  ]);
  const widthOf = (column) => Math.max(...cells.map((row) => row[column].length));
  const line = (row) =>
    row
      .map((cell, n) => cell.padEnd(widthOf(n)))
      .join('  ')
      .trimEnd();
  return [line(cells[0]), line([0, 1, 2].map((n) => '-'.repeat(widthOf(n)))), ...cells.slice(1).map(line)].join('\n');
}

export const missingOf = (suites) => [...suites.values()].filter(({ outcome }) => outcome === 'missing');

/** Those that were selected and have not said that they ran. */
export function notRun(selected, path) {
  const ran = readReport(path);
  return [...selected.values()].filter((line) => line.outcome === 'selected' && ran.get(keyOf(line))?.outcome !== 'ran');
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const suites = selectSuites(process.env);
  console.log(tableOf([...suites.values()]));
  process.exitCode = process.env.CI === 'true' && missingOf(suites).length > 0 ? 1 : 0;
}
