/**
 * What operators see: one method per fact, its log line and its metric together. Plain closures without `this`, so that a
 * caller may wrap or lend single methods. Names of lineages, codes and types are logged; what events contain never is.
 */
import type { Facts } from '../contract.ts';
import { edgeFacts, meterFacts } from './events.ts';
import type { FactsPorts } from './facts-ports.ts';
import { processorFacts } from './processors.ts';
import { laneFacts, strayFacts } from './records.ts';
import { type HttpFacts, httpFacts } from './requests.ts';
import { segmentFacts } from './segments.ts';
import { stockFacts } from './stock.ts';
import { waitFacts, type Waits } from './waits.ts';

export type { FactsPorts } from './facts-ports.ts';
export type { HttpFacts } from './requests.ts';
export type { Waits } from './waits.ts';

export function openFacts(ports: FactsPorts): Facts & HttpFacts & Waits {
  return {
    ...edgeFacts(ports),
    ...meterFacts(ports),
    ...laneFacts(ports),
    ...strayFacts(ports),
    ...processorFacts(ports),
    ...segmentFacts(ports),
    ...stockFacts(ports),
    ...waitFacts(ports),
    ...httpFacts(ports),
  };
}
