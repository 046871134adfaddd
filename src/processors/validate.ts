/** The verdict: a pure function of (record, lineage, rules), decided once and stored with the record. */
import type { Judged, Processor, RuleSets } from '../contract.ts';
import { checkTime, type UsageEvent } from '../domain/event.ts';
import { checkSchema } from '../domain/event-schema-check.ts';
import { fault, type Fault } from '../domain/fault.ts';
import { checkKept, type Kept } from '../domain/kept.ts';
import { routingKeyOf } from '../domain/routing.ts';
import type { RuleSet } from '../domain/rules.ts';
import type { Decoded } from './decode.ts';

/** Judged by the record's own arrival, never by a wall clock: a replay says the same. */
function judge(event: UsageEvent, arrival: number, { tenants, schemas }: RuleSet, kept: Kept): Fault | undefined {
  if (tenants !== 'open' && !tenants.has(event.tenant)) return fault('UNKNOWN_TENANT', 'tenant_id', event.tenant);
  return checkTime(event, arrival) ?? checkKept(event, arrival, kept) ?? checkSchema(schemas, event);
}

const rejected = (decoded: Decoded, { code, field, reason }: Fault): Judged => ({
  record: decoded.record,
  ...(decoded.event === undefined ? {} : { event: decoded.event }),
  verdict: code,
  field,
  reason,
});

/** `kept` has no versions: it is fixed at the first start. */
export const validate = (ruleSets: Pick<RuleSets, 'get'>, kept: Kept): Processor<Decoded, Judged> => ({
  name: 'validate',
  process: (decoded, { lineage, rules }): Judged => {
    const { record, event } = decoded;
    if (record.control !== undefined) return { record, verdict: 'control' };
    if (event === undefined) return rejected(decoded, decoded.fault ?? fault('UNDECODABLE', '', ''));
    const inForce = ruleSets.get(rules);
    // Home first: what is not at home is judged there, by its copy.
    if (!lineage.owns(routingKeyOf(event, inForce.spread))) return { record, event, verdict: 'MISROUTED' };
    const wrong = judge(event, record.arrival, inForce, kept);
    return wrong === undefined ? { record, event, verdict: 'ok' } : rejected(decoded, wrong);
  },
});
