import { describe, expect, test } from 'vitest';
import { MeterError } from '../errors.ts';
import { openFacts } from './facts.ts';
import { openLog } from './log.ts';
import { openRegistry } from './metrics.ts';

function opened() {
  const lines: Record<string, unknown>[] = [];
  const stream = { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) };
  const registry = openRegistry();
  return { lines, registry, facts: openFacts({ registry, logger: openLog({ level: 'info', stream }) }) };
}

const row = {
  lineage: 'pg.a.0',
  segment: 3,
  start: '0',
  end: '9',
  format: 1,
  rules: 1,
  arrival: 0,
  endArrival: 1,
  object: { key: 'k', sha256: 's', bytes: 400 },
  records: 9,
  ok: 9,
  firstOk: 0,
  lastOk: 1,
  newest: 1,
};

describe('facts', () => {
  test('every fact has its metric, with its unit in the name', async () => {
    const { facts, registry } = opened();
    facts.accepted(2);
    facts.refused('TOO_OLD', 3);
    facts.filtered('TEST_TRAFFIC', 2);
    facts.processorFaulted('plans', 'threw an error', new Error('bad'));
    facts.processorChanged('plans', 1, undefined);
    facts.applied('pg.a.0', 4, 7500);
    facts.cropped('pg.a.0', 5);
    facts.sealed(row, 0.02);
    facts.published('pg.a.0', 3, 9, 0.03);
    facts.rejected('KEY_CONFLICT', 1);
    facts.adopted('pg.a.0', 3);
    facts.misrouted(2);
    facts.ticked();
    facts.stocked({ lineages: [{ lineage: 'pg.a.0', behind: 4, publishedArrival: 2500 }], outboxMs: 1500 });
    facts.proved('exact', undefined);
    facts.proved('provisional', 'speed_unreachable');
    facts.healing('pg.a.0', 16);
    facts.relayed(6);
    facts.unmetered('stray', 7);
    facts.skippedMeter('tokens', 8);
    facts.otherGroup('tokens@1', 9);
    facts.filled('tokens@2', 'pg.a.0', 1, 3);
    facts.filled('tokens@2', 'pg.a.0', 2, 3);
    facts.serving('tokens@2');
    facts.waiting('archive', new Error('disk'));
    facts.stopped('pg.a.0', new Error('gap'));
    facts.stopped('lineage 2', new MeterError('ARCHIVE_CONFLICT', 'seal'));
    facts.answered({ route: '/v1/events', method: 'POST', status: 200, seconds: 0.004 });
    facts.failed('/v1/events', 'LOG_UNAVAILABLE', new Error('down'));
    const text = await registry.metrics();
    for (const line of [
      'events_accepted_total 2',
      'events_refused_total{code="TOO_OLD"} 3',
      'events_filtered_total{code="TEST_TRAFFIC"} 2',
      'processor_faults_total{processor="plans"} 1',
      'records_applied_total{lineage="pg.a.0"} 4',
      'records_cropped_total{lineage="pg.a.0"} 5',
      'segments_sealed_total{lineage="pg.a.0"} 1',
      'archive_bytes_total 400',
      'seal_seconds_sum 0.02',
      'segments_published_total{lineage="pg.a.0"} 1',
      'events_published_total 9',
      'publish_seconds_count 1',
      'records_rejected_total{code="KEY_CONFLICT"} 1',
      'buckets_healed_total{lineage="pg.a.0"} 16',
      'records_relayed_total 6',
      'events_unmetered_total{event_type="stray"} 7',
      'events_skipped_total{meter="tokens"} 8',
      'events_other_group_total{meter="tokens@1"} 9',
      'segments_filled_total{meter="tokens@2"} 2',
      'failures_total{what="archive"} 1',
      'waiting{what="archive"} 1',
      'stopped{what="pg.a.0",code="DEFECT"} 1',
      'stopped{what="lineage 2",code="ARCHIVE_CONFLICT"} 1',
      'applied_arrival_seconds{lineage="pg.a.0"} 7.5',
      'records_sealed_total 9',
      'records_misrouted_total 2',
      'archive_adopted_total 1',
      'ticks_total 1',
      'segments_unpublished{lineage="pg.a.0"} 4',
      'published_arrival_seconds{lineage="pg.a.0"} 2.5',
      'outbox_waiting_seconds 1.5',
      'answers_total{state="exact"} 1',
      'answers_total{state="speed_unreachable"} 1',
      'http_requests_total{method="POST",route="/v1/events",status="200"} 1',
      'http_request_seconds_count{route="/v1/events"} 1',
      'http_errors_total{code="LOG_UNAVAILABLE"} 1',
    ]) {
      expect(text).toContain(`meterfold_${line}\n`);
    }
  });

  test('a dependency that stays down is one line, however often it is tried, and one more when it is back', async () => {
    const { facts, lines, registry } = opened();
    for (let n = 0; n < 5; n += 1)
      facts.waiting('database', new MeterError('DATABASE_UNAVAILABLE', 'connect', { value: 'secret' }));
    facts.recovered('database');
    facts.waiting('database', new Error('again'));
    expect(lines.map(({ level, msg }) => [level, msg])).toEqual([
      ['warn', 'waiting for a dependency'],
      ['info', 'recovered'],
      ['warn', 'waiting for a dependency'],
    ]);
    expect(lines[0]?.err).toEqual({ code: 'DATABASE_UNAVAILABLE', message: 'connect' });
    expect(await registry.metrics()).toContain('meterfold_failures_total{what="database"} 6\n');
  });

  test('what this process has no more to do with is not waited for; what stopped stays', async () => {
    const { facts, lines, registry } = opened();
    facts.released('lineage a');
    facts.waiting('lineage a', new Error('down'));
    facts.released('lineage a');
    facts.stopped('lineage b', new Error('gap'));
    expect(facts.waits()).toEqual([{ what: 'lineage b', why: 'gap' }]);
    const text = await registry.metrics();
    expect(text).toContain('meterfold_waiting{what="lineage a"} 0\n');
    expect(lines.map(({ msg }) => msg)).toEqual(['waiting for a dependency', 'stopped']);
  });

  test('a store without room is counted wherever its words are met: waiting for it, or on behalf of a caller', async () => {
    const { facts, registry } = opened();
    const disk = Object.assign(new Error('could not extend file'), { code: '53100' });
    facts.waiting('publisher', new MeterError('DATABASE_UNAVAILABLE', 'publish', { cause: disk }));
    facts.failed('/v1/events', 'LOG_UNAVAILABLE', new MeterError('LOG_UNAVAILABLE', 'append', { cause: disk }));
    const oom = new Error("OOM command not allowed when used memory > 'maxmemory'.");
    facts.waiting('lineage a', new MeterError('SPEED_UNAVAILABLE', `redis: apply: ${oom.message}`, { cause: oom }));
    facts.waiting('lineage a', new MeterError('ARCHIVE_FULL', 'put'));
    facts.waiting('lineage a', new MeterError('ARCHIVE_UNAVAILABLE', 'put: ECONNREFUSED'));
    facts.waiting('lineage a', 'no room left');
    const text = await registry.metrics();
    for (const [store, count] of Object.entries({ database: 2, speed: 1, archive: 1 }))
      expect(text).toContain(`meterfold_full_total{store="${store}"} ${String(count)}\n`);
  });

  test('a fault of a processor is told with its place, never with its message', () => {
    const { facts, lines } = opened();
    facts.processorFaulted('plans', 'threw an error', new TypeError('planted\n    at planted (file:1:1)'));
    expect(lines[0]).toMatchObject({ processor: 'plans', error: 'TypeError', what: 'threw an error' });
    expect(JSON.stringify(lines[0]?.at)).toContain('facts.test.ts');
    expect(JSON.stringify(lines[0])).not.toContain('planted');
  });

  test('an event type without a meter is told once and counted always', async () => {
    const { facts, lines, registry } = opened();
    for (let n = 0; n < 3; n += 1) facts.unmetered('stray', 1);
    expect(lines).toHaveLength(1);
    expect(await registry.metrics()).toContain('meterfold_events_unmetered_total{event_type="stray"} 3\n');
  });

  test('groups beyond the bound are told once a meter, and a meter version that answers each time', () => {
    const { facts, lines } = opened();
    for (let n = 0; n < 3; n += 1) facts.otherGroup('tokens@1', 1);
    facts.otherGroup('calls@1', 1);
    facts.serving('tokens@2');
    expect(lines.map(({ level, meter }) => [level, meter])).toEqual([
      ['warn', 'tokens@1'],
      ['warn', 'calls@1'],
      ['info', 'tokens@2'],
    ]);
  });

  test('labels that callers choose stay bounded: what comes late is counted together', async () => {
    const { facts, registry } = opened();
    for (let n = 0; n < 1000; n += 1) facts.unmetered(`type-${String(n)}`, 1);
    const lines = (await registry.metrics())
      .split('\n')
      .filter((line) => line.startsWith('meterfold_events_unmetered_total{'));
    expect(lines).toHaveLength(201);
    expect(lines).toContain('meterfold_events_unmetered_total{event_type="other"} 800');
  });

  test('can be wrapped method by method', () => {
    const { facts, lines } = opened();
    const poking = Object.create(facts) as typeof facts;
    poking.healing('pg.a.0', 1);
    const { relayed } = facts;
    relayed(1);
    expect(lines).toHaveLength(2);
  });
});
