/** Bytes to events. What is no event keeps its fault; control records pass untouched. */
import type { LogRecord, Processor } from '../contract.ts';
import { decodeEvent } from '../domain/avro.ts';
import { checkEvent, type NativeFields, type UsageEvent } from '../domain/event.ts';
import { fault, type Fault, isFault } from '../domain/fault.ts';
import { parseJson } from '../domain/json.ts';

export interface Decoded {
  readonly record: LogRecord;
  readonly event?: UsageEvent;
  readonly fault?: Fault;
}

const OPENING_BRACE = 0x7b;

function fromJson(value: Uint8Array): UsageEvent | Fault {
  try {
    return checkEvent(parseJson(value) as NativeFields);
  } catch (error) {
    return fault(
      'UNDECODABLE',
      '',
      Buffer.from(value).toString('latin1'),
      error instanceof Error ? error.message : String(error),
    );
  }
}

/** By the first byte: native JSON, else an Avro single object. */
export const decode = (): Processor<LogRecord, Decoded> => ({
  name: 'decode',
  process: (record) => {
    if (record.control !== undefined) return { record };
    const read = record.value[0] === OPENING_BRACE ? fromJson(record.value) : decodeEvent(record.value);
    return isFault(read) ? { record, fault: read } : { record, event: read };
  },
});
