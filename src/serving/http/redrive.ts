/** POST /v1/rejects/redrive: a page of rejects is judged by what is in force now, and what would count is sent home. */
import type { FastifyInstance } from 'fastify';
import type { Fate, Redriven, RedriveRequest } from '../../batch/redrive.ts';
import { parsedBody } from '../ingest.ts';
import { bodyOf } from './content-types.ts';
import { badParam, cursorText, demandObject, oneOf, readParams, text, time } from './params.ts';
import type { HttpPorts } from './ports.ts';

const READERS = {
  dry_run: oneOf(['true', 'false'], 'false'),
  code: text,
  tenant: text,
  lineage: text,
  position: text,
  since: time,
  before: time,
  cursor: cursorText,
};

export function redriveRoutes(app: FastifyInstance, ports: HttpPorts): void {
  app.post('/v1/rejects/redrive', async (request) => {
    readParams(request.query, {});
    const asked = requestOf(parsedBody(bodyOf(request).bytes));
    return redrivenJson(asked, await ports.redrive(asked));
  });
}

/** Throws BAD_REQUEST, with the field at fault. */
function requestOf(body: unknown): RedriveRequest {
  const given = demandObject(body, 'a JSON object, such as {"dry_run": true}');
  const texts = Object.entries(given).map(([field, value]: [string, unknown]) => [field, textOf(field, value)]);
  const { dry_run: dryRun, cursor, since, before, ...names } = readParams(Object.fromEntries(texts), READERS);
  if (names.position !== undefined && names.lineage === undefined)
    throw badParam('lineage', undefined, 'the lineage of the position');
  return {
    filter: { ...names, since: since && msOf(since), before: before && msOf(before) },
    dryRun: dryRun === 'true',
    ...(cursor === undefined ? {} : { cursor }),
  };
}

/** Only `dry_run` is no text. */
function textOf(field: string, value: unknown): string {
  const isFine = field === 'dry_run' ? typeof value === 'boolean' : typeof value === 'string';
  if (!isFine && Object.hasOwn(READERS, field))
    throw badParam(field, JSON.stringify(value), field === 'dry_run' ? 'true, false' : 'a text');
  return String(value);
}

/** Arrival is whole milliseconds: none lies between the time and the next of them. */
const msOf = (micros: number): number => Math.ceil(micros / 1000);

const countOf = (fates: readonly Fate[]): number => fates.reduce((sum, { rejects }) => sum + rejects, 0);

const redrivenJson = ({ dryRun }: RedriveRequest, { fates, redriven, next }: Redriven) => ({
  dry_run: dryRun,
  judged: countOf(fates),
  would_count: countOf(fates.filter(({ now }) => now === 'ok')),
  redriven,
  fates,
  next: next ?? null,
});
