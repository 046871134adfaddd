/**
 * CloudEvents 1.0 in the Kafka protocol binding's binary mode: attributes are headers `ce_*`, data is the value. It becomes the
 * same event in JSON. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
 */
import { parseJson } from '../../domain/json.ts';
import type { KafkaRecord } from './batches.ts';

const PREFIX = 'ce_';
const SPEC_VERSION = 'ce_specversion';
/** The data's own type, as the binding names it; without one it is JSON, as in structured mode. */
const CONTENT_TYPE = 'content-type';
const JSON_TYPE = /^(application|text)\/([\w.-]+\+)?json\s*(;|$)/i;

/** Undefined where the record is none. */
export function cloudEventOf({ headers, value }: KafkaRecord): Uint8Array | undefined {
  if (!headers.has(SPEC_VERSION)) return undefined;
  const members = [...headers]
    .filter(([name]) => name.startsWith(PREFIX))
    .map(([name, text]) => `${JSON.stringify(name.slice(PREFIX.length))}:${JSON.stringify((text ?? '').toString())}`);
  return Buffer.from(
    `{${[...members, ...dataOf(headers.get(CONTENT_TYPE)?.toString() ?? 'application/json', value)].join(',')}}`,
  );
}

/** Its text as it came, if it is JSON: a number that was written with 20 digits has them still. */
function dataOf(contentType: string, value: Buffer | null): string[] {
  if (value === null || value.length === 0) return [];
  if (JSON_TYPE.test(contentType) && isJson(value)) return [`"data":${value.toString()}`];
  return [`"data_base64":${JSON.stringify(value.toString('base64'))}`];
}

function isJson(value: Buffer): boolean {
  try {
    parseJson(value);
    return true;
  } catch {
    return false;
  }
}
