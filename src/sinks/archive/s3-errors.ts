/** What S3 and the way to it say, as the failures that the runtime knows. */
import { S3ServiceException } from '@aws-sdk/client-s3';
import { type FailureCode, MeterError } from '../../errors.ts';

const CREDENTIALS = 'correct the credentials: S3 knows no such key, or another secret';
const REGION = 'correct the region or the endpoint of the bucket';
const KMS = 'enable the KMS key, and allow kms:GenerateDataKey and kms:Decrypt on it';

/** Faults of whoever runs it, and the way out of each. Waiting does not help: the process stops. */
const WAYS_OUT: ReadonlyMap<string, string> = new Map([
  [
    'AccessDenied',
    'allow s3:GetObject and s3:PutObject on the objects, and the use of their KMS key (docs/s3-archive.md). ' +
      'Where s3:ListBucket is not allowed, S3 answers so for an object that is missing, too',
  ],
  ['InvalidAccessKeyId', CREDENTIALS],
  ['SignatureDoesNotMatch', CREDENTIALS],
  ['InvalidToken', CREDENTIALS],
  ['RequestTimeTooSkewed', 'set the clock of this machine'],
  ['NoSuchBucket', 'create the bucket, or correct its name: Meterfold makes none'],
  ['InvalidBucketName', 'correct the name of the bucket'],
  ['PermanentRedirect', REGION],
  ['AuthorizationHeaderMalformed', REGION],
  ['InvalidObjectState', 'restore the object: no lifecycle rule may move objects of the archive to where GET is refused'],
  ['KMS.DisabledException', KMS],
  ['KMS.NotFoundException', KMS],
  ['KMS.KMSInvalidStateException', KMS],
]);

/**
 * Answers of the 400s that pass by themselves: credentials that are renewed, bytes that were damaged on their way, races, an
 * upload that a lifecycle rule ended.
 */
const PASSING: ReadonlySet<string> = new Set([
  'ExpiredToken',
  'RequestTimeout',
  'BadDigest',
  'IncompleteBody',
  'XAmzContentSHA256Mismatch',
  'ConditionalRequestConflict',
  'OperationAborted',
  'NoSuchUpload',
]);

const FULL: ReadonlySet<string> = new Set(['QuotaExceeded', 'InsufficientStorage', 'XMinioStorageFull']);
/** The SDK's own names for a failure that S3 never saw. */
const UNSENT: ReadonlySet<string> = new Set(['TimeoutError', 'AbortError', 'CredentialsProviderError']);

export const isService = (error: unknown): error is S3ServiceException => error instanceof S3ServiceException;

const statusOf = (error: S3ServiceException): number => error.$metadata.httpStatusCode ?? 0;

/** A condition of the request does not hold: `If-None-Match: *` where an object is, `If-Match` where another one is. */
export const isPreconditionFailed = (error: unknown): error is S3ServiceException =>
  isService(error) && statusOf(error) === 412;

/** `what`: what was attempted, on what. What is not of S3 or the network is a defect and comes back as it is. */
export function s3Failure(what: string, error: unknown): unknown {
  if (isService(error)) return serviceFailure(what, error);
  if (!(error instanceof Error) || error instanceof MeterError) return error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  if (code === undefined && !UNSENT.has(error.name)) return error;
  return new MeterError('ARCHIVE_UNAVAILABLE', `${what}: ${code ?? error.name}, ${error.message}`, { cause: error });
}

function serviceFailure(what: string, error: S3ServiceException): MeterError {
  const { name, message } = error;
  const allowed = WAYS_OUT.get(name);
  const code = codeOf(error, allowed !== undefined);
  const text = `${what}: ${name} (${String(statusOf(error))}), ${message}`;
  return new MeterError(code, text, { cause: error, ...(allowed === undefined ? {} : { allowed }) });
}

function codeOf(error: S3ServiceException, hasWayOut: boolean): FailureCode {
  const status = statusOf(error);
  if (error.name === 'NoSuchKey') return 'ARCHIVE_MISSING';
  if (FULL.has(error.name) || status === 507) return 'ARCHIVE_FULL';
  if (PASSING.has(error.name) || status === 429) return 'ARCHIVE_UNAVAILABLE';
  // 501: the store does not know the request, and never will.
  if (hasWayOut || status === 501) return 'ARCHIVE_MISCONFIGURED';
  return status >= 300 && status < 500 ? 'ARCHIVE_MISCONFIGURED' : 'ARCHIVE_UNAVAILABLE';
}

export async function told<T>(what: string, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    throw s3Failure(what, error);
  }
}
