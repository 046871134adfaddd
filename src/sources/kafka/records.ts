/** Records as the broker keeps them, and as the runtime reads them. */
import type { Control, LogRecord } from '../../contract.ts';
import { MeterError } from '../../errors.ts';
import { decodeControl, encodeControl, positionOf } from '../positions.ts';
import type { KafkaRecord, RecordBatch } from './batches.ts';
import type { OutgoingRecord } from './batch-encoder.ts';

/** Told from an event by a header: no value, whatever its bytes, is taken for one. */
const HEADER = 'meterfold';
const CONTROL = 'control';

const view = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

export const eventRecord = (routingKey: string, value: Uint8Array): OutgoingRecord => ({
  key: Buffer.from(routingKey),
  value: view(value),
  headers: [],
});

export const controlRecord = (control: Control): OutgoingRecord => ({
  key: null,
  value: view(encodeControl(control)),
  headers: [Buffer.from(HEADER), Buffer.from(CONTROL)],
});

/** Of a foreign producer, too: the tables take every text but one with a NUL in it. */
function keyOf(key: Buffer | null): string | null {
  const text = key?.toString() ?? null;
  return text?.includes('\0') === true ? text.replaceAll('\0', '\ufffd') : text;
}

const NO_VALUE = Buffer.alloc(0);

/** Throws LOG_MISCONFIGURED for a batch without the broker's time, DATA_DIR_NEWER for a control record that is not known. */
export function logRecords(
  { appended, first, records }: RecordBatch,
  where: string,
  valueOf: (record: KafkaRecord) => Uint8Array,
): LogRecord[] {
  if (appended === undefined) {
    throw new MeterError('LOG_MISCONFIGURED', `read ${where}: the batch at ${first} carries its producer's time`, {
      field: 'message.timestamp.type',
      allowed: 'a topic that had LogAppendTime before its first record',
    });
  }
  return records.map((record) => {
    const { offset, key, value, headers } = record;
    const position = positionOf(offset);
    if (headers.size === 0 || headers.get(HEADER)?.toString() !== CONTROL)
      return { position, arrival: appended, key: keyOf(key), value: valueOf(record) };
    const control = decodeControl(value ?? NO_VALUE, `${where} at ${offset}`);
    return { position, arrival: appended, key: keyOf(key), value: value ?? NO_VALUE, control };
  });
}
