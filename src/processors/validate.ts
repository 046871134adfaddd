/** The verdict: a pure function of (record, lineage, rules), decided once and stored with the record. */
import type { Judged, Lineage, Processor } from '../contract.ts';
import { checkTime, type UsageEvent } from '../domain/event.ts';
import { fault, type Fault } from '../domain/fault.ts';
import { checkKept, FOR_EVER, type Kept } from '../domain/kept.ts';
import { routingKeyOf } from '../domain/routing.ts';
import type { Decoded } from './decode.ts';

export interface Rules {
  /** `open`, or the tenants that are registered. */
  readonly tenants: 'open' | ReadonlySet<string>;
  /** Absent: everything for ever. */
  readonly kept?: Kept;
}

/** Judged by the record's own arrival, never by a wall clock: a replay says the same. */
function judge(event: UsageEvent, arrival: number, { tenants, kept = FOR_EVER }: Rules): Fault | undefined {
  if (tenants !== 'open' && !tenants.has(event.tenant)) return fault('UNKNOWN_TENANT', 'tenant_id', event.tenant);
  return checkTime(event, arrival) ?? checkKept(event, arrival, kept);
}

const rejected = (decoded: Decoded, { code, field, reason }: Fault): Judged => ({
  record: decoded.record,
  ...(decoded.event === undefined ? {} : { event: decoded.event }),
  verdict: code,
  field,
  reason,
});

export const validate = (rules: Rules): Processor<Decoded, Judged> => ({
  name: 'validate',
  process: (decoded: Decoded, lineage: Lineage): Judged => {
    const { record, event } = decoded;
    if (record.control !== undefined) return { record, verdict: 'control' };
    if (event === undefined) return rejected(decoded, decoded.fault ?? fault('UNDECODABLE', '', ''));
    // Home first: what is not at home is judged there, by its copy.
    if (!lineage.owns(routingKeyOf(event))) return { record, event, verdict: 'MISROUTED' };
    const wrong = judge(event, record.arrival, rules);
    return wrong === undefined ? { record, event, verdict: 'ok' } : rejected(decoded, wrong);
  },
});
