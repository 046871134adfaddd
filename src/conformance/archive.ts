/** The promises of an Archive (docs/component-spec.md, ARC-*), over any implementation. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Archive } from '../contract.ts';

export interface ArchiveFixture {
  readonly archive: Archive;
  close(): Promise<void>;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

export function archiveConformance(name: string, make: () => Promise<ArchiveFixture>): void {
  describe(`archive: ${name}`, () => {
    let fixture: ArchiveFixture;
    let archive: Archive;
    beforeEach(async () => {
      fixture = await make();
      ({ archive } = fixture);
    });
    afterEach(() => fixture.close());

    const list = async (prefix: string): Promise<string[]> => {
      const keys = [];
      for await (const key of archive.list(prefix)) keys.push(key);
      return keys;
    };

    test('ARC-1: what was put is got, byte for byte', async () => {
      const value = Uint8Array.from({ length: 70_000 }, (_, n) => n % 256);
      expect(await archive.put('segments/l0/1.avro', value)).toBe('stored');
      expect(new Uint8Array(await archive.get('segments/l0/1.avro'))).toEqual(value);
      await archive.put('empty', new Uint8Array());
      expect(await archive.get('empty')).toHaveLength(0);
    });

    test('ARC-2: an object is written once; a second put answers exists and changes nothing', async () => {
      await archive.put('a/b', bytes('first'));
      expect(await archive.put('a/b', bytes('second'))).toBe('exists');
      expect(Buffer.from(await archive.get('a/b')).toString()).toBe('first');
    });

    test('ARC-3: of many puts of a key at once exactly one is stored, and its bytes stand', async () => {
      for (let round = 0; round < 5; round += 1) {
        const key = `race/${String(round)}`;
        const texts = Array.from({ length: 20 }, (_, n) => `${String(n)} `.repeat(1000));
        const outcomes = await Promise.all(texts.map((text) => archive.put(key, bytes(text))));
        const winners = outcomes.flatMap((outcome, n) => (outcome === 'stored' ? [n] : []));
        expect(winners).toHaveLength(1);
        expect(Buffer.from(await archive.get(key)).toString()).toBe(texts[winners[0] ?? -1]);
      }
    });

    test('ARC-4: a key that is not there is ARCHIVE_MISSING, and the message names it', async () => {
      await expect(archive.get('not/there')).rejects.toMatchObject({
        code: 'ARCHIVE_MISSING',
        message: expect.stringContaining('not/there'),
      });
    });

    test('ARC-5: keys are listed in byte order, by prefix', async () => {
      for (const key of ['b/2', 'b/10', 'b-x', 'a', 'b/sub/1']) await archive.put(key, bytes(key));
      expect(await list('')).toEqual(['a', 'b-x', 'b/10', 'b/2', 'b/sub/1']);
      expect(await list('b/')).toEqual(['b/10', 'b/2', 'b/sub/1']);
      expect(await list('none')).toEqual([]);
    });

    test('ARC-6: a key that leads elsewhere is refused', async () => {
      for (const key of ['../x', 'a/../../x', '/etc/x', 'a//b', '', 'a/./b', 'a\0b']) {
        await expect(archive.put(key, bytes('x'))).rejects.toThrow('plain names');
        await expect(archive.get(key)).rejects.toThrow('plain names');
      }
      expect(await list('')).toEqual([]);
    });
  });
}
