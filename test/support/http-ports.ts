/** Fakes of our own ports for the HTTP server: a producer that acknowledges or not, a query service that remembers. */
import type { Clock } from '../../src/clock.ts';
import type { Batch, Control, Lineage, LogRecord, Outgoing, Written } from '../../src/contract.ts';
import { FOR_EVER } from '../../src/domain/kept.ts';
import { implicitMeters, type MeterSet } from '../../src/domain/meter.ts';
import { openFacts } from '../../src/observe/facts.ts';
import { openLog } from '../../src/observe/log.ts';
import { openRegistry } from '../../src/observe/metrics.ts';
import type { HttpPorts } from '../../src/serving/http/ports.ts';
import type { Answer, Question } from '../../src/serving/query.ts';
import { fixedRules, ruleSet } from './rules.ts';

/** 2026-06-01T12:00:00Z. */
export const NOW = Date.UTC(2026, 5, 1, 12);
export const LINEAGE = 'pg.00000000-0000-4000-8000-000000000000.0';
export const positionOf = (n: number): string => String(n).padStart(20, '0');

export class FakeLog {
  readonly records: LogRecord[] = [];
  outcome: Error | undefined;
  thrown: Error | undefined;
  opened = 0;
  first = 0;

  async append(outgoing: readonly Outgoing[]): Promise<readonly (Written | Error)[]> {
    if (this.thrown !== undefined) throw this.thrown;
    return outgoing.map(({ routingKey, value }, n) => {
      if (this.outcome !== undefined && n === outgoing.length - 1) return this.outcome;
      const position = positionOf(this.records.length);
      this.records.push({ position, arrival: NOW, key: routingKey, value });
      return { lineage: LINEAGE, position };
    });
  }

  readonly controls: Control[] = [];
  control = async (control: Control): Promise<void> => void this.controls.push(control);

  readonly lineage: Lineage = { id: LINEAGE, parents: [], depth: 0, origin: positionOf(0), owns: () => true };
  lineages = async (): Promise<readonly Lineage[]> => [this.lineage];
  bounds = async () => ({ first: positionOf(this.first), end: positionOf(this.records.length) });
  after = (position: string): string => positionOf(Number(position) + 1);

  /** Batches of three, so that a page has to cut one. */
  open = (lineage: string, from: string) => {
    this.opened += 1;
    let at = Number(from);
    const next = async (): Promise<Batch | undefined> => {
      const records = this.records.slice(at, at + 3);
      const batch = { lineage, from: positionOf(at), next: positionOf(at + records.length), records };
      at += records.length;
      return batch;
    };
    return { next, [Symbol.asyncDispose]: async () => {} };
  };
}

export class FakeQuery {
  readonly questions: Question[] = [];
  reply: (question: Question, signal?: AbortSignal) => Promise<Answer> = async () => ({ rows: [], proof: PROOF });
  async answer(question: Question, signal?: AbortSignal): Promise<Answer> {
    this.questions.push(question);
    return this.reply(question, signal);
  }
}

export const PROOF: Answer['proof'] = { state: 'exact', as_of: '2026-06-01T12:00:00.000Z', lineages: [] };

export const fixedClock: Clock = { now: () => NOW, sleep: async () => {} };

export interface Fakes {
  readonly log: FakeLog;
  readonly query: FakeQuery;
  readonly lines: string[];
  readonly ports: HttpPorts;
}

export function fakes(overrides: Partial<HttpPorts> = {}, meters: MeterSet = implicitMeters()): Fakes {
  const [log, query, lines] = [new FakeLog(), new FakeQuery(), [] as string[]];
  const registry = openRegistry();
  const logger = openLog({ level: 'trace', stream: { write: (line) => void lines.push(line) } });
  const ports: HttpPorts = {
    producer: log,
    query,
    ruleSets: fixedRules([ruleSet(meters)]),
    versions: async () => new Map(),
    knowsEventType: async (type) => type === 'tokens',
    log,
    clock: fixedClock,
    facts: openFacts({ registry, logger }),
    registry,
    config: {
      pastBoundMs: 35 * 86_400_000,
      maxBodyBytes: 5 * 1024 * 1024,
      maxEventsPerRequest: 1000,
      insecure: false,
      ...FOR_EVER,
    },
    ready: async () => [{ name: 'database', ok: true }],
    gaps: { all: [], look: async () => {} },
    acknowledgeGap: async () => false,
    listEvents: async () => ({ rows: [], next: undefined }),
    listUsageHourly: async () => ({ rows: [], next: undefined }),
    listRejects: async () => ({ rows: [], next: undefined }),
    redrive: async () => ({ fates: [], redriven: 0, next: undefined }),
    listTenants: async () => [{ tenant: 'acme', events: 3 }],
    listEventTypes: async () => [{ eventType: 'tokens', events: 3 }],
    ...overrides,
  };
  return { log, query, lines, ports };
}

export const nativeEvent = (fields: Record<string, unknown> = {}): Record<string, unknown> => ({
  tenant_id: 'acme',
  event_type: 'tokens',
  quantity: '12.5',
  idempotency_key: 'key-1',
  event_timestamp: '2026-06-01T11:59:00Z',
  properties: { model: 'gpt' },
  ...fields,
});
export const cloudEvent = (fields: Record<string, unknown> = {}): Record<string, unknown> => ({
  specversion: '1.0',
  id: 'key-1',
  source: '/app',
  type: 'tokens',
  subject: 'acme',
  time: '2026-06-01T11:59:00Z',
  data: { quantity: '12.5', model: 'gpt' },
  ...fields,
});

/** A promise that a test opens. */
export function gateOf(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}
