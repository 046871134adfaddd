/** PostgreSQL: shut down at once, without a connection left, with transactions that fail, on a full disk. */
import pg from 'pg';
import { below } from '../../simulation/random.ts';
import type { Connection } from '../../support/postgres-server.ts';
import { type Fault, marks, type Scene } from '../fault.ts';

const connectionOf = ({ installation: { servers } }: Scene): Connection => ({
  ...servers.parts.postgres.connection,
  database: servers.parts.database,
});

async function connect(scene: Scene): Promise<pg.Client> {
  const client = new pg.Client({ ...connectionOf(scene), application_name: 'chaos' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

const AWAY_MS = 4000;

const shutDown: Fault = {
  name: 'immediate shutdown of PostgreSQL',
  inCi: true,
  strike: async ({ installation, wait }) => {
    const { postgres } = installation.servers.parts;
    await postgres.kill('SIGQUIT');
    await wait(AWAY_MS);
    await postgres.restart();
    return {};
  },
  bites: marks,
};

const LONG_MS = 10_000;
const MOST = 200;
const OURS = `SELECT count(pg_terminate_backend(pid))::int AS ended FROM pg_stat_activity
  WHERE application_name = 'meterfold' AND ($1::float8 >= 1 OR random() < $1)`;

async function terminate(client: pg.Client, share: number): Promise<number> {
  const { rows } = await client.query<{ ended: number }>(OURS, [share]);
  return rows[0]?.ended ?? 0;
}

/** Somebody else takes every connection that there is, and ours are ended. */
const noConnections: Fault = {
  name: 'no connection of PostgreSQL left',
  strike: async (scene) => {
    const taken: pg.Client[] = [];
    const first = await connect(scene);
    try {
      await terminate(first, 1);
      for (const until = Date.now() + LONG_MS; Date.now() < until;) {
        const one = taken.length < MOST ? await connect(scene).catch(() => undefined) : undefined;
        if (one === undefined) await scene.wait(50);
        else taken.push(one);
      }
      return { 'connections taken': taken.length };
    } finally {
      await Promise.all([first, ...taken].map((one) => one.end()));
    }
  },
  bites: marks,
};

const terminated: Fault = {
  name: 'sessions of PostgreSQL terminated at random',
  strike: async (scene) => {
    const client = await connect(scene);
    let ended = 0;
    for (const until = Date.now() + LONG_MS; Date.now() < until;) {
      ended += await terminate(client, 0.1);
      await scene.wait(200);
    }
    await client.end();
    return { 'sessions terminated': ended };
  },
  bites: marks,
};

/** The server itself says so, in statements that write: as a trigger that raises the class of the error now and then. */
const raising = (name: string, state: string, share: number): Fault => ({
  name: `PostgreSQL: ${name}`,
  strike: async (scene) => {
    const client = await connect(scene);
    await client.query(`CREATE SEQUENCE chaos_struck`);
    await client.query(`CREATE FUNCTION chaos_strike() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF random() < ${share} THEN
          PERFORM nextval('chaos_struck');
          RAISE EXCEPTION '${name}' USING ERRCODE = '${state}';
        END IF;
        RETURN NULL;
      END $$`);
    const { rows } = await client.query<{ name: string }>(
      `SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`,
    );
    for (const { name: on } of rows)
      await client.query(
        `CREATE TRIGGER chaos BEFORE INSERT OR UPDATE OR DELETE ON ${on} FOR EACH STATEMENT EXECUTE FUNCTION chaos_strike()`,
      );
    await scene.wait(LONG_MS);
    const struck = await client.query<{ last_value: string; is_called: boolean }>(
      'SELECT last_value, is_called FROM chaos_struck',
    );
    await client.query('DROP FUNCTION chaos_strike CASCADE');
    await client.query('DROP SEQUENCE chaos_struck');
    await client.end();
    return { 'statements struck': struck.rows[0]?.is_called === true ? Number(struck.rows[0].last_value) : 0 };
  },
  bites: marks,
});

/** Writes fail, those of the WAL, too: then the whole server goes down, and does not come back before there is room. */
const fullDisk: Fault = {
  name: 'disk of PostgreSQL full',
  strike: async (scene) => {
    const { disk, postgres } = scene.installation.servers.parts;
    if (disk === undefined) throw new Error('PostgreSQL has no disk of its own here: only root may mount one');
    disk.fill();
    await scene.wait(LONG_MS);
    disk.free();
    const isUp = await connect(scene).then(
      (client) => client.end().then(() => true),
      () => false,
    );
    if (!isUp) {
      await postgres.kill('SIGQUIT');
      await postgres.restart();
    }
    return { 'deaths of PostgreSQL': isUp ? 0 : 1 };
  },
  bites: marks,
};

/** A foreign transaction locks rows that publishers lock, in another order: PostgreSQL finds the circle and ends one of them. */
const deadlocks: Fault = {
  name: 'deadlocks in PostgreSQL',
  strike: async (scene) => {
    const [client, other] = [await connect(scene), await connect(scene)];
    const count = async (): Promise<number> => {
      const { rows } = await other.query<{ n: string }>(
        'SELECT deadlocks AS n FROM pg_stat_database WHERE datname = current_database()',
      );
      return Number(rows[0]?.n ?? 0);
    };
    const before = await count();
    await client.query("SET deadlock_timeout = '5s'");
    // Chance makes the circle: it has more time where there was none yet.
    const [until, last] = [Date.now() + 2 * LONG_MS, Date.now() + 6 * LONG_MS];
    while (Date.now() < until || (Date.now() < last && (await count()) === before)) {
      await scene.wait(below(scene.random, 100));
      try {
        await client.query('BEGIN');
        for (let n = 0; n < 5; n += 1) {
          await client.query(
            'SELECT 1 FROM rollups WHERE minute > (SELECT max(minute) - 3 FROM rollups) ORDER BY random() LIMIT 5 FOR UPDATE',
          );
          await scene.wait(50);
        }
      } catch (error) {
        scene.say(`the foreign transaction: ${String(error)}`);
      } finally {
        await client.query('ROLLBACK');
      }
    }
    const found = (await count()) - before;
    await Promise.all([client.end(), other.end()]);
    return { 'deadlocks found by PostgreSQL': found };
  },
  bites: marks,
};

export const postgresFaults: readonly Fault[] = [
  shutDown,
  noConnections,
  terminated,
  raising('serialization failures', '40001', 0.1),
  fullDisk,
  deadlocks,
];
