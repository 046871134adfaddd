/** Fastify's own errors as ours: its codes and words are no part of our answers. */
import { MeterError } from '../../errors.ts';
import { CONTENT_TYPES } from './content-types.ts';

/** The error itself where it is ours or nobody's. */
export function adopt(error: unknown, { maxBodyBytes }: { readonly maxBodyBytes: number }): unknown {
  switch (error instanceof Error && 'code' in error ? error.code : undefined) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new MeterError('TOO_LARGE', 'the body is too large', {
        field: 'body',
        allowed: `up to ${String(maxBodyBytes)} bytes`,
      });
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_INVALID_CONTENT_TYPE':
      return new MeterError('WRONG_CONTENT_TYPE', 'the body has a content type that is not read here', {
        field: 'content-type',
        allowed: [...CONTENT_TYPES.keys()].join(', '),
      });
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new MeterError('BAD_REQUEST', 'the body is not as long as Content-Length says', { field: 'content-length' });
    case 'FST_ERR_BAD_URL':
      return new MeterError('BAD_REQUEST', 'the path is no valid URL path', { field: 'path' });
    default:
      return error;
  }
}
