import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type EmbeddedDatabase, openEmbedded } from './pglite.ts';

let database: EmbeddedDatabase;
let pool: pg.Pool;

const poolOf = (to: EmbeddedDatabase, max = 10): pg.Pool => {
  const made = new pg.Pool({ ...to.connection, max });
  made.on('error', () => undefined);
  return made;
};

describe('an embedded database in memory', () => {
  beforeAll(async () => {
    database = await openEmbedded({});
    pool = poolOf(database);
  });
  afterAll(async () => {
    await pool.end();
    await database.close();
  });
  afterEach(() => pool.query('DROP TABLE IF EXISTS t'));

  test('is UTF-8, of locale C, in UTC', async () => {
    const { rows } =
      await pool.query(`SELECT current_setting('server_encoding') AS encoding, current_setting('TimeZone') AS zone,
      datcollate AS collate, datctype AS ctype FROM pg_database WHERE datname = current_database()`);
    expect(rows).toEqual([{ encoding: 'UTF8', zone: 'UTC', collate: 'C', ctype: 'C' }]);
  });

  test('never mixes the statements of its connections, with transactions among them', async () => {
    await pool.query('CREATE TABLE t (a int, b text)');
    const one = async (k: number, i: number): Promise<void> => {
      if ((i + k) % 3 === 0) {
        const { rows } = await pool.query('SELECT $1::int AS x, $2::text AS y', [i, `k${k}`]);
        expect(rows).toEqual([{ x: i, y: `k${k}` }]);
      } else if ((i + k) % 3 === 1) {
        const { rows } = await pool.query('SELECT $1::text AS z', [`z${i}`]);
        expect(rows).toEqual([{ z: `z${i}` }]);
      } else {
        const client = await pool.connect();
        await client.query('BEGIN');
        await client.query('INSERT INTO t VALUES ($1, $2)', [i, `k${k}`]);
        await client.query('COMMIT');
        client.release();
      }
    };
    const many = async (k: number): Promise<void> => {
      for (let i = 0; i < 90; i += 1) await one(k, i);
    };
    await Promise.all(Array.from({ length: 10 }, (_, k) => many(k)));
    expect((await pool.query('SELECT count(*)::int AS n FROM t')).rows).toEqual([{ n: 300 }]);
  });

  test('goes on after a statement that fails, also for those who waited meanwhile', async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, (_, n) => pool.query(n % 3 === 0 ? 'SELECT $1::int / 0 AS n' : 'SELECT $1::int AS n', [n])),
    );
    outcomes.forEach((outcome, n) => {
      if (n % 3 === 0) expect(outcome).toMatchObject({ status: 'rejected', reason: { code: '22012' } });
      else expect(outcome).toMatchObject({ status: 'fulfilled', value: { rows: [{ n }] } });
    });
  });

  test('rolls back the transaction of a connection that is gone, and serves the others again', async () => {
    await pool.query('CREATE TABLE t (a int)');
    const client = await pool.connect();
    client.on('error', () => undefined);
    await client.query('BEGIN');
    await client.query('INSERT INTO t VALUES (1)');
    const blocked = pool.query('SELECT count(*)::int AS n FROM t');
    client.release(true);
    expect((await blocked).rows).toEqual([{ n: 0 }]);
  });

  test('takes a statement of 20 MB and gives it back', async () => {
    const value = Buffer.alloc(20_000_000, 'x');
    const { rows } = await pool.query<{ value: Buffer }>('SELECT $1::bytea AS value', [value]);
    expect(rows[0]?.value.equals(value)).toBe(true);
  });
});

describe('an embedded database in a directory', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'meterfold-test-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  test('keeps what was committed over a close, and leaves no socket behind', async () => {
    const dataDir = join(dir, 'a', 'pg');
    const first = await openEmbedded({ dataDir });
    expect((await stat(first.connection.host)).mode & 0o777).toBe(0o700);
    const one = poolOf(first);
    await one.query('CREATE TABLE t AS SELECT 1 AS a');
    await one.end();
    await first.close();
    const second = await openEmbedded({ dataDir });
    const two = poolOf(second);
    expect((await two.query('SELECT a FROM t')).rows).toEqual([{ a: 1 }]);
    await two.end();
    await second.close();
    await expect(stat(second.connection.host)).rejects.toThrow('ENOENT');
  });

  test('removes the socket directory of a process that was killed', async () => {
    const dataDir = join(dir, 'b', 'pg');
    const left = await mkdtemp(join(tmpdir(), 'meterfold-pg-'));
    await (await openEmbedded({ dataDir })).close();
    await writeFile(join(dirname(dataDir), 'socket'), `${left}\n`);
    await (await openEmbedded({ dataDir })).close();
    await expect(readdir(left)).rejects.toThrow('ENOENT');
  });

  test('is not opened where another version of PostgreSQL wrote it', async () => {
    const dataDir = join(dir, 'c', 'pg');
    await (await openEmbedded({ dataDir })).close();
    await writeFile(join(dataDir, 'PG_VERSION'), '19\n');
    await expect(openEmbedded({ dataDir })).rejects.toMatchObject({ code: 'DATA_DIR_NEWER', detail: { value: '19' } });
  });

  test('says what is wrong with a directory that cannot be opened', async () => {
    const dataDir = join(dir, 'd', 'pg');
    await (await openEmbedded({ dataDir })).close();
    await writeFile(join(dataDir, 'global', 'pg_control'), 'nonsense');
    await expect(openEmbedded({ dataDir })).rejects.toThrow(`open the embedded database in ${dataDir}`);
  });
});
