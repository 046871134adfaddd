// What is written must be what is: generated files are current, every promise of docs/component-spec.md is named by a test and
// every test that names one finds it there, links lead somewhere, and JSON and shell blocks of the README parse.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { generated as configuration } from './config-reference.mjs';
import { generated as chart } from './helm-reference.mjs';
import { generated as metrics } from './metrics-reference.mjs';
import { generated as schemas } from './schemas.mjs';

const faults = [];
const read = (path) => readFileSync(path, 'utf8');
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .trim()
  .split('\n')
  .filter((path) => existsSync(path));

if (read('docs/configuration.md') !== (await configuration()))
  faults.push('docs/configuration.md is not current: npm run generate');
if (read('docs/metrics.md') !== (await metrics())) faults.push('docs/metrics.md is not current: npm run generate');
if (read('src/domain/schemas.ts') !== schemas()) faults.push('src/domain/schemas.ts is not current: npm run generate');
for (const [path, content] of Object.entries(await chart()))
  if (read(path) !== content) faults.push(`${path} is not current: npm run generate`);

// Promises: `**SPD-1**` in the specification, `SPD-1:` at the start of a test's name.
const promised = new Set([...read('docs/component-spec.md').matchAll(/\*\*([A-Z]{2,4}-\d+)\*\*/g)].map(([, id]) => id));
const tests = tracked
  .filter((path) => /^(test|src)\/.*\.ts$/.test(path))
  .map(read)
  .join('\n');
const named = new Set([...tests.matchAll(/['"`]([A-Z]{2,4}-\d+): /g)].map(([, id]) => id));
for (const id of promised) if (!named.has(id)) faults.push(`docs/component-spec.md promises ${id}, and no test names it`);
for (const id of named)
  if (!promised.has(id)) faults.push(`a test names ${id}, and docs/component-spec.md does not promise it`);

for (const path of tracked.filter((name) => name.endsWith('.md'))) {
  for (const [, target] of read(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)) {
    if (!existsSync(join(dirname(path), target))) faults.push(`${path} links to ${target}, which does not exist`);
  }
}

for (const path of ['README.md', 'docs/ARCHITECTURE.md']) {
  const lines = read(path).split('\n').length;
  if (path !== 'README.md' && lines > 200) faults.push(`${path} has ${lines} lines; 200 are allowed`);
}
for (const [, block] of read('README.md').matchAll(/```json\n([\s\S]*?)```/g)) {
  try {
    JSON.parse(block);
  } catch (error) {
    faults.push(`README.md has a JSON block that does not parse: ${error.message}`);
  }
}

for (const fault of faults) console.error(fault);
console.log(`${promised.size} promises, ${tracked.length} files, ${faults.length} faults`);
process.exitCode = faults.length === 0 ? 0 : 1;
