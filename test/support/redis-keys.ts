/** What tests do to the keys of a server. */
import type { Redis } from 'ioredis';

/** Removes what matches, as an accident would: nothing of Meterfold knows of it. */
export async function removeKeys(redis: Redis, pattern: string): Promise<void> {
  for await (const keys of redis.scanStream({ match: pattern, count: 1000 }) as AsyncIterable<string[]>)
    if (keys.length > 0) await redis.unlink(...keys);
}
