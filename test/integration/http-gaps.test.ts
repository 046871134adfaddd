/** Gaps of the log over HTTP: listed, acknowledged once, and nothing else taken. */
import { expect, test } from 'vitest';
import type { ListedGap } from '../../src/contract.ts';
import { httpServer } from '../../src/serving/http/server.ts';
import { fakes } from '../support/http-ports.ts';

const HOUR_MS = 3_600_000;
const GAP: ListedGap = {
  ...{ lineage: 'l0', segment: 3, from: '5', to: '9', places: 4, number: 1 },
  ...{ arrival: 0, at: 110 * HOUR_MS, acknowledged: null },
};

function serving() {
  const all = [GAP];
  const told: unknown[] = [];
  const { ports } = fakes({
    gaps: { all, look: () => Promise.resolve() },
    acknowledgeGap: (gap, by) => {
      told.push([gap, by.note]);
      if (gap.from === GAP.from) all[0] = { ...GAP, acknowledged: by };
      return Promise.resolve(gap.from === GAP.from);
    },
  });
  const app = httpServer(ports);
  const acknowledge = (payload: object) => app.inject({ method: 'POST', url: '/v1/gaps/acknowledge', payload });
  return { app, told, acknowledge };
}
const BODY = { lineage: 'l0', from: '5', note: 'settled' };

test('a gap is listed, and acknowledged with a note', async () => {
  const { app, told, acknowledge } = serving();
  const open = { lineage: 'l0', from: '5', to: '9', places: 4, since: null, acknowledged_at: null, note: null };
  expect((await app.inject('/v1/gaps')).json()).toMatchObject({ gaps: [open] });
  expect((await acknowledge(BODY)).json()).toMatchObject({ lineage: 'l0', from: '5', note: 'settled' });
  expect(told).toEqual([[{ lineage: 'l0', from: '5' }, 'settled']]);
  expect((await app.inject('/v1/gaps')).json()).toMatchObject({ gaps: [{ note: 'settled' }] });
});

test('what names no gap, or says nothing of it, is refused', async () => {
  const { acknowledge, told } = serving();
  const refusal = async (body: object) => (await acknowledge(body)).json<{ status: number; field: string }>();
  expect(await refusal({ ...BODY, from: '6' })).toMatchObject({ status: 404, field: 'from', value: '6' });
  expect(await refusal({ lineage: 'l0', from: '5' })).toMatchObject({ status: 400, field: 'note' });
  expect(await refusal({ ...BODY, note: '' })).toMatchObject({ status: 400, field: 'note' });
  expect(await refusal({ ...BODY, note: 7 })).toMatchObject({ status: 400, field: 'note' });
  expect(await refusal({ ...BODY, other: 'x' })).toMatchObject({ status: 400, field: 'other' });
  expect(await refusal([])).toMatchObject({ status: 400, field: 'body' });
  expect(told).toHaveLength(1);
});
