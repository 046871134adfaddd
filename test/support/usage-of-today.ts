/** Usage of now, and the query that finds it. */
import type { NewEvent } from '../../src/library.ts';

const DAY_MS = 86_400_000;
export const now = new Date(Math.floor(Date.now() / 1000) * 1000).toISOString();
const day = now.slice(0, 10);
export const range = { from: day, to: new Date(Date.parse(day) + DAY_MS).toISOString(), window: 'day' } as const;

export const event = (tenant: string, key: string): NewEvent => ({
  ...{ tenant_id: tenant, event_type: 'calls', quantity: '2', idempotency_key: key, event_timestamp: now },
});
