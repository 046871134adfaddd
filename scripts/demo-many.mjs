// The demo's stream again and again, with different seeds and kills: node scripts/demo-many.mjs --runs 200 [--from 1] [--events 5000]
import { parseArgs } from 'node:util';
import { show } from './demo/show.mjs';

const options = {
  runs: { type: 'string', default: '5' },
  from: { type: 'string', default: '1' },
  events: { type: 'string', default: '5000' },
};
const { runs, from, events } = parseArgs({ options }).values;
const totals = { kills: 0, killsWithUnpublished: 0, comparisons: 0, inFlow: 0, withSpeed: 0, resent: 0 };
let differing = 0;
const slowest = { start: 0, run: 0 };
for (let seed = Number(from); seed < Number(from) + Number(runs); seed += 1) {
  const began = Date.now();
  const lines = [];
  const { stats, differences, startMs } = await show({
    seed,
    kills: 5,
    events: Number(events),
    plant: false,
    say: (line) => lines.push(line),
    progress: () => undefined,
  });
  const took = Date.now() - began;
  for (const name of Object.keys(totals)) totals[name] += stats[name];
  slowest.start = Math.max(slowest.start, ...startMs);
  slowest.run = Math.max(slowest.run, took);
  if (differences.length > 0) differing += 1;
  console.log(
    `seed ${seed}: ${differences.length} differences, ${stats.kills} kills, ${stats.comparisons} comparisons, ${(took / 1000).toFixed(1)} s`,
  );
  if (differences.length > 0) console.log(lines.join('\n'));
}
console.log(
  `${runs} runs, ${differing} with differences; ${JSON.stringify(totals)}; slowest start ${slowest.start} ms, slowest run ${(slowest.run / 1000).toFixed(1)} s`,
);
process.exitCode = differing === 0 ? 0 : 1;
