/** CloudEvents 1.0 JSON (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md) to the fields of an event. */
import { createHash } from 'node:crypto';
import { fault, type Fault, isFault } from './fault.ts';
import { checkText, MAX_ID_BYTES, type NativeFields } from './event.ts';
import { UnsafeNumber } from './json.ts';

const isObject = (value: unknown): value is NativeFields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof UnsafeNumber);

/**
 * (source, id) are unique together: a length in front of the source keeps the pair apart from any other. A pair that is too
 * long for a key is replaced by its digest, under a prefix that no short pair has.
 */
function keyOf(source: string, id: string): string {
  const key = `${String(source.length)}:${source}:${id}`;
  return Buffer.byteLength(key) <= MAX_ID_BYTES ? key : `sha256:${createHash('sha256').update(key).digest('hex')}`;
}

function required(fields: NativeFields, name: string): string | Fault {
  const value = fields[name];
  if (value === undefined || value === null) return fault('MISSING_FIELD', name, '', `a CloudEvent needs ${name}`);
  if (typeof value !== 'string') return fault('WRONG_TYPE', name, value, `${name} must be a string`);
  // Here already: a digest of source and id would hide a bad text, and give two of them one key.
  return value === '' ? fault('EMPTY', name, value, `${name} must not be empty`) : (checkText(name, value) ?? value);
}

/** `subject` is the tenant, unless the extension attribute `tenantid` names it: then the subject is the event's own. */
function tenantOf({ tenantid, subject }: NativeFields): NativeFields | Fault {
  if (tenantid !== undefined && tenantid !== null) return { tenant_id: tenantid, subject };
  if (subject !== undefined && subject !== null) return { tenant_id: subject };
  return fault('MISSING_FIELD', 'subject', '', 'a CloudEvent needs subject, or the extension tenantid: it names the tenant');
}

/** The fields of an event, not yet checked, under its own names; `data.quantity` is 1 where it is absent. */
export function fromCloudEvent(json: unknown): NativeFields | Fault {
  if (!isObject(json)) return fault('NOT_AN_OBJECT', '', json);
  if (json.specversion !== '1.0')
    return fault('UNSUPPORTED_CLOUDEVENT', 'specversion', json.specversion ?? '', 'specversion must be "1.0"');
  if (json.data_base64 !== undefined)
    return fault('UNSUPPORTED_CLOUDEVENT', 'data_base64', '', 'data must be a JSON object');
  const data = json.data ?? {};
  if (!isObject(data)) return fault('WRONG_TYPE', 'data', data, 'data must be a JSON object');
  const named = {
    source: required(json, 'source'),
    id: required(json, 'id'),
    type: required(json, 'type'),
    time: required(json, 'time'),
  };
  for (const value of Object.values(named)) if (typeof value !== 'string') return value;
  const tenant = tenantOf(json);
  if (isFault(tenant)) return tenant;
  const { quantity = 1, ...properties } = data;
  return {
    ...tenant,
    event_type: named.type,
    idempotency_key: keyOf(named.source as string, named.id as string),
    event_timestamp: named.time,
    quantity,
    properties,
  };
}
