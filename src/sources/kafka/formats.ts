/**
 * What foreign producers write, as values that `decode` knows: an Avro single object, or JSON. What cannot be translated passes
 * as it is and is rejected there, whole. A translation is a pure function of the record, so that a replay gives the same bytes.
 */
import type { KafkaRecord } from './batches.ts';
import { cloudEventOf } from './cloudevents.ts';
import type { Registry } from './registry.ts';

export interface Formats {
  /** CloudEvents in binary mode. In structured mode the value says what it is: nothing has to be set. */
  readonly cloudEvents: boolean;
  /** Confluent's wire format. */
  readonly registry: Registry | undefined;
}

const NO_VALUE = Buffer.alloc(0);

export class Translation {
  readonly #formats: Formats;

  constructor(formats: Formats) {
    this.#formats = formats;
  }

  /** Fetches what translating these needs. Throws LOG_UNAVAILABLE. */
  async prepare(records: readonly KafkaRecord[]): Promise<void> {
    await this.#formats.registry?.prepare(records.flatMap(({ value }) => value ?? []));
  }

  readonly valueOf = (record: KafkaRecord): Uint8Array => {
    const value = record.value ?? NO_VALUE;
    const { cloudEvents, registry } = this.#formats;
    return (cloudEvents ? cloudEventOf(record) : undefined) ?? registry?.valueOf(value) ?? value;
  };
}
