import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { importPath, type ImportResult } from './importer.ts';
import { parseMapping } from './mapping.ts';

const MAPPING = (key: string): string => `
time: { column: t }
tenant: { value: acme }
idempotency_key: "${key}"
events: [{ event_type: { column: type }, quantity: { column: q } }]
properties: { column: p }
`;
const KEY = '{file}:{row}';
const HEADER = 't,q,type,p';
const row = (n: number | string): string => `2023-11-16 18:17:03,${n},calls,"{""n"":1}"`;
const csv = (...cells: readonly (number | string)[]): string => [HEADER, ...cells.map(row), ''].join('\n');

let dir: string;
let source: string;
let sent: string[];
let notes: string[];
let now: number;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'meterfold-resume-'));
  source = join(dir, 'in');
  await mkdir(join(source, 'b'), { recursive: true });
  [sent, notes, now] = [[], [], Date.UTC(2026, 0, 1)];
});
afterEach(() => rm(dir, { recursive: true, force: true }));

interface Options {
  /** Dies when so many batches are acknowledged. */
  readonly dieAfter?: number;
  readonly key?: string;
  readonly identity?: string;
  readonly checkpoint?: string;
  readonly path?: string;
}

function run({
  dieAfter = Infinity,
  key = KEY,
  identity = 'log',
  checkpoint,
  path = source,
}: Options = {}): Promise<ImportResult> {
  let batches = 0;
  return importPath({
    path,
    mapping: parseMapping(MAPPING(key)),
    batch: 2,
    rejectsPath: join(dir, 'rejects'),
    now: () => now,
    checkpoint: {
      path: checkpoint ?? join(dir, 'checkpoint'),
      identity,
      now: () => now,
      note: (text) => void notes.push(text),
    },
    send: async (events) => {
      if (batches === dieAfter) throw new Error('died');
      batches += 1;
      now += 2000;
      sent.push(...events.map((event) => event.key));
    },
  });
}
const rejected = async (): Promise<unknown[]> =>
  (await readFile(join(dir, 'rejects'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('an import of a folder', () => {
  beforeEach(async () => {
    await writeFile(join(source, 'a.csv'), csv(1, 2, 'many', 4, 5));
    await writeFile(
      join(source, 'b', 'c.ndjson'),
      '{"t":"2023-11-16 18:17:03","q":1,"type":"calls","p":{"n":1}}\n'.repeat(3),
    );
  });
  const ALL = ['a.csv:1', 'a.csv:2', 'a.csv:4', 'a.csv:5', 'b/c.ndjson:1', 'b/c.ndjson:2', 'b/c.ndjson:3'];

  test('names the file in keys and rejects, and its batches reach over files', async () => {
    expect(await run()).toEqual({ files: 2, rows: 8, events: 7, rejected: 1, skippedRows: 0, skippedFiles: 0 });
    expect(sent).toEqual(ALL);
    expect(await rejected()).toMatchObject([{ file: 'a.csv', line: 4, row: 3, code: 'NOT_A_DECIMAL' }]);
  });

  test.each([0, 1, 2, 3])('that dies after %i batches goes on behind them, with every reject once', async (dieAfter) => {
    await expect(run({ dieAfter })).rejects.toThrow('died');
    const before = sent.length;
    const result = await run();
    expect(sent).toEqual(ALL);
    expect(result.events).toBe(ALL.length - before);
    expect(result.rows + result.skippedRows).toBe(8);
    expect(await rejected()).toHaveLength(1);
    expect(await readdir(dir)).not.toContain('checkpoint');
  });

  test('reads a file that changed, and one that came in between, in spite of the checkpoint', async () => {
    await expect(run({ dieAfter: 3 })).rejects.toThrow('died');
    sent = [];
    await writeFile(join(source, 'a.csv'), csv(1, 2, 3));
    await utimes(join(source, 'a.csv'), 1, 1);
    await writeFile(join(source, 'a0.csv'), csv(9));
    await run();
    expect(sent).toEqual(['a.csv:1', 'a.csv:2', 'a.csv:3', 'a0.csv:1', 'b/c.ndjson:3']);
    expect(notes).toEqual([expect.stringContaining('has changed since the checkpoint')]);
  });

  test('into another log, or by another mapping, begins at the start', async () => {
    await expect(run({ dieAfter: 2 })).rejects.toThrow('died');
    sent = [];
    await run({ identity: 'another log' });
    expect(sent).toEqual(ALL);
    expect(notes).toEqual([expect.stringContaining('another mapping or target')]);
  });

  test('with {row} and without {file} in its key is refused', async () => {
    await expect(run({ key: 'k-{row}' })).rejects.toMatchObject({
      code: 'BAD_MAPPING',
      message: expect.stringContaining('{file}'),
      detail: { field: 'idempotency_key' },
    });
    expect(sent).toEqual([]);
    await run({ key: 'k-{row}', path: join(source, 'a.csv') });
    expect(sent[0]).toBe('k-1');
  });

  test('says before the first row that its checkpoint cannot be written, and does not overwrite what is none', async () => {
    const nowhere = join(dir, 'gone', 'checkpoint');
    const refusal = { code: 'BAD_CHECKPOINT', detail: { field: 'checkpoint', value: nowhere } };
    await expect(run({ checkpoint: nowhere })).rejects.toMatchObject(refusal);
    const other = join(dir, 'other.json');
    for (const text of ['{"mine":1}', 'no json']) {
      await writeFile(other, text);
      await expect(run({ checkpoint: other })).rejects.toMatchObject({ code: 'BAD_CHECKPOINT' });
      expect(await readFile(other, 'utf8')).toBe(text);
    }
    expect(sent).toEqual([]);
  });

  test('that fails before anything is done leaves no checkpoint', async () => {
    await writeFile(join(source, 'a.csv'), 't,q\n1,2\n');
    await expect(run()).rejects.toMatchObject({
      code: 'BAD_MAPPING',
      message: expect.stringContaining('a.csv has no column type'),
    });
    await expect(run({ path: join(dir, 'gone') })).rejects.toMatchObject({ code: 'BAD_INPUT_FILE' });
    expect(await readdir(dir)).toEqual(['in']);
  });
});

describe('a mapping', () => {
  test('may take event type and all properties from columns', async () => {
    await writeFile(
      join(source, 'a.csv'),
      `${HEADER}\n2023-11-16 18:17:03,1,calls,\n2023-11-16 18:17:03,1,,{}\n2023-11-16 18:17:03,1,x,[1]\n`,
    );
    expect(await run()).toMatchObject({ events: 1, rejected: 2 });
    expect(await rejected()).toMatchObject([
      { code: 'EMPTY', field: 'event_type' },
      { code: 'WRONG_TYPE', field: 'properties' },
    ]);
  });

  test('of a guarded CSV takes one apostrophe away', async () => {
    const path = join(source, 'a.csv');
    await writeFile(path, `k,${HEADER}\n'=1,${row(1)}\n''x,${row(1)}\nplain,${row(1)}\n`);
    const keys: string[] = [];
    const mapping = parseMapping(`${MAPPING('{k}')}guarded: true\n`);
    const send = async (events: readonly { readonly key: string }[]): Promise<void> =>
      void keys.push(...events.map((e) => e.key));
    await importPath({ path, mapping, send, batch: 10, rejectsPath: join(dir, 'rejects'), now: () => now });
    expect(keys).toEqual(['=1', "'x", 'plain']);
  });
});

test('the mappings of the documentation are read as they stand', async () => {
  const page = await readFile(new URL('../../../docs/importing.md', import.meta.url), 'utf8');
  const blocks = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => parseMapping(text));
  expect(blocks.map(({ isGuarded, propertiesColumn }) => [isGuarded, propertiesColumn])).toEqual([
    [false, undefined],
    [true, 'properties'],
  ]);
});
