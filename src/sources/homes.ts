/** An append of several records to a log of partitions: each goes to the partition that is home to its routing key. */
import type { Outgoing, Written } from '../contract.ts';
import { partitionOf } from '../domain/routing.ts';
import { MeterError } from '../errors.ts';

/** What became of one record. */
export type Outcome = Written | Error;

const refusal = ({ routingKey }: Outgoing): Error | undefined =>
  routingKey.includes('\0') || !routingKey.isWellFormed()
    ? new MeterError('BAD_REQUEST', `append: ${JSON.stringify(routingKey)} cannot be a routing key`, {
        field: 'routing_key',
      })
    : undefined;

/** `write` gives one partition its share. Outcomes come back in the order of the records. */
export async function appendHome<W>(
  records: readonly Outgoing[],
  writers: readonly W[],
  write: (writer: W, share: readonly Outgoing[]) => Promise<readonly Outcome[]>,
): Promise<Outcome[]> {
  // One that the log would refuse must not take the others of its batch with it.
  const outcomes: (Outcome | undefined)[] = records.map(refusal);
  const homes = new Map<W, { readonly place: number; readonly record: Outgoing }[]>();
  records.forEach((record, place) => {
    const home = outcomes[place] === undefined ? writers[partitionOf(record.routingKey, writers.length)] : undefined;
    if (home === undefined) return;
    const there = homes.get(home);
    if (there === undefined) homes.set(home, [{ place, record }]);
    else there.push({ place, record });
  });
  const shares = [...homes].map(async ([writer, share]) => {
    const written = await write(
      writer,
      share.map(({ record }) => record),
    );
    share.forEach(({ place }, n) => (outcomes[place] = written[n]));
  });
  await Promise.all(shares);
  return outcomes.map((outcome) => outcome ?? new MeterError('LOG_UNAVAILABLE', 'append: no partition answered'));
}
