import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { literal, openDuckDb } from '../../duckdb.ts';
import type { Row } from './row.ts';
import { openRows } from './rows.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'meterfold-parquet-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function write(name: string, select: string): Promise<string> {
  using open = await openDuckDb(':memory:');
  const path = join(dir, name);
  await open.connection.run(`COPY (${select}) TO ${literal(path)} (FORMAT parquet, ROW_GROUP_SIZE 2048)`);
  return path;
}

async function read(path: string, columns: readonly string[]): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of (await openRows(path, { columns, isGuarded: false })).rows) rows.push(row);
  return rows;
}

describe('rows of Parquet', () => {
  test('have every digit of decimals, whole numbers and times', async () => {
    const path = await write(
      'usage',
      `SELECT 12345678901234567890.123456789012::DECIMAL(38, 12) d, 9007199254740993::BIGINT big, 7::BIGINT small, 0.1::FLOAT f,
        1e20::DOUBLE g, TIMESTAMP '2023-11-16 18:17:03.979961' t, TIMESTAMPTZ '2023-11-16 18:17:03+01' z,
        make_timestamp_ns(1700000000123456789) n, DATE '2023-11-16' AS day, true AS b, NULL::INT AS nothing, 'x''"y' AS "odd ""name",
        {'a': 12345678901234567890.5::DECIMAL(38, 1)} AS s, [1, 2] AS l, 'abc'::BLOB AS raw`,
    );
    const names = ['d', 'big', 'small', 'f', 'g', 't', 'z', 'n', 'day', 'b', 'nothing', 'odd "name', 's', 'l', 'raw'];
    const [row] = await read(path, names);
    expect(JSON.parse(JSON.stringify(row))).toEqual({
      row: 1,
      values: {
        ...{ d: '12345678901234567890.123456789012', big: '9007199254740993', small: 7, f: 0.1, g: 1e20 },
        ...{
          t: '2023-11-16T18:17:03.979961',
          z: '2023-11-16T17:17:03Z',
          n: '2023-11-14T22:13:20.123456',
          day: '2023-11-16',
        },
        ...{ b: true, nothing: null, 'odd "name': 'x\'"y', s: { a: '12345678901234567890.5' }, l: [1, 2], raw: 'abc' },
      },
    });
  });

  test('come in the order of the file, over many row groups', async () => {
    const path = await write('many.parquet', 'SELECT range::INT AS n FROM range(20000) ORDER BY range');
    const rows = await read(path, ['n']);
    expect(rows).toHaveLength(20_000);
    expect(rows.every(({ row, values }, at) => row === at + 1 && values?.n === at)).toBe(true);
  });

  test('come from the file that was named, though its name looks like a pattern', async () => {
    await write('a1.parquet', `SELECT 'other' AS n`);
    const bytes = await readFile(await write('plain.parquet', `SELECT 'this' AS n`));
    for (const name of ['a[1].parquet', 'a*.parquet', 'a?.parquet', "it's.parquet"]) {
      await writeFile(join(dir, name), bytes);
      expect((await read(join(dir, name), ['n'])).map(({ values }) => values)).toEqual([{ n: 'this' }]);
    }
  });

  test('of a file that breaks off, or is none, are refused', async () => {
    const path = await write('cut.parquet', 'SELECT range AS n FROM range(5000)');
    await truncate(path, 500);
    await expect(read(path, ['n'])).rejects.toMatchObject({
      code: 'BAD_INPUT_FILE',
      message: expect.not.stringContaining('\n'),
    });
    const text = join(dir, 'text.parquet');
    await writeFile(text, 'a,b\n1,2\n');
    await expect(read(text, ['a'])).rejects.toMatchObject({ code: 'BAD_INPUT_FILE' });
  });

  test('without a column of the mapping are refused before the first', async () => {
    const path = await write('a.parquet', 'SELECT 1 AS a');
    await expect(read(path, ['a', 'gone'])).rejects.toMatchObject({
      code: 'BAD_MAPPING',
      message: expect.stringContaining('no column gone'),
      detail: { allowed: 'a' },
    });
  });
});
