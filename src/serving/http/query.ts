/** GET /v1/meters/{key}/query: parameters to a question, the answer to JSON. */
import type { FastifyInstance } from 'fastify';
import type { Written } from '../../contract.ts';
import type { AnswerRow } from '../../domain/answer.ts';
import {
  formatMinute,
  isZone,
  MAX_WINDOWS,
  parseMinute,
  windowEdges,
  type WindowRequest,
  WINDOWS,
} from '../../domain/window.ts';
import { MeterError } from '../../errors.ts';
import { leftOf } from './left.ts';
import { demandSeen, findMeter, type MeterPath, VERSION } from './meters.ts';
import { badParam, demandGroup, names, oneOf, readFilter, type Reader, readParams, text } from './params.ts';
import type { HttpPorts } from './ports.ts';
import { decodeToken } from './tokens.ts';

const WHOLE_MINUTE = 'a whole minute from 1970 on, ISO 8601 with its offset, such as 2026-01-31T00:00Z (in a URL + is %2B)';

const minute: Reader<number> = (value, field) => {
  const found = value === undefined ? undefined : parseMinute(value);
  if (found === undefined || found < 0) throw badParam(field, value, WHOLE_MINUTE);
  return found;
};

const zone: Reader<string> = (value, field) => {
  if (value === undefined) return 'UTC';
  if (!isZone(value)) throw badParam(field, value, 'a time zone of the IANA database, such as UTC or Europe/Paris');
  return value;
};

const token: Reader<readonly Written[] | undefined> = (value, field) =>
  value === undefined ? undefined : decodeToken(value, field);

const QUERY = {
  tenant: text,
  from: minute,
  to: minute,
  window: oneOf(WINDOWS, 'range'),
  zone,
  group_by: names,
  after: token,
  version: VERSION,
};

export function queryRoutes(app: FastifyInstance, ports: HttpPorts): void {
  app.get<MeterPath>('/v1/meters/:key/query', async (request, reply) => {
    const { tenant, group_by: groupBy, after, version, ...range } = readParams(request.query, QUERY, true);
    const edges = demandEdges(range);
    if (after !== undefined) await demandKnown(ports, after);
    const left = leftOf(reply);
    const { meter, answer } = await newest(ports, async () => {
      const meter = findMeter(ports, request.params.key, version);
      for (const name of groupBy) demandGroup('group_by', name, meter.groupBy);
      const filter = readFilter(request.query, meter.groupBy);
      return { meter, answer: await ports.query.answer({ meter, tenant, edges, groupBy, filter, after }, left) };
    });
    // Asked behind the answer: with `after`, it may have waited for the very first event of this type.
    if (answer.rows.length === 0) await demandSeen(ports, meter);
    ports.facts.proved(answer.proof.state, answer.proof.reason);
    const { from, to, window, zone } = range;
    return {
      meter: meter.key,
      version: meter.version,
      unit: meter.unit,
      tenant: tenant ?? null,
      from: formatMinute(from),
      to: formatMinute(to),
      window,
      zone,
      rows: answer.rows.map(rowJson),
      proof: answer.proof,
    };
  });
}

/** A meter that is not known here may be new: another process declared it a moment ago. */
async function newest<T>({ ruleSets }: HttpPorts, attempt: () => Promise<T>): Promise<T> {
  const { version } = ruleSets.newest;
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof MeterError && error.code === 'UNKNOWN_METER')) throw error;
    await ruleSets.refresh();
    if (ruleSets.newest.version === version) throw error;
    return attempt();
  }
}

function demandEdges(range: WindowRequest): readonly number[] {
  const { from, to, window } = range;
  if (from >= to) throw badParam('from', formatMinute(from), `before to, ${formatMinute(to)}`, 'is not before to');
  const edges = windowEdges(range);
  if (edges !== undefined) return edges;
  throw badParam(
    'window',
    window,
    `up to ${String(MAX_WINDOWS)} windows between from and to`,
    'cuts the range into too many',
  );
}

/** A token of another log would wait in vain, or for nothing. */
async function demandKnown({ log }: HttpPorts, after: readonly Written[]): Promise<void> {
  const known = new Set((await log.lineages()).map(({ id }) => id));
  const foreign = after.find(({ lineage }) => !known.has(lineage));
  if (foreign === undefined) return;
  throw badParam('after', foreign.lineage, 'a token of this log', 'names a lineage that is not known here');
}

const rowJson = ({ start, end, value, count, group, other, error }: AnswerRow) => ({
  start: formatMinute(start),
  end: formatMinute(end),
  value,
  count,
  group,
  ...(other === undefined ? {} : { other }),
  ...(error === undefined ? {} : { approximate: { relative_error: error } }),
});
