/** Which bodies are read. They reach the routes as bytes: JSON is parsed where nothing is lost of its numbers. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { MeterError } from '../../errors.ts';
import type { BodyKind } from '../ingest.ts';

export const CONTENT_TYPES: ReadonlyMap<string, BodyKind> = new Map([
  ['application/json', 'native'],
  ['application/cloudevents+json', 'cloudevent'],
  ['application/cloudevents-batch+json', 'cloudevents'],
]);

export function readBodiesAsBytes(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser([...CONTENT_TYPES.keys()], { parseAs: 'buffer' }, (_, body, done) => {
    done(null, body);
  });
}

const UTF8 = /^"?utf-?8"?$/i;

/** The bytes of a body and what they hold. Throws WRONG_CONTENT_TYPE. */
export function bodyOf({ headers, mediaType, body }: FastifyRequest): {
  readonly bytes: Uint8Array;
  readonly kind: BodyKind;
} {
  const kind = CONTENT_TYPES.get(mediaType ?? '');
  const charset = /;\s*charset=([^;\s]+)/i.exec(headers['content-type'] ?? '')?.[1] ?? 'utf-8';
  const allowed = [...CONTENT_TYPES.keys()].join(', ');
  if (kind === undefined || !(body instanceof Uint8Array) || !UTF8.test(charset)) {
    const value = headers['content-type'];
    throw new MeterError('WRONG_CONTENT_TYPE', 'the body needs a content type, in UTF-8', {
      field: 'content-type',
      value,
      allowed,
    });
  }
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') {
    const what = { field: 'content-encoding', value: encoding, allowed: 'identity' };
    throw new MeterError('WRONG_CONTENT_TYPE', 'bodies are read as they are, not compressed', what);
  }
  return { bytes: body, kind };
}
