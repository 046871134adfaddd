/** Canonical forms and digests: what makes two events the same. */
import { createHash } from 'node:crypto';
import type { UsageEvent } from './event.ts';

/** Keys sorted by code unit, no white space, numbers in their shortest form (1 = 1.0). */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonicalJson(inner)}`).join(',')}}`;
  }
  return JSON.stringify(Object.is(value, -0) ? 0 : value);
}

const DIGEST_BYTES = 16;
const digest = (text: string): Buffer => createHash('sha256').update(text).digest().subarray(0, DIGEST_BYTES);

/** A length in front of each part makes the joined text injective. */
const joined = (parts: readonly string[]): string => parts.map((part) => `${String(part.length)}:${part}`).join('');

/** 16 bytes as hex over everything but tenant and key. */
export function contentDigest({ type, quantity, timestamp, subject, properties }: UsageEvent): string {
  const subjectPart = subject === null ? 'n' : `s${subject}`;
  return digest(joined([type, quantity.toString(), String(timestamp), subjectPart, properties])).toString('hex');
}

/** 16 bytes as a latin1 string: what the speed layer remembers of a key. */
export const keyDigest = (tenant: string, key: string): string => digest(joined([tenant, key])).toString('latin1');
