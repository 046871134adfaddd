/** Tokens: which writes an answer must include. Opaque to callers: base64url of [[lineage, position], …]. */
import type { Written } from '../../contract.ts';
import { MeterError } from '../../errors.ts';

/** A token of 64 lineages is about 6 KB; a query string has to hold it. */
const MAX_CHARACTERS = 12_000;
const BASE64URL = /^[A-Za-z0-9_-]+$/;
/** Digits with what brokers put between them. */
const POSITION = /^[0-9][0-9.:-]{0,99}$/;

/** The least that covers all writes: the highest position of each lineage. */
export function latestOf(writes: Iterable<Written>): Written[] {
  const latest = new Map<string, Written>();
  for (const write of writes) {
    const known = latest.get(write.lineage);
    if (known === undefined || known.position < write.position) latest.set(write.lineage, write);
  }
  return [...latest.values()];
}

export function encodeToken(writes: Iterable<Written>): string {
  const pairs = latestOf(writes).map(({ lineage, position }) => [lineage, position]);
  return Buffer.from(JSON.stringify(pairs)).toString('base64url');
}

/** Throws BAD_REQUEST for what `encodeToken` cannot have made. */
export function decodeToken(token: string, field: string): Written[] {
  const pairs = BASE64URL.test(token) && token.length <= MAX_CHARACTERS ? parsed(token) : undefined;
  if (!Array.isArray(pairs) || !pairs.every(isPair)) {
    throw new MeterError('BAD_REQUEST', `${field} is not a token of this server`, {
      field,
      value: token.slice(0, 100),
      allowed: 'the `token` of an answer of POST /v1/events',
    });
  }
  return pairs.map(([lineage, position]) => ({ lineage, position }));
}

function parsed(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    return undefined; // not JSON: the caller says so, with the field's name
  }
}

function isPair(pair: unknown): pair is [lineage: string, position: string] {
  if (!Array.isArray(pair) || pair.length !== 2) return false;
  const [lineage, position] = pair as readonly unknown[];
  return typeof lineage === 'string' && lineage !== '' && typeof position === 'string' && POSITION.test(position);
}
