/** Arguments of the speed store, checked before anything is written: what is malformed is refused, never half applied. */
import type { AdvanceRequest, ApplyRequest, SpeedRecord } from '../../contract.ts';
import { AGGREGATIONS, type Contribution } from '../../domain/cell.ts';
import { MEMBER_BYTES } from '../../domain/distinct.ts';

const DIGEST_LENGTH = 16;
/** 38 decimal digits, 12 of them fractional: what one event may add. */
const LIMIT = 10n ** 38n;

function demand(condition: boolean, what: string): void {
  if (!condition) throw new TypeError(`speed store: ${what}`);
}
/** What every store keeps as it is: half of a pair of surrogates has no bytes. */
const isText = (value: unknown): boolean => typeof value === 'string' && value.length > 0 && value.isWellFormed();
/** A part of a cell's key: NUL stands between two of them. */
const isPart = (value: unknown): boolean => typeof value === 'string' && value.isWellFormed() && !value.includes('\0');
/** Compared by its characters here and by its bytes in Redis, which is the same order below the surrogates. */
const isOrder = (value: unknown): boolean => typeof value === 'string' && /^[\0-\ud7ff]*$/.test(value);
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
/** Bytes, one a character. */
const isBytes = (value: unknown, length: number): boolean =>
  typeof value === 'string' && value.length === length && /^[\0-\xff]*$/.test(value);
const isDigest = (value: unknown): boolean => isBytes(value, DIGEST_LENGTH);

function checkContribution(c: Contribution): void {
  demand(c.tenant !== '' && c.meter !== '', 'a contribution names no cell');
  demand(isPart(c.tenant) && isPart(c.meter) && isPart(c.group), 'a contribution names no cell');
  demand(Number.isSafeInteger(c.minute), 'the minute of a contribution is no integer');
  demand(typeof c.value === 'bigint' && c.value < LIMIT && c.value > -LIMIT, 'the value of a contribution is no decimal');
  demand(isOrder(c.order), 'the order of a contribution is no text');
  demand(AGGREGATIONS.includes(c.aggregation), 'no such aggregation');
  demand(c.aggregation !== 'unique_count' || isBytes(c.member, MEMBER_BYTES), 'a unique count has no member of 8 bytes');
  demand(c.aggregation !== 'time_weighted_sum' || isCount(c.second), 'a reading has no second');
}

function checkRecord(r: SpeedRecord, last: string): void {
  demand(isText(r.position) && r.position > last, 'records are not in the order of the log');
  demand(isDigest(r.digest), 'a digest has not 16 bytes');
  demand(isCount(r.epoch) && isCount(r.segment), 'an epoch or segment is no count');
  r.contributions.forEach(checkContribution);
}

export function checkApply(r: ApplyRequest): void {
  demand(isText(r.lineage) && isText(r.incarnation), 'apply names no lineage or incarnation');
  demand(isText(r.prev) && isText(r.to) && r.prev <= r.to, 'apply goes back');
  demand(
    isCount(r.arrival) && isCount(r.oldest) && isCount(r.rules),
    'arrival, oldest epoch or rules of an apply are no count',
  );
  let last = '';
  for (const record of r.records) {
    checkRecord(record, last);
    last = record.position;
  }
  demand(last < r.to, 'a record lies behind the end of its apply');
}

export function checkAdvance(r: AdvanceRequest): void {
  demand(isText(r.lineage) && isText(r.mark), 'advance names no lineage or mark');
  demand(isText(r.mint.incarnation) && isCount(r.mint.oldest), 'advance mints no incarnation or oldest epoch');
  demand(r.parents.every(isText), 'a parent of advance is no lineage');
  demand(r.floor === undefined || isCount(r.floor), 'a floor is no count');
  for (const key of r.keys ?? []) demand(isDigest(key.digest) && isCount(key.epoch), 'a key of advance is malformed');
  if (r.fence !== undefined)
    demand(isText(r.fence.position) && isCount(r.fence.arrival) && isCount(r.fence.rules), 'a fence is malformed');
}

export const checkCollect = (lineage: string, cut: number): void => {
  demand(isText(lineage) && isCount(cut), 'collect names no lineage or cut');
};

export const checkDrop = (epoch: number, needed: ReadonlyMap<string, number>): void => {
  demand(isCount(epoch), 'an epoch is no count');
  for (const [lineage, floor] of needed) demand(isText(lineage) && isCount(floor), 'a needed floor is malformed');
};
