/** The promises of a log: Source and Producer (docs/component-spec.md, SRC-* and PRD-*). Every implementation runs them. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { END, type Batch, type LogRecord, type Outgoing, type Producer, type Source, type Written } from '../contract.ts';

export type Log = Source & Producer;

export interface LogFixture {
  /** A fresh log with at least two lineages. */
  readonly log: Log;
  /** The same log as another process opens it. */
  again(): Promise<Log>;
  /** Most records and bytes of values in one batch (a single record may have more). */
  readonly batch: { readonly records: number; readonly bytes: number };
  /** Closes a lineage, and perhaps the others, where that can be done from outside. */
  end?(lineage: string): Promise<void>;
  /** Takes the log away, and gives it back, where that can be done from outside. */
  outage?(): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

const never = new AbortController().signal;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const outgoing = (routingKey: string, text: string): Outgoing => ({ routingKey, value: bytes(text) });
export const textOf = ({ value }: LogRecord): string => new TextDecoder().decode(value);

export function demandWritten(outcomes: readonly (Written | Error)[]): Written[] {
  return outcomes.map((outcome) => {
    if (outcome instanceof Error) throw outcome;
    return outcome;
  });
}

/** Reads on until `count` records came, or the lineage ended. */
export async function read(log: Source, lineage: string, from: string, count: number): Promise<Batch[]> {
  const batches: Batch[] = [];
  await using reader = log.open(lineage, from);
  for (let n = 0; n < count;) {
    const batch = await reader.next(never);
    if (batch === undefined) break;
    batches.push(batch);
    n += batch.records.length;
    if (batch.next === END) break;
  }
  return batches;
}

export const recordsOf = (batches: readonly Batch[]): LogRecord[] => batches.flatMap(({ records }) => records);

/** Everything that a log holds now, by lineage. */
export async function readAll(log: Source): Promise<Map<string, LogRecord[]>> {
  const all = new Map<string, LogRecord[]>();
  for (const { id } of await log.lineages()) {
    const { first, end } = await log.bounds(id);
    const records: LogRecord[] = [];
    await using reader = log.open(id, first);
    for (let at = first; at < end;) {
      const batch = await reader.next(never);
      if (batch === undefined) break;
      records.push(...batch.records);
      at = batch.next;
    }
    all.set(id, records);
  }
  return all;
}

const isPending = async (promise: Promise<unknown>): Promise<boolean> => {
  const mark = Symbol('pending');
  // Long enough for a look or two: what would come at once has come by then.
  const later = new Promise((resolve) => setTimeout(() => resolve(mark), 200));
  return (await Promise.race([promise, later])) === mark;
};

export function sourceConformance(name: string, makeFixture: () => Promise<LogFixture>): void {
  describe(`source: ${name}`, () => {
    let fixture: LogFixture;
    let log: Log;

    beforeEach(async () => {
      fixture = await makeFixture();
      ({ log } = fixture);
    });
    afterEach(() => fixture.close());

    const lineageOf = async (routingKey: string): Promise<{ id: string; origin: string }> => {
      const homes = (await log.lineages()).filter((lineage) => lineage.owns(routingKey));
      expect(homes).toHaveLength(1);
      return homes[0]!;
    };
    const write = async (count: number, routingKey = 'acme', from = 0): Promise<Written[]> =>
      demandWritten(
        await log.append(Array.from({ length: count }, (_, n) => outgoing(routingKey, `${routingKey} ${from + n}`))),
      );

    test('SRC-1: lineages have ids of their own, come after their parents, and are the same to everyone', async () => {
      const lineages = await log.lineages();
      expect(lineages.length).toBeGreaterThan(1);
      const seen = new Map<string, number>();
      for (const { id, parents, depth } of lineages) {
        expect(seen.has(id)).toBe(false);
        const above = parents.map((parent) => seen.get(parent) ?? Number.NaN);
        expect(depth).toBe(Math.max(-1, ...above) + 1);
        seen.set(id, depth);
      }
      const others = await (await fixture.again()).lineages();
      expect(others.map(({ id }) => id)).toEqual(lineages.map(({ id }) => id));
    });

    test('SRC-2: a routing key has one home, and its records are there and nowhere else', async () => {
      const keys = Array.from({ length: 60 }, (_, n) => `tenant-${n}#${n % 7}`);
      const written = demandWritten(await log.append(keys.map((key) => outgoing(key, key))));
      for (const [n, key] of keys.entries()) expect(written[n]?.lineage).toBe((await lineageOf(key)).id);
      const all = await readAll(log);
      for (const lineage of await log.lineages()) {
        for (const record of all.get(lineage.id) ?? []) expect(lineage.owns(record.key ?? '')).toBe(true);
      }
      expect(new Set(written.map(({ lineage }) => lineage)).size).toBeGreaterThan(1);
    });

    test('SRC-3: a reader from the origin gets every record once, in order, and each batch starts where the last one ended', async () => {
      const { id, origin } = await lineageOf('acme');
      for (let n = 0; n < 30; n += 10) await write(10, 'acme', n);
      const batches = await read(log, id, origin, 30);
      let at = origin;
      for (const batch of batches) {
        expect(batch.lineage).toBe(id);
        expect(batch.from).toBe(at);
        at = batch.next;
      }
      expect(recordsOf(batches).map(textOf)).toEqual(Array.from({ length: 30 }, (_, n) => `acme ${n}`));
    });

    test('SRC-4: the order of positions as strings is the order of the log; `after` lies behind a record and not behind the next', async () => {
      const { id, origin } = await lineageOf('acme');
      await write(25);
      const batches = await read(log, id, origin, 25);
      const positions = recordsOf(batches).map(({ position }) => position);
      for (const [n, position] of positions.entries()) {
        const next = positions[n + 1] ?? batches.at(-1)!.next;
        expect(log.after(position) > position).toBe(true);
        expect(log.after(position) <= next).toBe(true);
        expect(position < next && next < END).toBe(true);
      }
      expect(positions[0]! >= origin).toBe(true);
    });

    test('SRC-5: a replay from any position gives the same records, whoever reads', async () => {
      const { id, origin } = await lineageOf('acme');
      await write(12);
      const records = recordsOf(await read(log, id, origin, 12));
      const other = await fixture.again();
      for (const [n, { position }] of records.entries()) {
        expect(recordsOf(await read(n % 2 === 0 ? log : other, id, position, 12 - n))).toEqual(records.slice(n));
      }
    });

    test('SRC-6: a reader at the end waits, and gets what this process appends', async () => {
      const { id, origin } = await lineageOf('acme');
      await using reader = log.open(id, origin);
      const next = reader.next(never);
      expect(await isPending(next)).toBe(true);
      await write(1);
      expect((await next)?.records.map(textOf)).toEqual(['acme 0']);
    });

    test('SRC-7: a reader at the end waits, and gets what another process appends', async () => {
      const { id, origin } = await lineageOf('acme');
      const other = await fixture.again();
      await using reader = log.open(id, origin);
      const next = reader.next(never);
      expect(await isPending(next)).toBe(true);
      demandWritten(await other.append([outgoing('acme', 'from afar')]));
      expect((await next)?.records.map(textOf)).toEqual(['from afar']);
    });

    test('SRC-8: `stop` ends a wait with undefined, and a reader that was stopped goes on where it was', async () => {
      const { id, origin } = await lineageOf('acme');
      await using reader = log.open(id, origin);
      const stop = new AbortController();
      const next = reader.next(stop.signal);
      expect(await isPending(next)).toBe(true);
      stop.abort();
      expect(await next).toBeUndefined();
      await write(2);
      expect(await reader.next(stop.signal)).toBeUndefined();
      expect((await reader.next(never))?.from).toBe(origin);
    });

    test("SRC-9: arrival is the broker's time in whole milliseconds", async () => {
      const { id, origin } = await lineageOf('acme');
      const before = Date.now();
      await write(5);
      const after = Date.now();
      for (const { arrival } of recordsOf(await read(log, id, origin, 5))) {
        expect(Number.isInteger(arrival)).toBe(true);
        // The broker may run on another machine.
        expect(arrival).toBeGreaterThan(before - 60_000);
        expect(arrival).toBeLessThan(after + 60_000);
      }
    });

    test('SRC-10: a control record is told from an event by the log, not by its bytes', async () => {
      const { id, origin } = await lineageOf('acme');
      demandWritten(await log.append([outgoing('acme', '{"type":"tick"}')]));
      await log.control({ type: 'tick' });
      await log.control({ type: 'format', format: 7 });
      const records = recordsOf(await read(log, id, origin, 3));
      expect(records.map(({ control }) => control)).toEqual([undefined, { type: 'tick' }, { type: 'format', format: 7 }]);
    });

    test('SRC-11: `bounds` names the first record that is kept and the position that the next one gets', async () => {
      const { id, origin } = await lineageOf('acme');
      expect(await log.bounds(id)).toEqual({ first: origin, end: origin });
      await write(4);
      const { first, end } = await log.bounds(id);
      expect(first).toBe(origin);
      const [next] = await write(1);
      expect(next?.position).toBe(end);
      expect((await read(log, id, origin, 5)).at(-1)?.next).toBe((await log.bounds(id)).end);
    });

    test('SRC-12: `trim` forgets what lies before a position and nothing else; again, it changes nothing', async () => {
      const { id } = await lineageOf('acme');
      const written = await write(20);
      const cut = written[12]!.position;
      expect(await log.trim(id, cut)).toBe(12);
      expect((await log.bounds(id)).first).toBe(cut);
      expect(await log.trim(id, cut)).toBe(0);
      expect(await log.trim(id, written[3]!.position)).toBe(0);
      expect((await log.bounds(id)).first).toBe(cut);
      expect(recordsOf(await read(log, id, cut, 8)).map(textOf)).toEqual(
        Array.from({ length: 8 }, (_, n) => `acme ${n + 12}`),
      );
      const [next] = await write(1);
      expect(next!.position > written[19]!.position).toBe(true);
    });

    test('SRC-13: a trim of all that is there leaves the end where it was', async () => {
      const { id } = await lineageOf('acme');
      await write(3);
      const { end } = await log.bounds(id);
      expect(await log.trim(id, end)).toBe(3);
      expect(await log.bounds(id)).toEqual({ first: end, end });
      await write(1, 'acme', 3);
      expect(recordsOf(await read(log, id, end, 1)).map(textOf)).toEqual(['acme 3']);
    });

    test('SRC-14: a reader that stands before what is trimmed stops with LOG_TRIMMED, never at a gap', async () => {
      const { id, origin } = await lineageOf('acme');
      const written = await write(10);
      await using early = log.open(id, origin);
      await early.next(never);
      await using late = log.open(id, written[2]!.position);
      await log.trim(id, written[5]!.position);
      await expect(late.next(never)).rejects.toMatchObject({ code: 'LOG_TRIMMED', kind: 'fatal' });
      await expect(log.open(id, origin).next(never)).rejects.toMatchObject({ code: 'LOG_TRIMMED' });
    });

    test('SRC-15: a position or lineage that the log never had stops a reader with LOG_REPLACED', async () => {
      const { id } = await lineageOf('acme');
      await write(2);
      const { end } = await log.bounds(id);
      await expect(log.open(id, log.after(end)).next(never)).rejects.toMatchObject({ code: 'LOG_REPLACED', kind: 'fatal' });
      await expect(log.open(`${id}x`, end).next(never)).rejects.toMatchObject({ code: 'LOG_REPLACED' });
    });

    test('SRC-16: batches are bounded in records and bytes', async () => {
      const { id, origin } = await lineageOf('acme');
      const { records, bytes: most } = fixture.batch;
      const count = Math.min(records * 2 + 1, 5000);
      await write(count);
      const large = Uint8Array.from({ length: Math.ceil(most / 4) }, (_, n) => n % 251);
      for (let n = 0; n < 9; n += 1) demandWritten(await log.append([{ routingKey: 'acme', value: large }]));
      const batches = await read(log, id, origin, count + 9);
      expect(recordsOf(batches)).toHaveLength(count + 9);
      for (const batch of batches) {
        expect(batch.records.length).toBeLessThanOrEqual(records);
        const size = batch.records.reduce((sum, { value }) => sum + value.length, 0);
        expect(size - (batch.records.at(-1)?.value.length ?? 0)).toBeLessThanOrEqual(most);
      }
    });

    test('SRC-17: a closed lineage is read to its close, and its end is END', async (context) => {
      if (fixture.end === undefined) return context.skip();
      const { id, origin } = await lineageOf('acme');
      await write(3);
      await using reader = log.open(id, origin);
      await reader.next(never);
      const next = reader.next(never);
      await fixture.end(id);
      expect(await next).toMatchObject({ lineage: id, next: END, records: [] });
      expect((await log.bounds(id)).end).toBe(END);
      expect(recordsOf(await read(log, id, origin, 4))).toHaveLength(3);
      expect((await read(log, id, END, 1)).at(-1)).toMatchObject({ from: END, next: END, records: [] });
    });

    test('SRC-18: while the log is away a reader throws LOG_UNAVAILABLE, and then goes on where it was', async (context) => {
      if (fixture.outage === undefined) return context.skip();
      const { id, origin } = await lineageOf('acme');
      await write(3);
      await using reader = log.open(id, origin);
      const first = await reader.next(never);
      const restore = await fixture.outage();
      await expect(reader.next(never)).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE', kind: 'transient' });
      await restore();
      await write(2, 'acme', 3);
      const batch = await reader.next(never);
      expect(batch?.from).toBe(first?.next);
      expect(batch?.records.map(textOf)).toEqual(['acme 3', 'acme 4']);
    });

    test('SRC-19: reading while others append finds no gap, nothing twice, and everything that was acknowledged', async () => {
      const { id, origin } = await lineageOf('acme');
      const writers = [log, await fixture.again(), await fixture.again()];
      const total = writers.length * 40 * 5;
      const reading = read(await fixture.again(), id, origin, total);
      const acknowledged = new Map<string, string>();
      await Promise.all(
        writers.map(async (writer, w) => {
          for (let n = 0; n < 40; n += 1) {
            const texts = Array.from({ length: 5 }, (_, k) => `${w}.${n}.${k}`);
            const written = demandWritten(await writer.append(texts.map((text) => outgoing('acme', text))));
            written.forEach(({ position }, k) => acknowledged.set(position, texts[k]!));
          }
        }),
      );
      const batches = await reading;
      let at = origin;
      for (const batch of batches) {
        expect(batch.from).toBe(at);
        at = batch.next;
      }
      const found = new Map(recordsOf(batches).map((record) => [record.position, textOf(record)]));
      expect(found).toEqual(acknowledged);
      expect(found.size).toBe(total);
    });

    test('PRD-1: there is one outcome a record, in order, and it says where the record is', async () => {
      const records = Array.from({ length: 100 }, (_, n) => outgoing(`tenant-${n % 9}`, `event ${n}`));
      const written = demandWritten(await log.append(records));
      expect(written).toHaveLength(100);
      const all = await readAll(log);
      const found = new Map([...all].flatMap(([id, list]) => list.map((record) => [`${id} ${record.position}`, record])));
      for (const [n, { lineage, position }] of written.entries()) {
        const record = found.get(`${lineage} ${position}`)!;
        expect(textOf(record)).toBe(`event ${n}`);
        expect(record.key).toBe(records[n]?.routingKey);
      }
      expect(found.size).toBe(100);
      expect(await log.append([])).toEqual([]);
    });

    test('PRD-2: order holds within a key, also for appends that did not wait for each other', async () => {
      const { id, origin } = await lineageOf('acme');
      const appends = Array.from({ length: 200 }, (_, n) =>
        log.append([outgoing('acme', `acme ${n}`), outgoing(`other-${n}`, 'x')]),
      );
      for (const outcomes of await Promise.all(appends)) demandWritten(outcomes);
      const { end } = await log.bounds(id);
      const own: string[] = [];
      await using reader = log.open(id, origin);
      for (let at = origin; at < end;) {
        const batch = (await reader.next(never))!;
        own.push(...batch.records.filter(({ key }) => key === 'acme').map(textOf));
        at = batch.next;
      }
      expect(own).toEqual(Array.from({ length: 200 }, (_, n) => `acme ${n}`));
    });

    test('PRD-3: what is acknowledged is in the log for everyone, at once', async () => {
      const other = await fixture.again();
      for (let n = 0; n < 20; n += 1) {
        const [written] = await write(1, `tenant-${n}`);
        const { end } = await other.bounds(written!.lineage);
        expect(end > written!.position).toBe(true);
        const batch = (await read(other, written!.lineage, written!.position, 1))[0]!;
        expect(textOf(batch.records[0]!)).toBe(`tenant-${n} 0`);
      }
    });

    test('PRD-4: keys and values come back as they were, byte by byte', async () => {
      const { id, origin } = await lineageOf('schlüssel 🗝 "\\');
      const values = [
        new Uint8Array(0),
        Uint8Array.from({ length: 256 }, (_, n) => n),
        bytes('{"a":"\\u0000"}'),
        Uint8Array.from({ length: 700_001 }, (_, n) => (n * 31) % 256),
        // A view into a larger buffer.
        Uint8Array.from({ length: 100 }, (_, n) => n).subarray(10, 20),
      ];
      demandWritten(await log.append(values.map((value) => ({ routingKey: 'schlüssel 🗝 "\\', value }))));
      const records = recordsOf(await read(log, id, origin, values.length));
      expect(records.map(({ key }) => key)).toEqual(values.map(() => 'schlüssel 🗝 "\\'));
      records.forEach(({ value }, n) => expect(Buffer.compare(value, values[n]!)).toBe(0));
    });

    test('PRD-5: a record that cannot be written fails alone', async () => {
      const outcomes = await log.append([
        outgoing('acme', 'a'),
        outgoing('ac\0me', 'b'),
        outgoing('acme', 'c'),
        outgoing('\ud800', 'd'),
      ]);
      expect(outcomes.map((outcome) => outcome instanceof Error)).toEqual([false, true, false, true]);
      const { id, origin } = await lineageOf('acme');
      expect(recordsOf(await read(log, id, origin, 2)).map(textOf)).toEqual(['a', 'c']);
    });

    test('PRD-6: while the log is away every outcome is LOG_UNAVAILABLE and nothing is thrown; sent again later, it is there', async (context) => {
      if (fixture.outage === undefined) return context.skip();
      await write(1);
      const restore = await fixture.outage();
      const outcomes = await log.append([outgoing('acme', 'again'), outgoing('other', 'again')]);
      for (const outcome of outcomes) expect(outcome).toMatchObject({ code: 'LOG_UNAVAILABLE', kind: 'transient' });
      await expect(log.control({ type: 'tick' })).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' });
      await restore();
      const [written] = demandWritten(await log.append([outgoing('acme', 'again')]));
      expect(textOf(recordsOf(await read(log, written!.lineage, written!.position, 1))[0]!)).toBe('again');
    });

    test('PRD-7: a control record is written into every open lineage', async () => {
      await log.control({ type: 'format', format: 3 });
      for (const { id, origin } of await log.lineages()) {
        expect(recordsOf(await read(log, id, origin, 1))[0]).toMatchObject({ control: { type: 'format', format: 3 } });
      }
      if (fixture.end === undefined) return;
      const [closed, ...others] = await log.lineages();
      await fixture.end(closed!.id);
      await log.control({ type: 'tick' });
      await log.control({ type: 'tick' });
      for (const { id, origin } of others) {
        // Some logs close all of them, or none.
        const ticks = (await log.bounds(id)).end === END ? 0 : 2;
        expect(recordsOf(await read(log, id, origin, 1 + ticks))).toHaveLength(1 + ticks);
      }
      expect(recordsOf(await read(log, closed!.id, closed!.origin, 3))).toHaveLength(1);
    });

    test('PRD-8: many appends at once are each acknowledged with a place of their own', async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 300 }, (_, n) =>
          log.append([outgoing(`t${n % 5}`, `${n} a`), outgoing(`t${(n + 1) % 5}`, `${n} b`)]),
        ),
      );
      const written = outcomes.flatMap((outcome) => demandWritten(outcome));
      expect(new Set(written.map(({ lineage, position }) => `${lineage} ${position}`)).size).toBe(600);
      const counts = [...(await readAll(log)).values()].map((records) => records.length);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(600);
    });
  });
}
