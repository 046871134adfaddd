/** GET /v1/gaps and POST /v1/gaps/acknowledge: what the log let go of before it was read, and who knows of it. */
import type { FastifyInstance } from 'fastify';
import { MeterError } from '../../errors.ts';
import { gapProof } from '../gaps.ts';
import { parsedBody } from '../ingest.ts';
import { bodyOf } from './content-types.ts';
import { badParam, demandObject, readParams, type Reader, text } from './params.ts';
import type { HttpPorts } from './ports.ts';

export function gapRoutes(app: FastifyInstance, ports: HttpPorts): void {
  const { gaps, clock, config } = ports;
  const shown = () => gaps.all.map((gap) => gapProof(gap, config.pastBoundMs));

  app.get('/v1/gaps', async (request) => {
    readParams(request.query, {});
    await gaps.look();
    return { gaps: shown() };
  });

  app.post('/v1/gaps/acknowledge', async (request) => {
    readParams(request.query, {});
    const { note, ...gap } = askedOf(parsedBody(bodyOf(request).bytes));
    if (!(await ports.acknowledgeGap(gap, { at: clock.now(), note }))) throw noGap(gap);
    await gaps.look();
    return shown().find(({ lineage, from }) => lineage === gap.lineage && from === gap.from);
  });
}

type Asked = Readonly<Record<'lineage' | 'from' | 'note', string>>;

const needed: Reader<string> = (value, field) => {
  const found = text(value, field);
  if (found === undefined) throw badParam(field, undefined, 'a text');
  return found;
};

/** Throws BAD_REQUEST, with the field at fault. */
function askedOf(body: unknown): Asked {
  const given = demandObject(body, 'a JSON object with lineage, from and note');
  for (const [field, value] of Object.entries(given))
    if (typeof value !== 'string') throw badParam(field, JSON.stringify(value), 'a text');
  return readParams(given, { lineage: needed, from: needed, note: needed });
}

const noGap = ({ lineage, from }: Omit<Asked, 'note'>): MeterError =>
  new MeterError('NOT_FOUND', `${lineage} has no gap at ${from}`, {
    field: 'from',
    value: from,
    allowed: 'a gap of GET /v1/gaps',
  });
