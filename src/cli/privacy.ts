/** The secret that this start hashes under, and whether its meters and schemas can do with what the privacy rules leave. */
import type { Config } from '../config.ts';
import { unkeepable, unmeasurable, usesHashes } from '../domain/privacy.ts';
import type { RuleSet } from '../domain/rules.ts';
import { openSecret } from '../embedded/secret.ts';
import { MeterError } from '../errors.ts';

/** Throws BAD_CONFIG naming meter or schema, and property. */
export function demandMeasurable({ privacy = {} }: Config, { meters, schemas }: Pick<RuleSet, 'meters' | 'schemas'>): void {
  const faults = [...unmeasurable(privacy, meters), ...unkeepable(privacy, schemas)];
  if (faults.length === 0) return;
  const allowed = 'keep, or another meter or schema';
  throw new MeterError('BAD_CONFIG', `start: ${faults.join('; ')}`, { field: 'privacy', allowed });
}

/** Of the setting, else of the data directory; with a server the setting alone, for its processes share no directory. */
export async function secretOf({
  privacy = {},
  privacySecret,
  databaseUrl,
  dataDir,
}: Config): Promise<Uint8Array | undefined> {
  if (privacySecret !== undefined) return Buffer.from(privacySecret);
  if (databaseUrl === undefined) return openSecret(dataDir);
  if (!usesHashes(privacy)) return undefined;
  throw new MeterError('BAD_CONFIG', 'start: a privacy rule hashes, and with databaseUrl the secret is a setting', {
    field: 'privacySecret',
    allowed: 'a text of at least 32 characters',
  });
}
