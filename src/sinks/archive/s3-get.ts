/** Whole objects of S3, with their bytes checked against the checksum that S3 keeps of them. */
import { GetObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { asError, MeterError } from '../../errors.ts';
import { isService } from './s3-errors.ts';

export interface ObjectPlace {
  readonly Bucket: string;
  readonly Key: string;
}

async function read(client: S3Client, at: ObjectPlace): Promise<Uint8Array> {
  const { Body } = await client.send(new GetObjectCommand({ ...at, ChecksumMode: 'ENABLED' }));
  return Body === undefined ? new Uint8Array() : Body.transformToByteArray();
}

/** The SDK has no class or code for it. */
const isMismatch = (error: unknown): boolean => asError(error).message.startsWith('Checksum mismatch');

/** Bytes that differ from their checksum are asked for once more: on their way they may have been damaged just once. */
export async function getWhole(client: S3Client, at: ObjectPlace): Promise<Uint8Array> {
  try {
    return await read(client, at);
  } catch (error) {
    if (!isMismatch(error)) throw error;
  }
  try {
    return await read(client, at);
  } catch (error) {
    if (!isMismatch(error)) throw error;
    const where = `s3://${at.Bucket}/${at.Key}`;
    throw new MeterError('ARCHIVE_DAMAGED', `get ${where}: ${asError(error).message}, twice`, { cause: error });
  }
}

/** Whether exactly these bytes are there; undefined where nothing is. */
export async function holds(client: S3Client, at: ObjectPlace, bytes: Uint8Array): Promise<boolean | undefined> {
  try {
    return Buffer.from(await getWhole(client, at)).equals(bytes);
  } catch (error) {
    if (isService(error) && error.name === 'NoSuchKey') return undefined;
    throw error;
  }
}
