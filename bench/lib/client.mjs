// What senders and readers do: requests over kept connections, and waiting until an answer reaches what was written.
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { METER, thousandthsOf } from './workload.mjs';

const HOUR = 3_600_000;
const LOOK_MS = 25;
const GIVE_UP_MS = 30 * 60_000;
const JSON_BODY = { 'content-type': 'application/json' };
const iso = (ms) => new Date(ms).toISOString();

export class Client {
  constructor(url, connections = 16) {
    this.url = new URL(url);
    this.agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  close() {
    this.agent.destroy();
  }

  call(method, path, body) {
    return new Promise((resolve, reject) => {
      const { hostname, port } = this.url;
      const headers = body === undefined ? {} : { ...JSON_BODY, 'content-length': body.length };
      const sent = request({ agent: this.agent, hostname, port, method, path, headers }, (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode, text: Buffer.concat(chunks).toString() }));
        response.on('error', reject);
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  async get(path) {
    const { status, text } = await this.call('GET', path);
    if (status !== 200) throw new Error(`${path}: ${status} ${text.slice(0, 300)}`);
    return JSON.parse(text);
  }

  /** Until it is acknowledged. Answers the token; the results are not parsed, which would cost the machine more than sending. */
  async send(body, noteRetry = () => undefined) {
    for (;;) {
      const { status, text } = await this.call('POST', '/v1/events', body);
      if (status === 200 && /^\{"accepted":\d+,"rejected":0/.test(text)) return /"token":"([^"]+)"/.exec(text)[1];
      if (status !== 503) throw new Error(`POST /v1/events: ${status} ${text.slice(0, 300)}`);
      noteRetry();
      await sleep(50);
    }
  }

  /** All bodies, by so many senders at once. */
  async sendAll(bodies, senders) {
    let [next, retries] = [0, 0];
    const ends = new Map();
    const began = performance.now();
    const sender = async () => {
      for (let at = next++; at < bodies.length; at = next++)
        for (const [lineage, position] of positionsOf(await this.send(bodies[at], () => (retries += 1))))
          if (position > (ends.get(lineage) ?? '')) ends.set(lineage, position);
    };
    await Promise.all(Array.from({ length: senders }, sender));
    return { began, seconds: (performance.now() - began) / 1000, ends, retries };
  }

  /**
   * Looks at the proof of a query over an empty minute, which costs little, until it reaches `ends` (visible) and until the
   * batch view does (published). Seconds since `began`.
   */
  async settled({ began, ends }) {
    const path = queryPath({ from: Date.UTC(2000, 0), to: Date.UTC(2000, 0, 1, 0, 1), window: 'range' });
    const result = {};
    const since = () => (performance.now() - began) / 1000;
    const deadline = performance.now() + GIVE_UP_MS;
    while (performance.now() < deadline) {
      const { proof } = await this.get(path);
      const all = (reached) => [...ends].every(([id, end]) => reached(lineageOf(proof, id)) > end);
      if (all((lineage) => least(lineage.reaches))) result.visible ??= since();
      if (all((lineage) => lineage.batch.position))
        return { ...result, visible: result.visible ?? since(), published: since() };
      await sleep(LOOK_MS);
    }
    throw new Error('not everything was published in time');
  }
}

const lineageOf = ({ lineages }, id) => lineages.find(({ lineage }) => lineage === id);
const least = (reaches) => reaches.reduce((a, { position }) => (position < a ? position : a), '~');
export const positionsOf = (token) => JSON.parse(Buffer.from(token, 'base64url').toString());

export function queryPath({ tenant, from, to, window = 'hour', after }) {
  const params = new URLSearchParams({ from: iso(from), to: iso(to), window });
  if (tenant !== undefined) params.set('tenant', tenant);
  if (after !== undefined) params.set('after', after);
  return `/v1/meters/${METER}/query?${params}`;
}

/** What differs between the answer and the truth of the workload, hour by hour: for all tenants, and for some. */
export async function differences(client, workload, tenants = []) {
  const found = [];
  for (const tenant of [undefined, ...tenants]) {
    const truth = workload.hoursOf(tenant);
    const hours = [...truth.keys()];
    const [from, to] = [Math.min(...hours) * HOUR, (Math.max(...hours) + 1) * HOUR];
    const { rows, proof } = await client.get(queryPath({ tenant, from, to }));
    const answer = new Map(
      rows.map(({ start, count, value }) => [Date.parse(start) / HOUR, { count, sum: thousandthsOf(value) }]),
    );
    if (proof.state !== 'exact') found.push(`${tenant ?? 'all'}: the state is ${proof.state}`);
    for (const hour of new Set([...hours, ...answer.keys()])) {
      const [is, should] = [answer.get(hour), truth.get(hour)].map((usage) => JSON.stringify(usage ?? null));
      if (is !== should) found.push(`${tenant ?? 'all'}, ${iso(hour * HOUR)}: ${is} instead of ${should}`);
    }
  }
  return found;
}
