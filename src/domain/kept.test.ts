import { describe, expect, test } from 'vitest';
import type { Lineage, LogRecord } from '../contract.ts';
import { fixedRules, ruleSet } from '../../test/support/rules.ts';
import { validate } from '../processors/validate.ts';
import type { UsageEvent } from './event.ts';
import { checkKept, FOR_EVER, keptSince, monthOf, startOfMonth } from './kept.ts';
import { implicitMeters } from './meter.ts';

const DAY_MS = 86_400_000;
/** 2026-03-31T23:59:59.999Z. */
const LATE_MARCH = Date.UTC(2026, 3, 1) - 1;
const event = (ms: number, micros = 0): UsageEvent => ({
  ...{ tenant: 'acme', type: 'calls', quantity: 1n, key: 'k', subject: null, properties: '{}' },
  timestamp: ms * 1000 + micros,
});

describe('what is kept', () => {
  test('months are those of UTC, from 1970 on', () => {
    expect([0, LATE_MARCH, LATE_MARCH + 1].map(monthOf)).toEqual([0, 56 * 12 + 2, 56 * 12 + 3]);
    for (const month of [0, 1, 11, 12, 675]) {
      expect(monthOf(startOfMonth(month))).toBe(month);
      expect(monthOf(startOfMonth(month) - 1)).toBe(month - 1);
    }
  });

  test('everything, where both are 0', () => {
    expect(keptSince(LATE_MARCH, FOR_EVER)).toBeUndefined();
    expect(checkKept(event(0), LATE_MARCH, FOR_EVER)).toBeUndefined();
  });

  test('the later bound holds, and is named', () => {
    const days = (n: number) => ({ keyRetentionMs: n * DAY_MS, usageRetentionMonths: 1 });
    expect(keptSince(LATE_MARCH, days(10))).toEqual({ ms: LATE_MARCH - 10 * DAY_MS, setting: 'keyRetentionMs' });
    expect(keptSince(LATE_MARCH, days(400))).toEqual({ ms: Date.UTC(2026, 1), setting: 'usageRetentionMonths' });
  });

  test('the bound itself is kept, a microsecond before it is not', () => {
    const kept = { keyRetentionMs: DAY_MS, usageRetentionMonths: 0 };
    expect(checkKept(event(LATE_MARCH - DAY_MS), LATE_MARCH, kept)).toBeUndefined();
    const fault = checkKept(event(LATE_MARCH - DAY_MS, -1), LATE_MARCH, kept);
    expect(fault).toMatchObject({ code: 'TOO_OLD', field: 'event_timestamp', value: '2026-03-30T23:59:59.998999Z' });
    expect(fault?.reason).toContain('2026-03-30T23:59:59.999Z, the bound of keyRetentionMs');
  });

  test("a worker judges by the record's arrival, hence a replay says the same", () => {
    const lineage: Lineage = { id: 'l', parents: [], depth: 0, origin: '', owns: () => true };
    const ruleSets = fixedRules([ruleSet(implicitMeters())]);
    const judging = validate(ruleSets, { keyRetentionMs: 0, usageRetentionMonths: 2 });
    const verdict = (arrival: number, ms: number): string => {
      const record: LogRecord = { position: '0', arrival, key: 'acme', value: new Uint8Array() };
      return judging.process({ record, event: event(ms) }, { lineage, segment: 0, rules: 1 }).verdict;
    };
    expect(verdict(LATE_MARCH, Date.UTC(2026, 0))).toBe('ok');
    expect(verdict(LATE_MARCH, Date.UTC(2026, 0) - 1)).toBe('TOO_OLD');
    expect(verdict(LATE_MARCH + 1, Date.UTC(2026, 1) - 1)).toBe('TOO_OLD');
    expect(verdict(0, 0)).toBe('ok');
  });
});
