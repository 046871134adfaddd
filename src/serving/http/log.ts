/** The raw log, for audits: what was acknowledged, record by record. The one place of the API that reads the log. */
import type { FastifyInstance } from 'fastify';
import { type Batch, END, type Lineage, type LogRecord, type Position } from '../../contract.ts';
import { MeterError } from '../../errors.ts';
import { decode } from '../../processors/decode.ts';
import { leftOf } from './left.ts';
import { badParam, readParams, text, whole } from './params.ts';
import type { HttpPorts } from './ports.ts';
import { recordJson } from './render.ts';

const PAGE = whole(1, 1000, 100);

export function logRoutes(app: FastifyInstance, ports: HttpPorts): void {
  app.get('/v1/lineages', async (request) => {
    readParams(request.query, {});
    const all = await ports.log.lineages();
    const bounds = await Promise.all(all.map(({ id }) => ports.log.bounds(id)));
    return {
      lineages: all.map(({ id, parents, depth, origin }, n) => ({ lineage: id, parents, depth, origin, ...bounds[n] })),
    };
  });

  app.get<{ Params: { lineage: string } }>('/v1/log/:lineage', async (request, reply) => {
    const { from, limit } = readParams(request.query, { from: text, limit: PAGE });
    const lineage = await demandLineage(ports, request.params.lineage);
    const { first, end } = await ports.log.bounds(lineage.id);
    if (from !== undefined) demandPosition(from, lineage, `${first} to ${end}`);
    if (from !== undefined && from < first) throw badParam('from', from, `${first} to ${end}`, 'is no longer in the log');
    const { records, next } = await readUpTo(
      ports.log,
      { lineage: lineage.id, from: from ?? first, end, limit },
      leftOf(reply),
    );
    const processor = decode();
    return {
      lineage: lineage.id,
      first,
      end,
      records: records.map((r) => recordJson(r, processor.process(r, { lineage, segment: 0, rules: 1 }))),
      next,
    };
  });
}

async function demandLineage({ log }: HttpPorts, id: string): Promise<Lineage> {
  const all = await log.lineages();
  const found = all.find((lineage) => lineage.id === id);
  if (found !== undefined) return found;
  const allowed = 'a lineage of GET /v1/lineages';
  throw new MeterError('NOT_FOUND', 'there is no such lineage', { field: 'lineage', value: id.slice(0, 100), allowed });
}

/** Positions of a lineage are digits of one width: only then is string order log order. */
function demandPosition(from: string, { origin }: Lineage, allowed: string): void {
  if (from === END || (/^\d[\d.:-]*$/.test(from) && from.length === origin.length)) return;
  throw badParam('from', from, allowed, 'is no position of this lineage');
}

interface Slice {
  readonly lineage: string;
  readonly from: Position;
  /** As of when the request came: what is written meanwhile is not waited for. */
  readonly end: Position;
  readonly limit: number;
}

async function readUpTo(log: HttpPorts['log'], { lineage, from, end, limit }: Slice, stop: AbortSignal) {
  const records: LogRecord[] = [];
  let next = from;
  if (next >= end) return { records, next };
  await using reader = log.open(lineage, from);
  while (next < end && records.length < limit) {
    const batch: Batch | undefined = await reader.next(stop);
    if (batch === undefined) break;
    const taken = batch.records.slice(0, limit - records.length);
    records.push(...taken);
    const last = taken.at(-1);
    next = taken.length < batch.records.length && last !== undefined ? log.after(last.position) : batch.next;
    if (next === END) break;
  }
  return { records, next };
}
