/** A rebuild in the real program, killed at named points: what answers is exact throughout, and the next one goes on. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Point, Victim } from '../support/victim.ts';
import { untilWithin } from '../support/poll.ts';

const DEADLINE_MS = 60_000;
const TIMEOUT_MS = 180_000;
const EVENTS = 400;

const event = (n: number) => ({
  ...{ tenant_id: `t${String(n % 7)}`, event_type: 'calls', quantity: '0.5', idempotency_key: `k${String(n)}` },
  event_timestamp: new Date().toISOString(),
});

interface Report {
  readonly ok: boolean;
  readonly archived: number;
}
interface Status {
  readonly state: string;
  readonly differences: readonly object[];
}

const until = untilWithin(DEADLINE_MS);

async function counted(victim: Victim): Promise<number | undefined> {
  const day = (n: number): string => new Date((Math.floor(Date.now() / 86_400_000) + n) * 86_400_000).toISOString();
  const path = `/v1/meters/calls/query?from=${day(-1)}&to=${day(2)}`;
  const { rows } = await victim.get<{ rows: readonly { count: number }[] }>(path);
  return rows[0]?.count;
}

const verified = (victim: Victim): Promise<Report> => victim.get<Report>('/v1/verify', 'POST');
const stateOf = (victim: Victim): Promise<Status> => victim.get<Status>('/v1/rebuild');

/** Where it may be found after the kill: what was committed stays, what was not is as if it had never begun. */
const POINTS: readonly [Point, number, string][] = [
  ['inside-rebuild', 2, 'left'],
  ['after-compare', 1, 'left'],
  ['inside-flip', 1, 'left'],
  ['after-flip', 1, 'none'],
];

test.each(POINTS)(
  'killed %s: every event counts once, and another rebuild ends with the views equal',
  async (point, count, state) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'meterfold-rebuild-kill-'));
    let victim = await Victim.start(dataDir);
    for (let sent = 0; sent < EVENTS; sent += 100)
      expect(await victim.send(Array.from({ length: 100 }, (_, n) => event(sent + n)))).toBe(true);
    await until(
      'all published',
      () => verified(victim),
      ({ archived }) => archived === EVENTS,
    );
    await victim.kill();

    victim = await Victim.start(dataDir, point, count);
    await victim.get('/v1/rebuild', 'POST').catch(() => undefined);
    await victim.died();

    victim = await Victim.start(dataDir);
    expect(await counted(victim)).toBe(EVENTS);
    expect(await stateOf(victim)).toMatchObject({ state });
    expect(await victim.send(Array.from({ length: 50 }, (_, n) => event(EVENTS - 25 + n)))).toBe(true);
    await victim.get('/v1/rebuild', 'POST');
    const done = await until(
      'rebuilt',
      () => stateOf(victim),
      (found) => found.state !== 'running',
    );
    expect(done).toMatchObject({ state: 'flipped', differences: [] });
    await until(
      'all counted',
      () => counted(victim),
      (found) => found === EVENTS + 25,
    );
    expect(await verified(victim)).toMatchObject({ ok: true });
    await victim.kill('SIGTERM');
    await rm(dataDir, { recursive: true });
  },
  TIMEOUT_MS,
);
