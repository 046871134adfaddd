// The show: senders, kills and comparisons at the same time, then the final table.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { recountArchive } from './archive.mjs';
import { Child } from './child.mjs';
import { Oracle, scaled } from './oracle.mjs';
import { randomOf } from './random.mjs';
import { METERS, streamOf, TENANTS } from './stream.mjs';

const SENDERS = 3;
const SETTLE_WITHIN_MS = 20_000;
/** Comparisons while requests are in flight, without which a show proves too little. */
export const IN_FLOW_WANTED = 10;
/** The stream goes on for them, to so many times its length. */
const LONGEST = 3;
const text = (value) => `${value / 10n ** 12n}.${(value % 10n ** 12n).toString().padStart(12, '0')}`;

class Show {
  constructor({ seed, kills, events, plant, say, progress }) {
    Object.assign(this, { kills, events, plant, say, progress });
    this.random = randomOf(seed);
    this.makeBatch = streamOf(this.random);
    this.oracle = new Oracle();
    this.sent = new Map();
    this.acknowledged = new Map();
    /** `${lineage} ${position}` of every acknowledged event */
    this.promised = new Map();
    this.inFlight = new Set();
    this.batches = 0;
    this.total = 0;
    this.over = false;
    this.reading = Promise.resolve();
    this.stats = { kills: 0, killsWithUnpublished: 0, comparisons: 0, inFlow: 0, withSpeed: 0, resent: 0, provisional: 0 };
    this.differences = [];
  }

  async get(path) {
    const response = await fetch(`${this.child.url}${path}`, { signal: AbortSignal.timeout(10_000) });
    const body = await response.json();
    if (!response.ok)
      throw Object.assign(new Error(`${path}: ${response.status} ${body.code} ${body.detail}`), { status: response.status });
    return body;
  }

  /** Sends a batch until it is acknowledged: what a client does that wants to be billed right. */
  async deliver(batch, name) {
    for (const { tenant_id: tenant } of batch) this.sent.set(tenant, (this.sent.get(tenant) ?? 0) + 1);
    for (let tries = 0; ; tries += 1) {
      if (tries > 0) this.stats.resent += 1;
      const flying = { name, events: batch.length };
      this.inFlight.add(flying);
      try {
        const headers = { 'content-type': 'application/json' };
        const response = await fetch(`${this.child.url}/v1/events`, {
          method: 'POST',
          headers,
          body: JSON.stringify(batch),
        });
        if (response.status === 200) return this.note(batch, await response.json());
        if (response.status !== 503)
          throw Object.assign(new Error(`POST /v1/events: ${response.status} ${await response.text()}`), { fatal: true });
      } catch (error) {
        if (error.fatal) throw error;
      } finally {
        this.inFlight.delete(flying);
      }
      await sleep(30);
    }
  }

  note(batch, { results }) {
    for (const { index, status, lineage, position } of results) {
      if (status !== 'accepted') continue;
      const event = batch[index];
      this.promised.set(`${lineage} ${position}`, event);
      this.acknowledged.set(event.tenant_id, (this.acknowledged.get(event.tenant_id) ?? 0) + 1);
    }
    this.total += batch.length;
    this.progress(Math.min(this.total, this.events));
  }

  /** How many comparisons meet a request depends on the machine: a slow one gets a longer stream. */
  isFlowing() {
    return this.total < this.events || (this.stats.inFlow < IN_FLOW_WANTED && this.total < LONGEST * this.events);
  }

  async send(n) {
    while (this.isFlowing()) {
      this.batches += 1;
      await this.deliver(this.makeBatch(20 + this.random.below(100)), `sender ${n}, batch ${this.batches}`);
      // A steady stream rather than a burst: kills and comparisons are to fall into it.
      await sleep(5 + this.random.below(40));
    }
  }

  query(tenant, meter) {
    const [from, to] = [-3, 2].map((days) =>
      new Date(Math.floor(Date.now() / 86_400_000 + days) * 86_400_000).toISOString(),
    );
    return this.get(`/v1/meters/${meter}/query?tenant=${tenant}&from=${from}&to=${to}&window=hour`);
  }

  /** Two readers of the log copy at once would take records twice. */
  readOn() {
    this.reading = this.reading
      .catch(() => undefined)
      .then(() => this.oracle.readOn((path) => this.get(path), this.lineages));
    return this.reading;
  }

  async compare(tenant, meter) {
    const flowing = this.inFlight.size > 0;
    const { rows, proof } = await this.query(tenant, meter);
    if (!this.oracle.covers(proof)) await this.readOn();
    const expected = this.oracle.truth(tenant, meter, proof);
    const found = {
      value: rows.reduce((sum, row) => sum + scaled(row.value), 0n),
      count: rows.reduce((sum, row) => sum + row.count, 0),
    };
    this.stats.comparisons += 1;
    if (flowing) this.stats.inFlow += 1;
    if (proof.lineages.some(({ batch, reaches }) => reaches[0].position > batch.position)) this.stats.withSpeed += 1;
    if (proof.state !== 'exact')
      this.differ(`${tenant} ${meter}: the state is ${proof.state} (${proof.reason}) although nothing is broken`);
    if (expected.value !== found.value || expected.count !== found.count) {
      const at = proof.lineages.map(({ reaches }) => reaches[0].position.replace(/^0+(?=.)/, '')).join(', ');
      this.differ(
        `${tenant} ${meter}: the answer is ${text(found.value)} (${found.count}), the log says ${text(expected.value)} (${expected.count}), at ${at}`,
      );
    }
    return proof;
  }

  differ(what) {
    if (this.differences.length < 20) this.say(`DIFFERENCE ${what}`);
    this.differences.push(what);
  }

  /** Compares all the time; a server that is down or starting is asked again. */
  async watch() {
    while (!this.over) {
      try {
        await this.compare(this.random.pick(TENANTS), this.random.pick(METERS));
      } catch (error) {
        if (error.status !== undefined && error.status !== 503 && error.status !== 404) throw error;
      }
      await sleep(15);
    }
  }

  async killOnce() {
    const proof = await this.compare('hot', 'api_calls').catch(() => undefined);
    const cut = new Map((proof?.lineages ?? []).map(({ lineage, batch }) => [lineage, batch.position]));
    const unpublished = [...this.promised.keys()].filter((id) => {
      const [lineage, position] = id.split(' ');
      return position >= (cut.get(lineage) ?? 'END');
    }).length;
    const flying = [...this.inFlight].map(({ name, events }) => `${name} (${events} events)`);
    await this.child.kill();
    this.stats.kills += 1;
    if (unpublished > 0) this.stats.killsWithUnpublished += 1;
    this.say(
      `kill ${this.stats.kills}: ${unpublished} events acknowledged and not published; in flight: ${flying.join(', ') || 'nothing'}`,
    );
    await this.child.start();
  }

  async reap() {
    for (let n = 1; n <= this.kills; n += 1) {
      const due = (this.events * (n - 0.5 + this.random.next() * 0.6)) / (this.kills + 1);
      while (this.total < due && !this.over) await sleep(3);
      await sleep(this.random.below(150));
      if (!this.over) await this.killOnce();
    }
  }

  async settle() {
    await this.readOn();
    const last = new Map([...this.oracle.counted].map(([lineage, list]) => [lineage, list.at(-1)?.position ?? '']));
    for (const deadline = Date.now() + SETTLE_WITHIN_MS; ; await sleep(100)) {
      const { proof } = await this.query('hot', METERS[0]);
      if (proof.lineages.every(({ lineage, batch }) => batch.position > (last.get(lineage) ?? ''))) return;
      if (Date.now() > deadline) return this.differ('not everything was published in time');
    }
  }

  /** What was promised must be in the log, where it was promised. */
  checkPromises() {
    for (const id of this.promised.keys())
      if (!this.oracle.positions.has(id)) this.differ(`acknowledged and not in the log: ${id}`);
  }

  async table() {
    const archive = await recountArchive(this.child.dataDir);
    const batch = new Map((await this.get('/v1/tenants')).tenants.map(({ tenant, events }) => [tenant, events]));
    const unique = new Map();
    for (const { tenant_id: tenant } of [...this.oracle.counted.values()].flat())
      unique.set(tenant, (unique.get(tenant) ?? 0) + 1);
    const rows = [];
    for (const tenant of TENANTS) {
      let merged = 0;
      for (const meter of METERS) {
        await this.compare(tenant, meter).catch((error) => this.tolerate(error));
        const { rows: hours } = await this.query(tenant, meter).catch((error) => this.tolerate(error));
        merged += hours.reduce((sum, row) => sum + row.count, 0);
      }
      const row = [
        tenant,
        ...[this.sent, this.acknowledged, unique, archive, batch].map((of) => of.get(tenant) ?? 0),
        merged,
      ];
      const [, , , events, ...others] = row;
      if (others.some((count) => count !== events))
        this.differ(`${tenant}: unique ${events}, archive ${others[0]}, batch ${others[1]}, merged ${others[2]}`);
      rows.push(row);
    }
    return rows;
  }

  /** A tenant without usage of a type that nobody sent is no error. */
  tolerate(error) {
    if (error.status === 404) return { rows: [] };
    throw error;
  }

  async run() {
    this.child = new Child(await mkdtemp(join(tmpdir(), 'meterfold-demo-')));
    try {
      await this.child.start();
      this.lineages = (await this.get('/v1/lineages')).lineages.map(({ lineage }) => lineage);
      const watching = this.watch();
      const senders = Array.from({ length: SENDERS }, (_, n) => this.send(n + 1));
      await Promise.race([Promise.all([...senders, this.reap()]), watching]);
      this.over = true;
      await watching;
      await this.settle();
      this.checkPromises();
      if (this.plant) this.say(`planted: the oracle forgets ${this.oracle.plant()?.idempotency_key}`);
      const rows = await this.table();
      const verify = await fetch(`${this.child.url}/v1/verify`, { method: 'POST' }).then((response) => response.json());
      if (!verify.ok) this.differ(`verify: ${JSON.stringify(verify.differences ?? verify)}`);
      return { rows, stats: this.stats, differences: this.differences, startMs: this.child.startMs };
    } finally {
      this.over = true;
      await this.child.kill('SIGTERM');
      await rm(this.child.dataDir, { recursive: true, force: true });
    }
  }
}

/** One run: a stream of `events` or more, at least `kills` kills, comparisons all along. */
export const show = (options) => new Show(options).run();
