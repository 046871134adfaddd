// The events of a run, by a seed: tenants by Zipf, exact duplicates, times over the last hours. And what is true of them,
// kept here and not asked of anyone: thousandths as integers, per tenant and hour.
import { randomOf } from '../../scripts/demo/random.mjs';

export const METER = 'tokens';
const MINUTE = 60_000;
const MODELS = ['small', 'medium', 'large', 'vision'];
const REGIONS = ['eu-west-1', 'eu-north-1', 'us-east-1', 'ap-south-1'];
/** Copies are of one of so many events before: some lie in the same request, most in one long gone. */
const REMEMBERED = 50_000;
/** Less than 2^53 thousandths in all, for 10^9 events. */
const MOST_THOUSANDTHS = 1_000_000;

/** Cumulative shares of `n` ranks, the k-th proportional to 1 / k^skew. */
function zipf(n, skew) {
  const weights = Array.from({ length: n }, (_, k) => 1 / (k + 1) ** skew);
  const all = weights.reduce((a, b) => a + b, 0);
  let sum = 0;
  return weights.map((weight) => (sum += weight / all));
}

function rankOf(cumulative, share) {
  let [low, high] = [0, cumulative.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cumulative[middle] < share) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class Workload {
  constructor({ seed = 1, tenants = 1000, skew = 1.1, duplicates = 0.05, hours = 3, now = Date.now() }) {
    Object.assign(this, { seed, duplicates, now, spanMs: hours * 60 * MINUTE });
    this.random = randomOf(seed);
    this.cumulative = zipf(tenants, skew);
    this.names = Array.from({ length: tenants }, (_, n) => `tenant-${String(n + 1).padStart(4, '0')}`);
    this.recent = [];
    this.serial = 0;
    this.made = 0;
    this.bytes = 0;
    this.count = 0;
    this.sum = 0;
    /** tenant -> hour since 1970 -> { count, sum } */
    this.truth = new Map();
    this.cells = new Set();
  }

  tenant() {
    return this.names[rankOf(this.cumulative, this.random.next())];
  }

  /** The JSON of one new event, of `tenant` at `time` where they are given. */
  fresh(tenant = this.tenant(), time = this.now - Math.floor(this.random.next() * this.spanMs)) {
    this.serial += 1;
    const thousandths = this.random.below(MOST_THOUSANDTHS);
    this.#note(tenant, time, thousandths);
    return JSON.stringify({
      tenant_id: tenant,
      event_type: METER,
      quantity: `${Math.floor(thousandths / 1000)}.${String(thousandths % 1000).padStart(3, '0')}`,
      idempotency_key: `req-${this.seed}-${String(this.serial).padStart(9, '0')}`,
      event_timestamp: new Date(time).toISOString(),
      subject: `user-${this.random.below(10_000)}`,
      properties: { model: this.random.pick(MODELS), region: this.random.pick(REGIONS), status: 200 },
    });
  }

  /** One event by itself, a copy now and then: its text, and the tenant that it is keyed by. */
  one() {
    const text = this.#event();
    this.made += 1;
    return { text, tenant: /"tenant_id":"([^"]+)"/.exec(text)?.[1] ?? '' };
  }

  /** The body of a request. */
  batch(size) {
    const texts = Array.from({ length: size }, () => this.#event());
    this.made += size;
    const body = Buffer.from(`[${texts.join(',')}]`);
    this.bytes += body.length;
    return body;
  }

  /** As many bodies as hold `events`. */
  batches(events, size) {
    return Array.from({ length: Math.ceil(events / size) }, (_, n) => this.batch(Math.min(size, events - n * size)));
  }

  #event() {
    if (this.recent.length > 0 && this.random.chance(this.duplicates)) return this.random.pick(this.recent);
    const text = this.fresh();
    if (this.recent.length < REMEMBERED) this.recent.push(text);
    else this.recent[this.serial % REMEMBERED] = text;
    return text;
  }

  #note(tenant, time, thousandths) {
    const hour = Math.floor(time / (60 * MINUTE));
    const hours = this.truth.get(tenant) ?? new Map();
    this.truth.set(tenant, hours);
    const { count, sum } = hours.get(hour) ?? { count: 0, sum: 0 };
    hours.set(hour, { count: count + 1, sum: sum + thousandths });
    this.cells.add(`${tenant} ${Math.floor(time / MINUTE)}`);
    this.count += 1;
    this.sum += thousandths;
  }

  /** Per hour, of one tenant or of all. */
  hoursOf(tenant) {
    const all = new Map();
    for (const hours of tenant === undefined ? this.truth.values() : [this.truth.get(tenant) ?? new Map()])
      for (const [hour, { count, sum }] of hours) {
        const known = all.get(hour) ?? { count: 0, sum: 0 };
        all.set(hour, { count: known.count + count, sum: known.sum + sum });
      }
    return all;
  }
}

/** A decimal as thousandths; throws where it has more digits, or is too great to be exact. */
export function thousandthsOf(text) {
  const [, whole, fraction = ''] = /^(\d+)(?:\.(\d{1,12}))?$/.exec(text) ?? [];
  if (whole === undefined || /[1-9]/.test(fraction.slice(3))) throw new Error(`${text} are no thousandths`);
  const value = Number(whole) * 1000 + Number(fraction.slice(0, 3).padEnd(3, '0'));
  if (!Number.isSafeInteger(value)) throw new Error(`${text} is too great`);
  return value;
}
