// npm run demo: a finite, self-checking show. Exit 0 when everything is equal, 1 when anything differs.
import { parseArgs } from 'node:util';
import { Presets, SingleBar } from 'cli-progress';
import { IN_FLOW_WANTED, show } from './show.mjs';

const options = {
  seed: { type: 'string', default: '1' },
  plant: { type: 'boolean', default: false },
  events: { type: 'string', default: '12000' },
};
const { seed, plant, events } = parseArgs({ options }).values;
const total = Number(events);

const isTerminal = process.stderr.isTTY;
const bar = new SingleBar(
  { format: '{bar} {value}/{total} events', hideCursor: true, stream: process.stderr },
  Presets.shades_classic,
);
let said = 0;
const progress = (done) => {
  if (isTerminal) bar.update(done);
  else if (done >= said + total / 4) console.log(`${(said = done)} of ${total} events sent`);
};

const began = Date.now();
console.log(`seed ${seed}: ${total} events with duplicates, late and invalid ones; Meterfold is killed 6 times meanwhile`);
if (isTerminal) bar.start(total, 0);
const result = await show({
  seed: Number(seed),
  kills: 6,
  events: total,
  plant,
  say: (line) => console.log(line),
  progress,
});
if (isTerminal) bar.stop();

const head = ['tenant', 'sent', 'acknowledged', 'unique', 'archive', 'batch', 'merged'];
const cells = [head, ...result.rows.map((row) => row.map(String))];
const widths = head.map((_, n) => Math.max(...cells.map((row) => row[n].length)));
console.log('');
for (const row of cells)
  console.log(row.map((cell, n) => (n === 0 ? cell.padEnd(widths[n]) : cell.padStart(widths[n]))).join('  '));
const { stats, differences, startMs } = result;
console.log(
  `\n${stats.kills} kills, ${stats.killsWithUnpublished} with acknowledged and unpublished events; ${stats.resent} requests sent again; starts took ${startMs.join(', ')} ms`,
);
console.log(
  `${stats.comparisons} comparisons at the positions of their proofs, ${stats.inFlow} in full flow, ${stats.withSpeed} with a speed part`,
);

const short = [
  [stats.kills >= 5, 'fewer than 5 kills'],
  [stats.killsWithUnpublished >= 3, 'fewer than 3 kills with unpublished events'],
  [stats.comparisons >= 20 && stats.inFlow >= IN_FLOW_WANTED, 'too few comparisons'],
  [stats.withSpeed >= 20, 'too few comparisons with a speed part'],
].filter(([ok]) => !ok);
for (const [, what] of short) console.log(`the show was too short: ${what}`);
console.log(
  differences.length === 0
    ? `everything is equal (${((Date.now() - began) / 1000).toFixed(1)} s)`
    : `${differences.length} DIFFERENCES`,
);
process.exitCode = differences.length === 0 && short.length === 0 ? 0 : 1;
