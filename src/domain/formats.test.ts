import { expect, test } from 'vitest';
import { ARCHIVE_FORMATS } from './formats.ts';

test('a numbered format is what it was when it was first used: segments that were cut by it must be cut there again', () => {
  expect([...ARCHIVE_FORMATS]).toEqual([
    [1, { records: 2000, bytes: 1_048_576, ageMs: 2000, idleMs: 300_000 }],
    [2, { records: 50_000, bytes: 67_108_864, ageMs: 60_000, idleMs: 3_600_000 }],
  ]);
});
