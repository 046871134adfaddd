/** Bytes to events. What is no event keeps its fault; control records pass untouched. */
import type { LogRecord, Processor } from '../contract.ts';
import { decodeEvent } from '../domain/avro.ts';
import { fromCloudEvent } from '../domain/cloudevents.ts';
import { checkEvent, type NativeFields, type UsageEvent } from '../domain/event.ts';
import { fault, type Fault, isFault } from '../domain/fault.ts';
import { parseJson } from '../domain/json.ts';
import { readPlainEvent } from '../domain/plain-event.ts';
import { buffer } from '../domain/wire.ts';
import { asError } from '../errors.ts';

export interface Decoded {
  readonly record: LogRecord;
  readonly event?: UsageEvent;
  readonly fault?: Fault;
}

const OPENING_BRACE = 0x7b;
const SHOWN_BYTES = 200;

const bufferOf = (value: Uint8Array): Buffer => (Buffer.isBuffer(value) ? value : buffer(value));

const fromJson = (value: Uint8Array): UsageEvent | Fault => readPlainEvent(bufferOf(value)) ?? fromAnyJson(value);

function fromAnyJson(value: Uint8Array): UsageEvent | Fault {
  try {
    const json = parseJson(value) as NativeFields;
    // No field of an event: a foreign producer wrote a CloudEvent.
    const fields = 'specversion' in json ? fromCloudEvent(json) : json;
    return isFault(fields) ? fields : checkEvent(fields);
  } catch (error) {
    const begins = Buffer.from(value.subarray(0, SHOWN_BYTES)).toString();
    if (error instanceof TypeError) return fault('BAD_TEXT', '', begins, 'the record is not UTF-8');
    return fault('UNDECODABLE', '', begins, `not JSON: ${asError(error).message}`);
  }
}

/** By the first byte: JSON, of an event or a CloudEvent, else an Avro single object. */
export const decode = (): Processor<LogRecord, Decoded> => ({
  name: 'decode',
  process: (record) => {
    if (record.control !== undefined) return { record };
    const read = record.value[0] === OPENING_BRACE ? fromJson(record.value) : decodeEvent(record.value);
    return isFault(read) ? { record, fault: read } : { record, event: read };
  },
});
