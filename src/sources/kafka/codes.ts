/** Kafka's error codes that are met here, and what each means for us. https://kafka.apache.org/protocol#protocol_error_codes */
import { type FailureCode, MeterError } from '../../errors.ts';

interface Meaning {
  readonly name: string;
  readonly code: FailureCode;
}

/** What is not listed is waited for as well, under its number. */
const MEANINGS: ReadonlyMap<number, Meaning> = new Map([
  [1, { name: 'OFFSET_OUT_OF_RANGE', code: 'LOG_UNAVAILABLE' }],
  [2, { name: 'CORRUPT_MESSAGE', code: 'LOG_UNAVAILABLE' }],
  [3, { name: 'UNKNOWN_TOPIC_OR_PARTITION', code: 'LOG_UNAVAILABLE' }],
  [5, { name: 'LEADER_NOT_AVAILABLE', code: 'LOG_UNAVAILABLE' }],
  [6, { name: 'NOT_LEADER_OR_FOLLOWER', code: 'LOG_UNAVAILABLE' }],
  [7, { name: 'REQUEST_TIMED_OUT', code: 'LOG_UNAVAILABLE' }],
  [10, { name: 'MESSAGE_TOO_LARGE', code: 'TOO_LARGE' }],
  [18, { name: 'RECORD_LIST_TOO_LARGE', code: 'TOO_LARGE' }],
  [19, { name: 'NOT_ENOUGH_REPLICAS', code: 'LOG_UNAVAILABLE' }],
  [20, { name: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND', code: 'LOG_UNAVAILABLE' }],
  [29, { name: 'TOPIC_AUTHORIZATION_FAILED', code: 'LOG_UNAVAILABLE' }],
  [31, { name: 'CLUSTER_AUTHORIZATION_FAILED', code: 'LOG_UNAVAILABLE' }],
  [45, { name: 'OUT_OF_ORDER_SEQUENCE_NUMBER', code: 'LOG_UNAVAILABLE' }],
  [47, { name: 'INVALID_PRODUCER_EPOCH', code: 'LOG_UNAVAILABLE' }],
  [59, { name: 'UNKNOWN_PRODUCER_ID', code: 'LOG_UNAVAILABLE' }],
  [74, { name: 'FENCED_LEADER_EPOCH', code: 'LOG_UNAVAILABLE' }],
  [75, { name: 'UNKNOWN_LEADER_EPOCH', code: 'LOG_UNAVAILABLE' }],
  [78, { name: 'OFFSET_NOT_AVAILABLE', code: 'LOG_UNAVAILABLE' }],
  [87, { name: 'INVALID_RECORD', code: 'BAD_REQUEST' }],
  [100, { name: 'UNKNOWN_TOPIC_ID', code: 'LOG_UNAVAILABLE' }],
  [103, { name: 'INCONSISTENT_TOPIC_ID', code: 'LOG_UNAVAILABLE' }],
]);

export const OFFSET_OUT_OF_RANGE = 1;
export const UNKNOWN_TOPIC = 3;
/** The broker does not know the producer's last batch: another producer id is needed, and a new sequence. */
const SEQUENCE: readonly string[] = ['OUT_OF_ORDER_SEQUENCE_NUMBER', 'INVALID_PRODUCER_EPOCH', 'UNKNOWN_PRODUCER_ID'];
const NO_TOPIC: readonly string[] = ['UNKNOWN_TOPIC_OR_PARTITION', 'UNKNOWN_TOPIC_ID'];

/** Throws what an error code means; 0 means nothing. */
export function demandNone(error: number, what: string, more = ''): void {
  if (error === 0) return;
  const { name, code }: Meaning = MEANINGS.get(error) ?? { name: `error ${error}`, code: 'LOG_UNAVAILABLE' };
  throw new MeterError(code, `${what}: Kafka answers ${name}${more === '' ? '' : ` (${more})`}`, { value: name });
}

const says = (error: unknown, names: readonly string[]): boolean =>
  error instanceof MeterError && names.includes(error.detail.value ?? '');

export const isSequenceLost = (error: unknown): boolean => says(error, SEQUENCE);
/** No node that was asked knows the topic. Shortly after a change that may be a node which has not heard of it yet. */
export const isTopicUnknown = (error: unknown): boolean => says(error, NO_TOPIC);
