/** The secret of the installation, under which the privacy rules hash: minted once, readable by its owner alone. */
import { randomBytes } from 'node:crypto';
import { link, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MeterError } from '../errors.ts';

const BYTES = 32;
const OWNER_ONLY = 0o600;
const isCode = (error: unknown, code: string): boolean => error instanceof Error && 'code' in error && error.code === code;

/** The caller holds the lock. Throws BAD_CONFIG naming the file where it holds no secret. */
export async function openSecret(dir: string): Promise<Uint8Array> {
  const path = join(dir, 'privacy-secret');
  const text = (await read(path)) ?? (await mint(path));
  const hex = /^([0-9a-f]{64})\s*$/.exec(text)?.[1];
  if (hex !== undefined) return Buffer.from(hex, 'hex');
  throw new MeterError('BAD_CONFIG', `open ${path}: it holds no secret of 64 hexadecimal digits`, {
    allowed: 'the file as it was minted, from a backup',
  });
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Linked into place: a start that dies here leaves no half secret. */
async function mint(path: string): Promise<string> {
  const temporary = `${path}.tmp`;
  const text = `${randomBytes(BYTES).toString('hex')}\n`;
  await writeFile(temporary, text, { mode: OWNER_ONLY });
  await link(temporary, path);
  await unlink(temporary);
  return text;
}
