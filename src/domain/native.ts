/** An event under the names of its fields, as the native edge takes it and as an edge processor sees it. */
import type { EdgeEvent } from '../contract.ts';
import { formatDecimal } from './decimal.ts';
import type { UsageEvent } from './event.ts';
import { formatTime } from './time.ts';

export const nativeOf = (event: UsageEvent): EdgeEvent => ({
  tenant_id: event.tenant,
  event_type: event.type,
  quantity: formatDecimal(event.quantity),
  idempotency_key: event.key,
  event_timestamp: formatTime(event.timestamp),
  subject: event.subject,
  properties: JSON.parse(event.properties) as Readonly<Record<string, unknown>>,
});
