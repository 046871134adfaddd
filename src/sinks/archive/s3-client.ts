/** The client of the S3 archive: where it goes, how long it waits, what it tries again. Retries are the SDK's own. */
import { S3Client, S3ServiceException, type ServiceInputTypes, type ServiceOutputTypes } from '@aws-sdk/client-s3';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { FinalizeRequestMiddleware } from '@smithy/types';

export interface S3Options {
  readonly bucket: string;
  /** In front of every key, so that several installations share a bucket. A path of plain names, or nothing. */
  readonly prefix?: string;
  /** Without one: what the environment or the shared configuration of the SDK says. */
  readonly region?: string;
  /** For other stores than that of AWS, and for private endpoints. */
  readonly endpoint?: string;
  /** `ENDPOINT/BUCKET/KEY` instead of `BUCKET.ENDPOINT/KEY`: most stores behind an `endpoint` want it. */
  readonly pathStyle?: boolean;
  /** Without them: the SDK's chain of environment, shared files, web identity, container and instance. */
  readonly credentials?: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
  /** SSE-KMS under this key, with a bucket key. Without one: the encryption that the bucket has by default. */
  readonly kmsKeyId?: string;
  /** Larger objects go in parts of this many bytes, at least 5 MiB (S3's own bound). */
  readonly partBytes?: number;
  /** Tries of a request, with the SDK's back-off between them. */
  readonly attempts?: number;
  /** Until a connection stands, ms. */
  readonly connectMs?: number;
  /** Silence on a connection with a request under way, ms. */
  readonly silenceMs?: number;
}

/** Sealers, publishers and back-fills of one process together stay below it. */
const SOCKETS = 64;

export function s3Client(options: S3Options): S3Client {
  const { region, endpoint, credentials, pathStyle = false, attempts = 4, connectMs = 3000, silenceMs = 30_000 } = options;
  const client = new S3Client({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    forcePathStyle: pathStyle,
    maxAttempts: attempts,
    retryMode: 'standard',
    requestHandler: new NodeHttpHandler({
      connectionTimeout: connectMs,
      // Of silence, not of a whole request: a slow way takes long for a part and is no failure.
      socketTimeout: silenceMs,
      httpAgent: { keepAlive: true, maxSockets: SOCKETS },
      httpsAgent: { keepAlive: true, maxSockets: SOCKETS },
    }),
  });
  retryConflicts(client);
  return client;
}

type Finalize = FinalizeRequestMiddleware<ServiceInputTypes, ServiceOutputTypes>;

/**
 * Of conditional puts that meet, S3 may answer 409 to some: neither stored nor there yet, try again. The SDK knows no such
 * case, so it is marked as one before its retries see it.
 */
function retryConflicts(client: S3Client): void {
  const mark: Finalize = (next) => async (args) => {
    try {
      return await next(args);
    } catch (error) {
      if (error instanceof S3ServiceException && error.name === 'ConditionalRequestConflict') error.$retryable = {};
      throw error;
    }
  };
  client.middlewareStack.addRelativeTo(mark, { relation: 'after', toMiddleware: 'retryMiddleware', name: 'retryConflicts' });
}
