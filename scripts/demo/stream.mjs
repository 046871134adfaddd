// The stream: usage as it really comes. Duplicates, late and out-of-order events, invalid ones, re-used keys, one hot tenant.

export const TENANTS = ['hot', ...Array.from({ length: 11 }, (_, n) => `tenant-${n + 1}`)];
export const METERS = ['api_calls', 'tokens'];

const MINUTE = 60_000;
/** How far behind (or ahead of) now an event may lie, ms: mostly of this minute, some late by hours, some a little ahead. */
const AGES = [0, 0, 0, 0, 1000, 5000, 30_000, 5 * MINUTE, 90 * MINUTE, 26 * 60 * MINUTE, -2 * MINUTE];

/** @returns a function that makes one batch of events. */
export function streamOf(random) {
  let serial = 0;
  const sent = [];
  const fresh = () => {
    serial += 1;
    const now = Date.now() - random.pick(AGES);
    return {
      tenant_id: random.chance(0.5) ? 'hot' : random.pick(TENANTS),
      event_type: random.pick(METERS),
      quantity: `${random.below(100_000)}.${random.below(1000)}`,
      idempotency_key: `e-${serial}`,
      event_timestamp: new Date(now).toISOString(),
      properties: { region: random.pick(['eu', 'us', 'ap']) },
    };
  };
  const invalid = () => ({
    ...fresh(),
    ...random.pick([{ quantity: '-1' }, { quantity: 'many' }, { tenant_id: '' }, { event_timestamp: 'yesterday' }]),
  });
  const event = () => {
    const roll = random.next();
    if (roll < 0.06 && sent.length > 0) return random.pick(sent.slice(-3000));
    if (roll < 0.065 && sent.length > 0) return { ...random.pick(sent), quantity: '777' };
    if (roll < 0.075) return invalid();
    const made = fresh();
    sent.push(made);
    return made;
  };
  return (size) => Array.from({ length: size }, event);
}
