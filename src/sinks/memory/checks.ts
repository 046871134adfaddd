/** Arguments of the speed store, checked before anything is written: what is malformed is refused, never half applied. */
import type { AdvanceRequest, ApplyRequest, SpeedRecord } from '../../contract.ts';
import { AGGREGATIONS, type Contribution } from '../../domain/cell.ts';

const DIGEST_LENGTH = 16;
/** 38 decimal digits, 12 of them fractional: what one event may add. */
const LIMIT = 10n ** 38n;

function demand(condition: boolean, what: string): void {
  if (!condition) throw new TypeError(`speed store: ${what}`);
}
const isText = (value: unknown): boolean => typeof value === 'string' && value.length > 0;
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isDigest = (value: unknown): boolean => typeof value === 'string' && value.length === DIGEST_LENGTH;

const MEMBER_LENGTH = 8;
const isMember = (value: unknown): boolean => typeof value === 'string' && value.length === MEMBER_LENGTH;

function checkContribution(c: Contribution): void {
  demand(isText(c.tenant) && isText(c.meter) && typeof c.group === 'string', 'a contribution names no cell');
  demand(Number.isSafeInteger(c.minute), 'the minute of a contribution is no integer');
  demand(typeof c.value === 'bigint' && c.value < LIMIT && c.value > -LIMIT, 'the value of a contribution is no decimal');
  demand(typeof c.order === 'string', 'the order of a contribution is no text');
  demand(AGGREGATIONS.includes(c.aggregation), 'no such aggregation');
  demand(c.aggregation !== 'unique_count' || isMember(c.member), 'a unique count has no member of 8 bytes');
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
