/** The README as a stranger reads it: its commands run, its answers are those of the program, its files are read. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseMeters, parseMetersFile } from '../../src/domain/meters-file.ts';
import { parseMapping } from '../../src/sources/import/mapping.ts';
import { Victim } from '../support/victim.ts';

const run = promisify(execFile);
const SERVED = 'http://127.0.0.1:8080';

interface Answer {
  readonly rows: readonly unknown[];
  readonly proof: { readonly state: string };
}

let dataDir: string;
let victim: Victim;
let blocks: readonly { readonly language: string; readonly text: string }[];

beforeAll(async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  blocks = [...readme.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map(([, language = '', text = '']) => ({ language, text }));
  dataDir = await mkdtemp(join(tmpdir(), 'meterfold-readme-'));
  victim = await Victim.start(dataDir);
});
afterAll(async () => {
  await victim.kill('SIGTERM');
  await rm(dataDir, { recursive: true });
});

const block = (language: string, holds: string): string => {
  const found = blocks.find((one) => one.language === language && one.text.includes(holds));
  if (found === undefined) throw new Error(`the README has no ${language} block with ${holds}`);
  return found.text;
};
const shell = async (text: string): Promise<unknown> =>
  JSON.parse((await run('sh', ['-c', text.replaceAll(SERVED, victim.url)])).stdout);

test('the worked example answers what the README says', async () => {
  const sent = (await shell(block('sh', '/v1/events'))) as { readonly accepted: number; readonly token: string };
  expect(sent.accepted).toBe(3);
  const query = block('sh', '/v1/meters/').trim().replace(/'$/, `&after=${sent.token}'`);
  const { proof, ...answer } = (await shell(query)) as Answer;
  const { proof: written, ...expected } = JSON.parse(block('json', '"proof"')) as Answer;
  expect(answer).toEqual(expected);
  expect(proof.state).toBe(written.state);
});

test('the meters file and the mapping are read as they stand', () => {
  expect(parseMeters(block('yaml', 'meters:')).meters.length).toBeGreaterThan(0);
  expect([...(parseMetersFile(block('yaml', 'schemas:')).schemas ?? [])]).toHaveLength(1);
  expect(parseMapping(block('yaml', 'idempotency_key')).events.length).toBeGreaterThan(0);
});

test('every command that the README lists is one of the program, and says what it does', async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const named = [...readme.matchAll(/^\| `meterfold ([a-z]+(?: [a-z]+)?)/gm)].map(([, name = '']) => name);
  expect(named.length).toBeGreaterThan(5);
  const main = new URL('../../dist/main.js', import.meta.url).pathname;
  for (const name of named) {
    const { stdout } = await run(process.execPath, [main, ...name.split(' '), '--help']);
    expect(stdout).toContain(`Usage: meterfold ${name}`);
  }
});
