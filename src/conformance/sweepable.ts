/** The promises of a Sweepable (docs/component-spec.md, SWP-*), over any implementation. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Archive, StoredObject, Sweepable } from '../contract.ts';

export interface SweepableFixture {
  /** Of the same objects. */
  readonly archive: Archive;
  readonly store: Sweepable;
  close(): Promise<void>;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

export function sweepableConformance(name: string, make: () => Promise<SweepableFixture>): void {
  describe(`sweepable archive: ${name}`, () => {
    let fixture: SweepableFixture;
    beforeEach(async () => {
      fixture = await make();
    });
    afterEach(() => fixture.close());

    const objects = async (prefix: string): Promise<StoredObject[]> => {
      const found = [];
      for await (const object of fixture.store.objects(prefix)) found.push(object);
      return found;
    };

    test('SWP-1: objects are shown in byte order of their keys, by prefix, each with its time', async () => {
      const { archive } = fixture;
      await archive.put('s/0', bytes('0'));
      const [first] = await objects('');
      for (const key of ['s/b/2', 's/b/10', 's/b-x', 't/a']) await archive.put(key, bytes(key));
      const found = await objects('s/');
      expect(found.map(({ key }) => key)).toEqual(['s/0', 's/b-x', 's/b/10', 's/b/2']);
      expect(found[0]).toEqual(first);
      // A clock of seconds may give the same one to all.
      for (const { storedAt } of found) expect(storedAt).toBeGreaterThanOrEqual(first!.storedAt);
      expect(first!.storedAt).toBeGreaterThan(Date.parse('2020-01-01'));
    });

    test('SWP-2: what is removed is gone, and nothing else is', async () => {
      for (const key of ['s/1', 's/2', 's/3']) await fixture.archive.put(key, bytes(key));
      const second = (await objects('s/'))[1]!;
      expect(await fixture.store.remove(second)).toBe('removed');
      expect((await objects('s/')).map(({ key }) => key)).toEqual(['s/1', 's/3']);
      await expect(fixture.archive.get('s/2')).rejects.toMatchObject({ code: 'ARCHIVE_MISSING' });
    });

    test('SWP-3: other bytes under its key stay; of what is gone, a second removal does nothing', async () => {
      await fixture.archive.put('s/1', bytes('first'));
      const [first] = await objects('s/');
      expect(await fixture.store.remove(first!)).toBe('removed');
      await fixture.store.remove(first!);
      expect(await fixture.archive.put('s/1', bytes('second'))).toBe('stored');
      expect(await fixture.store.remove(first!)).toBe('changed');
      expect(Buffer.from(await fixture.archive.get('s/1')).toString()).toBe('second');
    });

    test('SWP-4: a key that leads elsewhere is refused', async () => {
      await fixture.archive.put('s/1', bytes('x'));
      const [object] = await objects('');
      await expect(fixture.store.remove({ ...object!, key: 's/../s/1' })).rejects.toThrow('plain names');
      expect(await objects('')).toHaveLength(1);
    });
  });
}
