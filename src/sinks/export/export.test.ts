import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { literal, openDuckDb } from '../../duckdb.ts';
import { type ExportFormat, FORMATS, TABLES } from './tables.ts';
import { csvHeader, csvLine, guarded, jsonLine } from './text.ts';
import { fileWriter, streamWriter } from './writer.ts';

const EVENT = {
  tenant_id: '=cmd()',
  event_type: 'calls',
  quantity: '12345678901234567890.123456789012',
  idempotency_key: '-1',
  event_timestamp: '2023-11-16T18:17:03.979961Z',
  subject: null,
  properties: { a: '=1', n: 1 },
  lineage: 'pg.0',
  position: '00000000000000000001',
  arrival: '2026-01-01T00:00:00.001Z',
};

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'meterfold-export-'));
  path = join(dir, 'out');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function written(format: ExportFormat, rows: readonly Record<string, unknown>[]): Promise<void> {
  const writer = await fileWriter(format, TABLES.events, path);
  try {
    for (const row of rows) await writer.write([row]);
    await writer.finish();
  } finally {
    await writer.close();
  }
}

describe('CSV', () => {
  test('cells of text cannot become formulas, numbers stay numbers', () => {
    const [cells] = parse(csvLine(TABLES.events, { ...EVENT, quantity: '-5' }));
    expect(cells?.slice(0, 4)).toEqual(["'=cmd()", 'calls', '-5', "'-1"]);
    expect(['+1', '@a', '\tx', '\rx', "'x"].map(guarded)).toEqual(["'+1", "'@a", "'\tx", "'\rx", "''x"]);
  });

  test('gives back every text, whatever is in it', () => {
    const row = fc.record({ tenant_id: fc.string(), event_type: fc.string(), idempotency_key: fc.string() });
    fc.assert(
      fc.property(row, (texts) => {
        const text = csvHeader(TABLES.events) + csvLine(TABLES.events, texts);
        const [read] = parse<Record<string, string>>(text, { columns: true });
        for (const [name, cell] of Object.entries(texts)) expect(read?.[name]?.replace(/^'/, '')).toBe(cell);
      }),
    );
  });
});

describe('NDJSON', () => {
  test('has every column in order, and null where nothing is', () => {
    expect(jsonLine(TABLES.events, EVENT)).toBe(`${JSON.stringify(EVENT)}\n`);
    expect(jsonLine(TABLES.usage, {})).toContain('"hour":null');
  });
});

describe('an export into a file', () => {
  test('of Parquet has exact decimals and times', async () => {
    await written('parquet', [EVENT, { ...EVENT, quantity: '0.000000000001', subject: 's' }]);
    using open = await openDuckDb(':memory:');
    const types = await open.connection.runAndReadAll(`DESCRIBE SELECT * FROM read_parquet(${literal(path)})`);
    const typeOf = new Map(types.getRows().map(([name, type]) => [name, type]));
    expect(typeOf.get('quantity')).toBe('DECIMAL(38,12)');
    expect(typeOf.get('event_timestamp')).toBe('TIMESTAMP WITH TIME ZONE');
    const select = `SELECT tenant_id, quantity::VARCHAR, epoch_us(event_timestamp), subject, properties FROM read_parquet(${literal(path)})`;
    expect((await open.connection.runAndReadAll(select)).getRows()).toEqual([
      ['=cmd()', EVENT.quantity, 1_700_158_623_979_961n, null, '{"a":"=1","n":1}'],
      ['=cmd()', '0.000000000001', 1_700_158_623_979_961n, 's', '{"a":"=1","n":1}'],
    ]);
  });

  test('of decimals that Parquet does not hold is refused, and leaves nothing', async () => {
    await expect(written('parquet', [EVENT, { ...EVENT, quantity: `1${'0'.repeat(26)}` }])).rejects.toMatchObject({
      code: 'BAD_OUTPUT',
      detail: { field: 'quantity', allowed: expect.stringContaining('csv') },
    });
    expect(await readdir(dir)).toEqual([]);
  });

  test.each(FORMATS)('of no rows is a file of %s all the same', async (format) => {
    await written(format, []);
    expect(await readdir(dir)).toEqual(['out']);
    if (format === 'csv') expect(await readFile(path, 'utf8')).toBe(csvHeader(TABLES.events));
  });

  test.each(FORMATS)('as %s that breaks off leaves what was there before, and nothing else', async (format) => {
    await writeFile(path, 'before');
    const writer = await fileWriter(format, TABLES.events, path);
    await writer.write([EVENT]);
    await writer.close();
    expect(await readdir(dir)).toEqual(['out']);
    expect(await readFile(path, 'utf8')).toBe('before');
    await written(format, [EVENT]);
    expect(await readFile(path, 'utf8')).not.toBe('before');
  });

  test('that cannot be written is refused by name', async () => {
    for (const bad of [dir, join(dir, 'gone', 'out')])
      await expect(fileWriter('csv', TABLES.events, bad)).rejects.toMatchObject({
        code: 'BAD_OUTPUT',
        detail: { field: 'out', value: bad },
      });
  });
});

test('a reader that goes away ends an export to a stream', async () => {
  const send = async (text: string): Promise<void> => {
    if (text.startsWith('=') || text.startsWith("'")) throw new Error('EPIPE');
  };
  const writer = await streamWriter('csv', TABLES.events, send);
  await expect(writer.write([EVENT])).rejects.toMatchObject({ code: 'BAD_OUTPUT' });
});
