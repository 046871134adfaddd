/** Versions of meters at the HTTP edge: which one answers, what is said of one that is being filled, what marks an estimate. */
import { describe, expect, test } from 'vitest';
import { implicitMeters, type Meter, meterId, meterSetOf } from '../../src/domain/meter.ts';
import type { RuleSet } from '../../src/domain/rules.ts';
import { MeterError } from '../../src/errors.ts';
import type { HttpPorts } from '../../src/serving/http/ports.ts';
import { httpServer } from '../../src/serving/http/server.ts';
import type { Question } from '../../src/serving/query.ts';
import { type Fakes, fakes, PROOF } from '../support/http-ports.ts';
import { fixedRules, ruleSet } from '../support/rules.ts';

const START = Date.UTC(2026, 5, 1) / 60_000;
const RANGE = 'from=2026-06-01&to=2026-06-02';
const tokens = (version: number, change: Partial<Meter> = {}): Meter => ({
  ...{ key: 'tokens', eventType: 'tokens', aggregation: 'sum', value: 'quantity', groupBy: [], filter: new Map() },
  ...{ unit: null, holdMinutes: 0, version },
  ...change,
});
const disk: Meter = {
  ...{ key: 'disk', eventType: 'disk', aggregation: 'time_weighted_sum', value: ['gb'], groupBy: [], filter: new Map() },
  ...{ unit: 'GB-hours', holdMinutes: 1440, version: 1 },
};

/** A server with these meters, of which those answer. */
function serving(meters: readonly Meter[], answering: readonly Meter[], overrides: Partial<HttpPorts> = {}) {
  const rules = ruleSet(meterSetOf(meters), { version: 4 });
  const made = fakes({ ruleSets: fixedRules([rules], new Set(answering.map(meterId))), ...overrides });
  return { ...made, app: httpServer(made.ports) };
}
const asked = ({ query }: Pick<Fakes, 'query'>): string[] => query.questions.map(({ meter }) => meterId(meter));

describe('of several versions of a meter', () => {
  const [one, two, three] = [tokens(1), tokens(2, { groupBy: ['model'] }), tokens(3)];

  test('a query asks the newest that answers, and says which that is', async () => {
    const made = serving([one, three, two], [one, two]);
    expect((await made.app.inject(`/v1/meters/tokens/query?${RANGE}`)).json()).toMatchObject({
      meter: 'tokens',
      version: 2,
    });
    expect((await made.app.inject('/v1/meters/tokens')).json()).toMatchObject({ version: 2, group_by: ['model'] });
    expect(asked(made)).toEqual(['tokens@2']);
  });

  test('a query asks the one that it names, by whose groups it is read', async () => {
    const made = serving([one, three, two], [one, two]);
    const grouped = (version: number) =>
      made.app.inject(`/v1/meters/tokens/query?${RANGE}&version=${version}&group_by=model`);
    expect((await grouped(1)).json()).toMatchObject({ status: 400, field: 'group_by' });
    expect((await grouped(2)).json()).toMatchObject({ meter: 'tokens', version: 2 });
    expect((await made.app.inject('/v1/meters/tokens?version=1')).json()).toMatchObject({ version: 1, group_by: [] });
    expect(asked(made)).toEqual(['tokens@2']);
  });

  test('one that is still being filled is a 503 that says when to come back, and asks nothing', async () => {
    const made = serving([one, two, three], [one, two]);
    for (const url of [`/v1/meters/tokens/query?${RANGE}&version=3`, '/v1/meters/tokens?version=3']) {
      const response = await made.app.inject(url);
      expect([response.statusCode, response.headers['retry-after']]).toEqual([503, '1']);
      expect(response.json()).toMatchObject({ code: 'METER_FILLING', field: 'meter', value: 'tokens' });
      expect(response.json().detail).toBe('version 3 of tokens is still being filled from the archive');
    }
    expect(asked(made)).toEqual([]);
  });

  test('where none answers yet, the newest is named as being filled', async () => {
    const response = await serving([one, two], []).app.inject(`/v1/meters/tokens/query?${RANGE}`);
    expect(response.json()).toMatchObject({ status: 503, code: 'METER_FILLING' });
    expect(response.json().detail).toContain('version 2 of tokens');
  });

  test('one that is not there is unknown, and those that are there are named', async () => {
    const response = await serving([one, three], [one]).app.inject(`/v1/meters/tokens/query?${RANGE}&version=2`);
    const problem = { status: 404, code: 'UNKNOWN_METER', field: 'version', value: '2', allowed: '3, 1' };
    expect(response.json()).toMatchObject(problem);
    const none = await serving([one], [one]).app.inject('/v1/meters/calls?version=1');
    expect(none.json()).toMatchObject({ status: 404, code: 'UNKNOWN_METER', field: 'meter', value: 'calls' });
  });

  test.each(['0', '-1', '1.5', 'newest', '', '1000001'])(
    'a version is a whole number from 1 on: not %j',
    async (version) => {
      const made = serving([one], [one]);
      for (const url of [`/v1/meters/tokens/query?${RANGE}&version=${version}`, `/v1/meters/tokens?version=${version}`]) {
        const problem = { status: 400, field: 'version', allowed: 'a whole number from 1 to 1000000' };
        expect((await made.app.inject(url)).json()).toMatchObject(problem);
      }
      expect(asked(made)).toEqual([]);
    },
  );
});

describe('GET /v1/meters', () => {
  test('lists every version with its state, and how many segments are in those that are being filled', async () => {
    const all = [tokens(1), tokens(2), tokens(3), disk];
    const versions = async () => new Map([['tokens@2', 7]]);
    const body = (await serving(all, [all[0]!, disk], { versions }).app.inject('/v1/meters')).json();
    expect(body).toMatchObject({ implicit: false, rules: 4 });
    const states = (body.meters as Record<string, unknown>[]).map((m) => [m.key, m.version, m.state, m.filled_segments]);
    expect(states).toEqual([
      ['tokens', 1, 'serving', undefined],
      ['tokens', 2, 'filling', 7],
      ['tokens', 3, 'filling', 0],
      ['disk', 1, 'serving', undefined],
    ]);
  });

  test('names the hold of a gauge, and none for others', async () => {
    const { meters } = (await serving([tokens(1), disk], [tokens(1), disk]).app.inject('/v1/meters')).json();
    const gauge = { aggregation: 'time_weighted_sum', value: 'gb', unit: 'GB-hours', hold_minutes: 1440 };
    expect(meters[1]).toMatchObject(gauge);
    expect(meters[0]).not.toHaveProperty('hold_minutes');
  });
});

describe('implicit meters beside the first file', () => {
  const rules = ruleSet(meterSetOf([tokens(2, { groupBy: ['model'] })], implicitMeters()), {
    ...{ version: 2, current: new Set(['tokens@2']) },
  });
  const opened = (answering: readonly string[]) => {
    const made = fakes({ ruleSets: fixedRules([rules], new Set(answering)) });
    return { ...made, app: httpServer(made.ports) };
  };

  test('answer for a key of the file until its own version does', async () => {
    const [before, after] = [opened([]), opened(['tokens@2'])];
    for (const { app } of [before, after]) await app.inject(`/v1/meters/tokens/query?${RANGE}`);
    expect([asked(before), asked(after)]).toEqual([['tokens@1'], ['tokens@2']]);
    await after.app.inject(`/v1/meters/tokens/query?${RANGE}&version=1`);
    expect(asked(after)).toEqual(['tokens@2', 'tokens@1']);
  });

  test('answer for keys that the file does not have, where their type was seen', async () => {
    const made = opened([]);
    const known = await made.app.inject('/v1/meters/tokens?version=1');
    expect(known.json()).toMatchObject({ version: 1, state: 'serving', group_by: [] });
    expect((await made.app.inject('/v1/meters/never')).statusCode).toBe(404);
    expect((await made.app.inject('/v1/meters/tokens?version=3')).json()).toMatchObject({ status: 404, field: 'version' });
  });

  test('are listed beside those of the file, and an event type names each key once', async () => {
    const { app } = opened([]);
    const { implicit, meters } = (await app.inject('/v1/meters')).json();
    expect(implicit).toBe(false);
    expect((meters as Record<string, unknown>[]).map((m) => [m.key, m.version, m.state])).toEqual([
      ['tokens', 2, 'filling'],
      ['tokens', 1, 'serving'],
    ]);
    const types = (await app.inject('/v1/event-types')).json().event_types;
    expect(types).toEqual([{ event_type: 'tokens', events: 3, meters: ['tokens'] }]);
  });
});

describe('a rule set that another process recorded', () => {
  /** Knows the first set, and the second once it has looked. */
  function looking(sets: readonly [RuleSet, RuleSet]) {
    let looks = 0;
    const all = fixedRules(sets);
    const ruleSets: HttpPorts['ruleSets'] = {
      ...all,
      get newest() {
        return sets[Math.min(looks, 1)]!;
      },
      refresh: async () => void (looks += 1),
    };
    const made = fakes({ ruleSets });
    return { ...made, app: httpServer(made.ports), looks: () => looks };
  }
  const old = ruleSet(meterSetOf([tokens(1)]));

  test('is looked for when a meter is not known here', async () => {
    const made = looking([old, ruleSet(meterSetOf([tokens(1), disk]), { version: 2 })]);
    expect((await made.app.inject(`/v1/meters/disk/query?${RANGE}`)).json()).toMatchObject({ meter: 'disk', version: 1 });
    expect((await made.app.inject(`/v1/meters/tokens/query?${RANGE}`)).statusCode).toBe(200);
    expect([asked(made), made.looks()]).toEqual([['disk@1', 'tokens@1'], 1]);
  });

  test('is looked for once, where there is none, and then the meter is unknown', async () => {
    const made = looking([old, old]);
    const response = await made.app.inject(`/v1/meters/disk/query?${RANGE}`);
    expect(response.json()).toMatchObject({ status: 404, code: 'UNKNOWN_METER', value: 'disk' });
    expect([asked(made), made.looks()]).toEqual([[], 1]);
  });

  test('is asked again for the version that answers by it, where the other is measured no more', async () => {
    const made = looking([old, ruleSet(meterSetOf([tokens(2)]), { version: 2 })]);
    made.query.reply = async ({ meter }: Question) => {
      if (meter.version === 1) throw new MeterError('UNKNOWN_METER', 'version 1 of tokens is not measured any more');
      return { rows: [], proof: PROOF };
    };
    expect((await made.app.inject(`/v1/meters/tokens/query?${RANGE}`)).json()).toMatchObject({ version: 2 });
    expect(asked(made)).toEqual(['tokens@1', 'tokens@2']);
  });

  test('is not looked for when something else is wrong', async () => {
    const made = looking([old, old]);
    expect((await made.app.inject(`/v1/meters/tokens/query?${RANGE}&group_by=model`)).statusCode).toBe(400);
    expect(made.looks()).toBe(0);
  });
});

test('rows say which values are estimates, and which usage lies beyond the bound on groups', async () => {
  const made = serving([tokens(1, { groupBy: ['model'] })], [tokens(1)]);
  const row = { start: START, end: START + 60, count: 5, group: { model: 'a' } };
  const other = { ...row, value: '7', group: { model: 'other' }, other: true as const };
  made.query.reply = async () => ({
    rows: [{ ...row, value: '1203', error: '0.01625' }, other, { ...row, value: '3' }],
    proof: PROOF,
  });
  const { rows } = (await made.app.inject(`/v1/meters/tokens/query?${RANGE}&group_by=model`)).json();
  const shown = { start: '2026-06-01T00:00:00Z', end: '2026-06-01T01:00:00Z', count: 5, group: { model: 'a' } };
  expect(rows).toEqual([
    { ...shown, value: '1203', approximate: { relative_error: '0.01625' } },
    { ...shown, value: '7', group: { model: 'other' }, other: true },
    { ...shown, value: '3' },
  ]);
});

test('events of a tenant that is spread go to the log under the routing key of their time', async () => {
  const spread = new Map([['acme', [{ from: Date.UTC(2026, 5, 1, 11) * 1000, keys: 64 }]]]);
  const made = fakes({ ruleSets: fixedRules([ruleSet(implicitMeters(), { spread })]) });
  const event = { tenant_id: 'acme', event_type: 'tokens', quantity: 1, idempotency_key: 'k' };
  const payload = ['10:59:59', '11:00:00'].map((time) => ({ ...event, event_timestamp: `2026-06-01T${time}Z` }));
  await httpServer(made.ports).inject({ method: 'POST', url: '/v1/events', payload });
  expect(made.log.records.map(({ key }) => key)).toEqual(['acme', expect.stringMatching(/^acme#\d+$/)]);
});
