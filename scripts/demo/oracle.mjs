// The oracle: a copy of the log, read by the audit route, and a recount of its own. It imports nothing of Meterfold.

const SCALE_DIGITS = 12;
const FUTURE_MS = 5 * 60_000;

/** Exact: an integer of 10^-12. */
export function scaled(text) {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  const value = BigInt(whole + fraction.padEnd(SCALE_DIGITS, '0'));
  return sign === '-' ? -value : value;
}

export class Oracle {
  constructor() {
    /** lineage -> records in order, with their positions */
    this.logs = new Map();
    this.next = new Map();
    /** `${tenant} ${key}` -> the first copy that counts */
    this.firsts = new Map();
    /** lineage -> first copies in log order */
    this.counted = new Map();
    this.positions = new Set();
    this.planted = undefined;
  }

  /** Reads each lineage on, up to what the log holds now. */
  async readOn(get, lineages) {
    for (const lineage of lineages) {
      for (;;) {
        const from = this.next.get(lineage);
        const page = await get(
          `/v1/log/${encodeURIComponent(lineage)}?limit=1000${from === undefined ? '' : `&from=${from}`}`,
        );
        for (const record of page.records) this.#take(lineage, record);
        this.next.set(lineage, page.next);
        if (page.records.length < 1000) break;
      }
    }
  }

  #take(lineage, record) {
    const id = `${lineage} ${record.position}`;
    if (this.positions.has(id)) return;
    this.positions.add(id);
    if (record.kind !== 'event') return;
    const { event } = record;
    if (Date.parse(event.event_timestamp) > Date.parse(record.arrival) + FUTURE_MS) return;
    const key = JSON.stringify([event.tenant_id, event.idempotency_key]);
    if (this.firsts.has(key)) return;
    const first = { ...event, lineage, position: record.position };
    this.firsts.set(key, first);
    if (!this.counted.has(lineage)) this.counted.set(lineage, []);
    this.counted.get(lineage).push(first);
  }

  /** A fault in our own books, to show that the comparison would notice one: an event is forgotten. */
  plant() {
    const [list] = [...this.counted.values()].filter((entries) => entries.length > 0);
    this.planted = list?.pop();
    return this.planted;
  }

  /** Value and count of a tenant's meter below the positions that a proof names. */
  truth(tenant, meter, proof) {
    let [value, count] = [0n, 0];
    for (const { lineage, reaches } of proof.lineages) {
      const [{ position }] = reaches;
      for (const first of this.counted.get(lineage) ?? []) {
        if (first.position >= position || first.tenant_id !== tenant || first.event_type !== meter) continue;
        value += scaled(first.quantity);
        count += 1;
      }
    }
    return { value, count };
  }

  /** Whether the copy reaches as far as a proof does. */
  covers(proof) {
    return proof.lineages.every(({ lineage, reaches }) => (this.next.get(lineage) ?? '') >= reaches[0].position);
  }
}
