import { expect, test } from 'vitest';
import { ARCHIVE_FORMATS, codecOf } from './formats.ts';

test('a numbered format is what it was when it was first used: segments that were cut by it must be cut there again', () => {
  expect([...ARCHIVE_FORMATS]).toEqual([
    [1, { records: 2000, bytes: 1_048_576, ageMs: 2000, idleMs: 300_000 }],
    [2, { records: 50_000, bytes: 67_108_864, ageMs: 60_000, idleMs: 3_600_000 }],
    [3, { records: 2000, bytes: 1_048_576, ageMs: 2000, idleMs: 300_000 }],
    [4, { records: 50_000, bytes: 67_108_864, ageMs: 60_000, idleMs: 3_600_000 }],
    [5, { records: 50_000, bytes: 67_108_864, ageMs: 60_000, idleMs: 3_600_000, codec: 'snappy' }],
    [6, { records: 50_000, bytes: 67_108_864, ageMs: 60_000, idleMs: 3_600_000, codec: 'zstandard' }],
    [7, { records: 50_000, bytes: 67_108_864, ageMs: 60_000, idleMs: 3_600_000, codec: 'deflate' }],
  ]);
});

test('formats that were there before codecs do not compress', () => {
  expect([1, 2, 3, 4, 5, 6, 7, 99].map(codecOf)).toEqual([
    ...['null', 'null', 'null', 'null'],
    ...['snappy', 'zstandard', 'deflate', 'null'],
  ]);
});
