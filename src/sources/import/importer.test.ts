import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { UsageEvent } from '../../domain/event.ts';
import { formatDecimal } from '../../domain/decimal.ts';
import { FOR_EVER } from '../../domain/kept.ts';
import { formatTime } from '../../domain/time.ts';
import { importPath } from './importer.ts';
import { parseMapping } from './mapping.ts';
import { timeText } from './row-events.ts';

const MAPPING = `
time: { column: TIMESTAMP }
tenant: { value: acme }
idempotency_key: "conv-{row}-{event_type}-{Region}"
events:
  - { event_type: context, quantity: { column: Context } }
  - { event_type: generated, quantity: { column: Generated } }
properties: { model: { value: gpt }, region: { column: Region } }
`;
const HEADER = 'TIMESTAMP,Context,Generated,Region';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'meterfold-import-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function imported(name: string, content: string | Uint8Array, mapping = MAPPING, batch = 3, kept = FOR_EVER) {
  const path = join(dir, name);
  await writeFile(path, content);
  const events: UsageEvent[] = [];
  const sizes: number[] = [];
  const rejectsPath = join(dir, 'rejects');
  const result = await importPath({
    ...{ path, mapping: parseMapping(mapping), batch, kept, rejectsPath, now: () => Date.UTC(2026, 0, 1) },
    send: (some) => {
      events.push(...some);
      sizes.push(some.length);
      return Promise.resolve();
    },
  });
  const rejects = await readFile(rejectsPath, 'utf8').catch(() => '');
  return {
    result,
    events,
    sizes,
    rejects: rejects
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line)),
  };
}

const summary = (e: UsageEvent) => [e.key, formatDecimal(e.quantity), formatTime(e.timestamp), e.properties];

describe('importing', () => {
  test('makes several events of a row, with seven decimals of a second and CRLF', async () => {
    const { result, events } = await imported('a.csv', `\uFEFF${HEADER}\r\n2023-11-16 18:17:03.9799600,4808,10,eu\r\n`);
    expect(result).toMatchObject({ rows: 1, events: 2, rejected: 0 });
    expect(events.map(summary)).toEqual([
      ['conv-1-context-eu', '4808', '2023-11-16T18:17:03.979960Z', '{"model":"gpt","region":"eu"}'],
      ['conv-1-generated-eu', '10', '2023-11-16T18:17:03.979960Z', '{"model":"gpt","region":"eu"}'],
    ]);
  });

  test('a row before what is kept goes to the rejects, with the setting that says so', async () => {
    const kept = { keyRetentionMs: 0, usageRetentionMonths: 1 };
    const text = `${HEADER}\n2025-11-30T23:59:59Z,1,2,eu\n2025-12-01T00:00:00Z,1,2,eu\n`;
    const { result, rejects } = await imported('a.csv', text, MAPPING, 3, kept);
    expect(result).toMatchObject({ rows: 2, events: 2, rejected: 1 });
    expect(rejects).toMatchObject([{ row: 1, code: 'TOO_OLD', reason: expect.stringContaining('usageRetentionMonths') }]);
  });

  test('reads quoted fields, with commas and line breaks, and gzip', async () => {
    const text = `${HEADER}\n"2023-11-16T18:17:03+01:00",1,2,"a,\n""b"""\n`;
    const { events } = await imported('a.csv.gz', gzipSync(text));
    expect(events.map((e) => [JSON.parse(e.properties).region, formatTime(e.timestamp)])[0]).toEqual([
      'a,\n"b"',
      '2023-11-16T17:17:03Z',
    ]);
  });

  test('reads NDJSON, whose numbers keep all their digits', async () => {
    const line = (quantity: string) =>
      `{"TIMESTAMP":"2023-11-16 18:17:03","Context":${quantity},"Generated":1,"Region":null}`;
    const { result, events } = await imported(
      'a.ndjson',
      `${line('12345678901234567890.5')}\n\nnot json\n[1]\n${line('1e3')}\n`,
    );
    expect(events.map((e) => formatDecimal(e.quantity))).toEqual(['12345678901234567890.5', '1', '1000', '1']);
    expect(result).toMatchObject({ rows: 4, events: 4, rejected: 2 });
  });

  test('puts rows that cannot be used into a file, whole or not at all, with line, code and value', async () => {
    const rows = [
      '2023-11-16 18:17:03,1,2,eu',
      '2023-11-16 18:17:03,many,2,eu',
      'yesterday,1,2,eu',
      '2023-11-16 18:17:03,1',
      '2099-01-01 00:00:00,1,2,eu',
    ];
    const { result, events, rejects } = await imported('a.csv', [HEADER, ...rows].join('\n'));
    expect(result).toMatchObject({ rows: 5, events: 2, rejected: 4 });
    expect(events).toHaveLength(2);
    expect(rejects.map((r) => [r.line, r.row, r.code])).toEqual([
      [3, 2, 'NOT_A_DECIMAL'],
      [4, 3, 'BAD_TIME'],
      [5, 4, 'UNDECODABLE'],
      [6, 5, 'TOO_FAR_IN_FUTURE'],
    ]);
  });

  test('names a column that the file does not have before anything is sent', async () => {
    const attempt = imported('a.csv', 'TIMESTAMP,Context\n2023-11-16 18:17:03,1\n');
    await expect(attempt).rejects.toMatchObject({
      code: 'BAD_MAPPING',
      message: expect.stringContaining('Generated, Region'),
    });
    await expect(imported('empty.csv', 'TIMESTAMP\n')).rejects.toMatchObject({ code: 'BAD_MAPPING' });
  });

  test('sends batches one after the other', async () => {
    const rows = Array.from({ length: 10 }, () => '2023-11-16 18:17:03,1,2,eu');
    const { sizes } = await imported('a.csv', [HEADER, ...rows].join('\n'));
    expect(sizes).toEqual([4, 4, 4, 4, 4]);
  });

  test('of a file that is missing, cut off or not CSV says which and why', async () => {
    const options = {
      mapping: parseMapping(MAPPING),
      send: () => Promise.resolve(),
      batch: 1,
      rejectsPath: join(dir, 'r'),
      now: () => 0,
    };
    await expect(importPath({ ...options, path: join(dir, 'missing.csv') })).rejects.toMatchObject({
      code: 'BAD_INPUT_FILE',
    });
    const cut = gzipSync(`${HEADER}\n`.repeat(1000)).subarray(0, 40);
    await expect(imported('cut.csv.gz', cut)).rejects.toMatchObject({ code: 'BAD_INPUT_FILE' });
    await expect(imported('quotes.csv', `${HEADER}\n"a"b,1,2,3\n`)).rejects.toMatchObject({ code: 'BAD_INPUT_FILE' });
  });

  test('stops when asked to', async () => {
    const path = join(dir, 'a.csv');
    await writeFile(path, `${HEADER}\n2023-11-16 18:17:03,1,2,eu\n`);
    const options = {
      path,
      mapping: parseMapping(MAPPING),
      send: () => Promise.resolve(),
      batch: 1,
      rejectsPath: join(dir, 'r'),
      now: () => 0,
    };
    await expect(importPath({ ...options, signal: AbortSignal.abort() })).rejects.toThrow();
  });

  test('reads times that say their offset, and takes the others for UTC', () => {
    expect(['2023-01-01 00:00:00', '2023-01-01T00:00:00Z', '2023-01-01 00:00:00-05:00'].map(timeText)).toEqual([
      '2023-01-01 00:00:00Z',
      '2023-01-01T00:00:00Z',
      '2023-01-01 00:00:00-05:00',
    ]);
  });
});

describe('a mapping', () => {
  test('with faults names all of them', () => {
    const text =
      'time: 1\ntenant: { both: 1, value: x }\nidempotency_key: fixed\nevents: [{ quantity: 1, more: 2 }]\nother: 1\nproperties: 3\nsubject: {}';
    for (const part of [
      'time is',
      'tenant is',
      'idempotency_key is',
      'events[0].event_type',
      'events[0].quantity',
      'events[0].more',
      'other is',
      'properties is',
      'subject is',
    ]) {
      expect(() => parseMapping(text)).toThrow(part);
    }
    expect(() => parseMapping('a: [')).toThrow('not YAML');
    expect(() => parseMapping('events: []')).toThrow('events is []');
    const two =
      'time: { column: t }\ntenant: { value: a }\nidempotency_key: "{row}"\nevents: [{ event_type: a, quantity: { value: 1 } }, { event_type: b, quantity: { value: 1 } }]';
    expect(() => parseMapping(two)).toThrow('several events of a row need different keys');
  });

  test('may take the subject from a column', async () => {
    const mapping = `${MAPPING}subject: { column: Region }\n`;
    const { events } = await imported('a.csv', `${HEADER}\n2023-11-16 18:17:03,1,2,eu\n2023-11-16 18:17:03,1,2,\n`, mapping);
    expect(events.map((e) => e.subject)).toEqual(['eu', 'eu', null, null]);
  });
});
