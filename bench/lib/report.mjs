// Rows of the table, percentiles, and the file of raw results.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';

const RESULTS = new URL('../results/', import.meta.url);

export const rounded = (value, digits = 3) => (Number.isFinite(value) ? Number(value.toPrecision(digits)) : value);
export const perSecond = (count, seconds) => Math.round(count / seconds);

/** Of all values, none of which is thrown away: exact, by nearest rank. */
export function percentiles(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => rounded(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]);
  return { samples: sorted.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: rounded(sorted.at(-1)) };
}

const commit = () => {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
};

export class Report {
  constructor({ name, date, seed, command }) {
    const [cpu] = cpus();
    const machine = {
      cpus: cpus().length,
      model: cpu?.model,
      memoryMb: Math.round(totalmem() / 2 ** 20),
      node: process.version,
    };
    this.results = {
      name,
      date,
      commit: commit(),
      seed,
      command,
      machine,
      loadAtStart: loadavg(),
      deviations: [],
      phases: {},
      rows: [],
    };
    this.wrong = [];
  }

  say(line) {
    console.log(line);
  }

  deviation(text) {
    this.results.deviations.push(text);
    this.say(`deviation from the defaults: ${text}`);
  }

  /** Raw results of a phase. */
  keep(phase, raw) {
    this.results.phases[phase] = { ...this.results.phases[phase], ...raw };
  }

  row(phase, what, value, target = '') {
    this.results.rows.push({ phase, what, value: String(value), target });
    this.say(`${phase.padEnd(12)} ${what.padEnd(58)} ${String(value).padStart(14)}  ${target}`);
  }

  /** A wrong answer ends the run with exit code 1, whatever its speed was. */
  check(phase, what, found) {
    this.wrong.push(...found);
    this.row(phase, what, found.length === 0 ? 'right' : 'WRONG', 'right');
    for (const line of found.slice(0, 10)) this.say(`  ${line}`);
  }

  write() {
    this.results.loadAtEnd = loadavg();
    mkdirSync(RESULTS, { recursive: true });
    const file = new URL(`${this.results.name}.json`, RESULTS);
    writeFileSync(file, `${JSON.stringify(this.results, null, 2)}\n`);
    this.say(`written: bench/results/${this.results.name}.json`);
  }
}
