// Faults over a real installation: npm run chaos -- [--seed S] [--minutes M] [--only NAME]… [--ci] [--list]
// After SIGINT the row that runs is finished. The table, and beside it test/chaos/results/seed-S.json. Exit 0 where every row holds. Needs `npm run build`.
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

const options = {
  seed: { type: 'string', default: '1' },
  minutes: { type: 'string', default: '0' },
  only: { type: 'string', multiple: true, default: [] },
  ci: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
};
const { seed, minutes, only, ci, list } = parseArgs({ options }).values;
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const wanted = JSON.stringify({ seed: Number(seed), minutes: Number(minutes), only, ci });
const program = list
  ? `import { list } from './run.ts'; console.log(list());`
  : `import { main } from './run.ts'; process.exitCode = await main(${wanted});`;
const args = ['--import', at('../test/support/typescript.mjs'), '--input-type=module', '--eval', program];
const child = spawn(process.execPath, args, { stdio: 'inherit', cwd: at('../test/chaos') });
process.on('SIGTERM', () => child.kill('SIGTERM'));
process.on('SIGINT', () => undefined);
child.on('exit', (code) => (process.exitCode = code ?? 1));
