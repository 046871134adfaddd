import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { Lineage } from '../../src/contract.ts';
import { openerOf } from '../support/kafka-logs.ts';
import { describeKafka } from '../support/kafka-services.ts';

const PARTITIONS = 7;

describeKafka('groups of the Kafka log', { own: true }, (kafka) => {
  const open = openerOf(kafka);

  /** Who holds what now, and whether two ever held one. */
  class Ledger {
    readonly holders = new Map<string, string[]>();
    overlaps = 0;
    starts = 0;

    hold(member: string, drainMs: number) {
      return async ({ id: lineage }: Lineage, giveUp: AbortSignal): Promise<void> => {
        this.starts += 1;
        const holders = [...(this.holders.get(lineage) ?? []), member];
        if (holders.length > 1) this.overlaps += 1;
        this.holders.set(lineage, holders);
        await new Promise((resolve) => giveUp.addEventListener('abort', resolve, { once: true }));
        await systemClock.sleep(drainMs);
        this.holders.set(
          lineage,
          this.holders.get(lineage)!.filter((holder) => holder !== member),
        );
      };
    }

    of = (member: string): number => [...this.holders.values()].filter((holders) => holders.includes(member)).length;
    get total(): number {
      return [...this.holders.values()].filter((holders) => holders.length === 1).length;
    }
  }

  const quick = { sessionMs: 6000, heartbeatMs: 100 };
  const poll = { timeout: 30_000, interval: 50 };

  test('KAF-12: members share evenly, take over what is given up once it is drained, and go on with the rest meanwhile', async () => {
    const topic = await kafka().topic(PARTITIONS);
    const ledger = new Ledger();
    const members = new Map<string, { stop: AbortController; done: Promise<void> }>();
    const join = async (name: string): Promise<void> => {
      const log = await open(topic, { partitions: PARTITIONS, ...quick });
      const stop = new AbortController();
      members.set(name, { stop, done: log.share({ groupId: topic }, ledger.hold(name, 150), stop.signal) });
    };
    const leave = (name: string): Promise<void> => {
      members.get(name)!.stop.abort();
      return members.get(name)!.done;
    };
    await join('a');
    await expect.poll(() => ledger.of('a'), poll).toBe(PARTITIONS);
    await join('b');
    await expect.poll(() => [ledger.of('a'), ledger.of('b')].sort(), poll).toEqual([3, 4]);
    // What did not move has not begun anew.
    expect(ledger.starts).toBe(PARTITIONS + Math.min(ledger.of('a'), ledger.of('b')));
    await join('c');
    await expect.poll(() => ['a', 'b', 'c'].map(ledger.of).sort(), poll).toEqual([2, 2, 3]);
    await leave('a');
    expect(ledger.of('a')).toBe(0);
    await expect.poll(() => ['b', 'c'].map(ledger.of).sort(), poll).toEqual([3, 4]);
    await kafka().admin.createPartitions({ topicPartitions: [{ topic, count: PARTITIONS + 2 }] });
    await expect.poll(() => ledger.total, poll).toBe(PARTITIONS + 2);
    await Promise.all([leave('b'), leave('c')]);
    expect(ledger.total).toBe(0);
    expect(ledger.overlaps).toBe(0);
  }, 120_000);

  test('what a member held that was cut off is taken over after its session, and it gives up by itself', async () => {
    const topic = await kafka().topic(2);
    const ledger = new Ledger();
    const stop = new AbortController();
    const cut = await open(topic, { brokers: [kafka().own!.flaky.broker], partitions: 2, ...quick });
    const other = await open(topic, { partitions: 2, ...quick });
    const troubles: unknown[] = [];
    const sharing = { groupId: topic, troubled: (error: unknown) => void troubles.push(error) };
    const first = cut.share(sharing, ledger.hold('cut', 0), stop.signal);
    await expect.poll(() => ledger.of('cut'), poll).toBe(2);
    const { proxy } = kafka().own!.flaky;
    proxy.cut();
    const second = other.share(sharing, ledger.hold('other', 0), stop.signal);
    await expect.poll(() => [ledger.of('cut'), ledger.of('other')], poll).toEqual([0, 2]);
    proxy.restore();
    await expect.poll(() => [ledger.of('cut'), ledger.of('other')], poll).toEqual([1, 1]);
    stop.abort();
    await Promise.all([first, second]);
    expect(troubles.length).toBeGreaterThan(0);
  }, 120_000);

  test('what a holder throws is thrown, once the others are drained and the group is left', async () => {
    const topic = await kafka().topic(3);
    const log = await open(topic, { partitions: 3 });
    const ledger = new Ledger();
    const hold = ledger.hold('a', 50);
    const [bad] = await log.lineages();
    const sharing = log.share(
      { groupId: topic },
      (lineage, giveUp) => (lineage.id === bad!.id ? Promise.reject(new Error('it stops here')) : hold(lineage, giveUp)),
      new AbortController().signal,
    );
    await expect(sharing).rejects.toThrow('it stops here');
    expect(ledger.total).toBe(0);
    expect((await kafka().admin.describeGroups([topic])).groups[0]?.state).toBe('Empty');
  });
});
