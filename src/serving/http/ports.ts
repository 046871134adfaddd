/** What the HTTP server needs from the rest, and the shapes of its lists. */
import type { Clock } from '../../clock.ts';
import type { Facts, Producer, Reject, RuleSets, Source } from '../../contract.ts';
import type { RebuildStatus } from '../../batch/rebuild.ts';
import type { Redriven, RedriveRequest } from '../../batch/redrive.ts';
import type { Edge } from '../../domain/edge.ts';
import type { UsageEvent } from '../../domain/event.ts';
import type { Kept } from '../../domain/kept.ts';
import type { HttpFacts } from '../../observe/facts.ts';
import type { Registry } from '../../observe/metrics.ts';
import type { Expanded, ExpandRequest } from '../../sources/generations/expand.ts';
import type { KnownGaps } from '../gaps.ts';
import type { QueryService } from '../query.ts';

export interface Page<T> {
  readonly rows: readonly T[];
  /** Where the next page begins; undefined behind the last. Opaque: the letters, digits and `_.~:-` of a URL. */
  readonly next: string | undefined;
}
export interface PageRequest {
  readonly limit: number;
  readonly cursor?: string;
}

export interface ListedEvent {
  readonly lineage: string;
  readonly position: string;
  /** Running maximum of arrival, ms. */
  readonly arrival: number;
  readonly event: UsageEvent;
}
export interface ListedTenant {
  readonly tenant: string;
  /** Published events. */
  readonly events: number;
}
export interface ListedEventType {
  readonly eventType: string;
  /** Published events. */
  readonly events: number;
}

/** One hour of one event type of a tenant. */
export interface ListedHour {
  readonly tenant: string;
  readonly eventType: string;
  /** Hours since 1970. */
  readonly hour: number;
  readonly total: bigint;
  readonly count: number;
}
export interface ListedReject extends Reject {
  /** When its record was sent home once more, ms; null: never. */
  readonly redrivenAt: number | null;
}
/** `from` is included, `to` is not. */
export interface Range {
  readonly tenant?: string;
  readonly eventType?: string;
  readonly from?: number;
  readonly to?: number;
}

/** Lists of what is published. A malformed cursor throws BAD_REQUEST with field `cursor`. */
export interface Lists {
  /** Newest first; the range is in microseconds since 1970. */
  listEvents(request: PageRequest & Range): Promise<Page<ListedEvent>>;
  /** By tenant, event type and hour; the range is in hours since 1970. */
  listUsageHourly(request: PageRequest & Range): Promise<Page<ListedHour>>;
  /** Newest first. */
  listRejects(request: PageRequest & { readonly tenant?: string; readonly code?: string }): Promise<Page<ListedReject>>;
  listTenants(): Promise<readonly ListedTenant[]>;
  listEventTypes(): Promise<readonly ListedEventType[]>;
}

/** One dependency of the process, as /readyz shows it. */
export interface Dependency {
  readonly name: string;
  readonly ok: boolean;
  readonly detail?: string;
}

export interface HttpConfig extends Kept {
  /** Events older than this are refused at the edge, unless they come as history. */
  readonly pastBoundMs: number;
  readonly maxBodyBytes: number;
  readonly maxEventsPerRequest: number;
  /** Serve other names than this machine's own. */
  readonly insecure: boolean;
}

export interface HttpPorts extends Lists {
  readonly producer: Pick<Producer, 'append' | 'control'>;
  readonly query: Pick<QueryService, 'answer'>;
  readonly ruleSets: RuleSets;
  /** Of each version of a meter that is or was being filled: segments in it. */
  versions(): Promise<ReadonlyMap<string, number>>;
  /** Whether a meter that is implicit exists: its event type was seen, published or live. */
  knowsEventType(eventType: string): Promise<boolean>;
  /** For the audit of the raw log, and to tell tokens of other logs. */
  readonly log: Pick<Source, 'lineages' | 'open' | 'bounds' | 'after'>;
  readonly clock: Clock;
  readonly facts: Pick<Facts, 'accepted' | 'refused' | 'filtered'> & HttpFacts;
  /** What happens to an event before the log. Absent: nothing. */
  readonly edge?: Edge;
  readonly registry: Registry;
  readonly config: HttpConfig;
  /** Absent: there are no such routes. */
  readonly rebuilder?: {
    status(): Promise<RebuildStatus>;
    start(acceptsDifferences: boolean): RebuildStatus;
    drop(): Promise<RebuildStatus>;
  };
  /** Begins a new generation of the log. Absent: there is no such route. */
  readonly expand?: (request: ExpandRequest, stop: AbortSignal) => Promise<Expanded>;
  readonly gaps: Pick<KnownGaps, 'all' | 'look'>;
  /** Answers whether there is such a gap. */
  acknowledgeGap(
    gap: { readonly lineage: string; readonly from: string },
    by: { readonly at: number; readonly note: string },
  ): Promise<boolean>;
  ready(): Promise<readonly Dependency[]>;
  /** A page of rejects, in one short transaction. A malformed cursor throws BAD_REQUEST with field `cursor`. */
  redrive(request: RedriveRequest): Promise<Redriven>;
  /** Recounts the stores; the report is JSON with `ok`. Absent: there is no such route. */
  readonly verify?: () => Promise<{ readonly ok: boolean }>;
}
