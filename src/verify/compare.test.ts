import { expect, test } from 'vitest';
import type { Lineage } from '../contract.ts';
import { implicitMeters } from '../domain/meter.ts';
import { compare, Expectation, idOf, shown } from './compare.ts';

const lineage: Lineage = { id: 'l', parents: [], depth: 0, origin: '', owns: () => true };
const HOUR_MICROS = 3_600_000_000;

test('hours that were dropped are missed by nobody, those behind them are', () => {
  const expected = new Expectation(implicitMeters(), 0);
  for (const hour of [99, 100]) {
    const fields = { tenant: 'acme', type: 'calls', key: `k${hour}`, subject: null, properties: '{}' };
    const event = { ...fields, quantity: 10n ** 12n, timestamp: hour * HOUR_MICROS };
    expected.count({ event, lineage, position: String(hour), isPublished: true });
  }
  const { answers } = expected;
  const held = new Map([[idOf('acme', 'calls', 100), shown('1', 1)]]);
  expect(compare(expected, held, answers, []).differences).toMatchObject([
    { kind: 'batch', hour: '1970-01-05T03:00:00.000Z' },
  ]);
  expected.usageFrom = 100;
  expect(compare(expected, held, answers, []).ok).toBe(true);
  expect(compare(expected, new Map(), answers, []).differing).toBe(1);
});
