import { S3ServiceException } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import type { FailureCode } from '../../errors.ts';
import { MeterError } from '../../errors.ts';
import { isPreconditionFailed, s3Failure } from './s3-errors.ts';

const answered = (name: string, httpStatusCode: number): S3ServiceException =>
  new S3ServiceException({ name, message: 'said so', $fault: 'client', $metadata: { httpStatusCode } });

describe('a failure of S3', () => {
  test.each<[FailureCode, string, number]>([
    ['ARCHIVE_MISSING', 'NoSuchKey', 404],
    ['ARCHIVE_FULL', 'QuotaExceeded', 403],
    ['ARCHIVE_FULL', 'XMinioStorageFull', 507],
    ['ARCHIVE_FULL', 'Anything', 507],
    ['ARCHIVE_UNAVAILABLE', 'InternalError', 500],
    ['ARCHIVE_UNAVAILABLE', 'SlowDown', 503],
    ['ARCHIVE_UNAVAILABLE', 'TooManyRequests', 429],
    ['ARCHIVE_UNAVAILABLE', 'RequestTimeout', 400],
    ['ARCHIVE_UNAVAILABLE', 'ExpiredToken', 400],
    ['ARCHIVE_UNAVAILABLE', 'BadDigest', 400],
    ['ARCHIVE_UNAVAILABLE', 'ConditionalRequestConflict', 409],
    ['ARCHIVE_UNAVAILABLE', 'NoSuchUpload', 404],
    // A completion answers 200 at once and says in its body what came of it.
    ['ARCHIVE_UNAVAILABLE', 'InternalError', 200],
    ['ARCHIVE_MISCONFIGURED', 'AccessDenied', 403],
    ['ARCHIVE_MISCONFIGURED', 'SignatureDoesNotMatch', 403],
    ['ARCHIVE_MISCONFIGURED', 'NoSuchBucket', 404],
    ['ARCHIVE_MISCONFIGURED', 'PermanentRedirect', 301],
    ['ARCHIVE_MISCONFIGURED', 'InvalidObjectState', 403],
    ['ARCHIVE_MISCONFIGURED', 'KMS.DisabledException', 400],
    ['ARCHIVE_MISCONFIGURED', 'NotImplemented', 501],
    ['ARCHIVE_MISCONFIGURED', 'SomethingNew', 400],
  ])('is %s for %s (%i)', (code, name, status) => {
    const failure = s3Failure('put s3://b/k', answered(name, status));
    expect(failure).toMatchObject({ code, message: `put s3://b/k: ${name} (${status}), said so` });
    expect((failure as MeterError).cause).toBeInstanceOf(S3ServiceException);
  });

  test.each([
    ['AccessDenied', 403, /s3:GetObject and s3:PutObject.*s3:ListBucket is not allowed/],
    ['InvalidAccessKeyId', 403, /credentials/],
    ['RequestTimeTooSkewed', 403, /clock/],
    ['NoSuchBucket', 404, /create the bucket/],
    ['AuthorizationHeaderMalformed', 400, /region/],
    ['KMS.NotFoundException', 400, /kms:GenerateDataKey and kms:Decrypt/],
    ['InvalidObjectState', 403, /restore the object/],
  ])('names the way out of %s', (name, status, way) => {
    expect((s3Failure('get x', answered(name, status)) as MeterError).detail.allowed).toMatch(way);
  });

  test('of the way to it passes, with the code of the system or the name that the SDK gave it', () => {
    const reset = Object.assign(new Error('read'), { code: 'ECONNRESET' });
    expect(s3Failure('get x', reset)).toMatchObject({ code: 'ARCHIVE_UNAVAILABLE', message: 'get x: ECONNRESET, read' });
    const late = Object.assign(new Error('took long'), { name: 'TimeoutError' });
    expect(s3Failure('get x', late)).toMatchObject({
      code: 'ARCHIVE_UNAVAILABLE',
      message: 'get x: TimeoutError, took long',
    });
    const without = Object.assign(new Error('none'), { name: 'CredentialsProviderError' });
    expect(s3Failure('get x', without)).toMatchObject({ code: 'ARCHIVE_UNAVAILABLE' });
  });

  test('that is none stays what it is: a defect is not waited out', () => {
    const defect = new TypeError('x is not a function');
    expect(s3Failure('get x', defect)).toBe(defect);
    const told = new MeterError('ARCHIVE_DAMAGED', 'get x: damaged');
    expect(s3Failure('get x', told)).toBe(told);
    expect(s3Failure('get x', 'text')).toBe('text');
  });

  test('of a condition is told by its status alone', () => {
    expect(isPreconditionFailed(answered('PreconditionFailed', 412))).toBe(true);
    expect(isPreconditionFailed(answered('PreconditionFailed', 409))).toBe(false);
    expect(isPreconditionFailed(new Error('412'))).toBe(false);
  });
});
