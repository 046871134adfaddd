/** Canonical forms and digests: what makes two events the same. */
import { hash } from 'node:crypto';
import type { UsageEvent } from './event.ts';

/** Keys sorted by code unit, no white space, numbers in their shortest form (1 = 1.0). */
export function canonicalJson(value: unknown): string {
  if (isCanonical(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonicalJson(inner)}`).join(',')}}`;
  }
  return JSON.stringify(Object.is(value, -0) ? 0 : value);
}

/** Most properties are flat and sorted as they come: what JSON.stringify makes of them is canonical. */
function isCanonical(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  let before = '';
  for (const key of Object.keys(value)) {
    const inner = (value as Readonly<Record<string, unknown>>)[key];
    if (key < before || (typeof inner !== 'string' && typeof inner !== 'number' && typeof inner !== 'boolean')) return false;
    before = key;
  }
  return true;
}

/** The first 16 bytes of SHA-256, as hex digits or latin1 characters. */
const hexDigest = (text: string): string => hash('sha256', text, 'hex').slice(0, 32);
const latin1Digest = (text: string): string => hash('sha256', text, 'binary').slice(0, 16);

/** A length in front of each part makes the joined text injective. */
const joined = (parts: readonly string[]): string => parts.map((part) => `${String(part.length)}:${part}`).join('');

/** 16 bytes as hex over everything but tenant and key. */
export function contentDigest({ type, quantity, timestamp, subject, properties }: UsageEvent): string {
  const subjectPart = subject === null ? 'n' : `s${subject}`;
  return hexDigest(joined([type, quantity.toString(), String(timestamp), subjectPart, properties]));
}

/** 16 bytes as a latin1 string: what the speed layer remembers of a key. */
export const keyDigest = (tenant: string, key: string): string => latin1Digest(joined([tenant, key]));
