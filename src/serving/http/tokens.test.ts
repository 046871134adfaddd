import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MeterError } from '../../errors.ts';
import { decodeToken, encodeToken, latestOf } from './tokens.ts';

const position = (n: number): string => String(n).padStart(20, '0');
const write = fc.record({
  lineage: fc.constantFrom('pg.a.0', 'pg.a.1', 'kafka.tøpic.2'),
  position: fc.nat().map(position),
});

describe('tokens', () => {
  test('decode to the highest position of each lineage', () => {
    fc.assert(
      fc.property(fc.array(write), (writes) => {
        const decoded = decodeToken(encodeToken(writes), 'after');
        expect(decoded).toEqual(latestOf(writes));
        for (const { lineage, position } of writes) {
          expect(decoded.find((w) => w.lineage === lineage)!.position >= position).toBe(true);
        }
        expect(new Set(decoded.map((w) => w.lineage)).size).toBe(decoded.length);
      }),
    );
  });

  test('pass through a URL as they are', () => {
    fc.assert(fc.property(fc.array(write), (writes) => encodeURIComponent(encodeToken(writes)) === encodeToken(writes)));
  });

  test('anything else is refused by name, never thrown at', () => {
    const encoded = fc.json().map((json) => Buffer.from(json).toString('base64url'));
    fc.assert(
      fc.property(fc.oneof(fc.string(), encoded), (text) => {
        try {
          for (const w of decodeToken(text, 'after')) expect(typeof w.position).toBe('string');
        } catch (error) {
          expect(error).toBeInstanceOf(MeterError);
          expect((error as MeterError).detail.field).toBe('after');
        }
      }),
    );
  });

  test.each([
    ['', []],
    ['a position of letters', [['pg.a.0', 'END']]],
    ['an empty lineage', [['', position(1)]]],
    ['a third part', [['pg.a.0', position(1), 1]]],
    ['no list', { a: 1 }],
  ])('%s is refused', (what, pairs) => {
    const token = what === '' ? '' : Buffer.from(JSON.stringify(pairs)).toString('base64url');
    expect(() => decodeToken(token, 'after')).toThrow('is not a token');
  });
});
