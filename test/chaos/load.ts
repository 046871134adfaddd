/**
 * The load: senders over HTTP and a producer that is not ours, straight into the topic. What was not acknowledged is sent again.
 * The book holds what was acknowledged: each of these keys must be in the log, and count once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kafka, type Message, Partitioners, type Producer } from 'kafkajs';
import { below, chance, pick, type Random } from '../simulation/random.ts';
import { TYPES } from './readers.ts';

export interface Event {
  readonly tenant_id: string;
  readonly event_type: string;
  readonly quantity: string;
  readonly idempotency_key: string;
  readonly event_timestamp: string;
  readonly properties: Readonly<Record<string, string>>;
}

/** How far behind now (or ahead of it) event times lie, ms: most of this minute, some late by hours. */
const AGES: [number, ...number[]] = [0, 0, 0, 0, 500, 5000, 40_000, 7 * 60_000, 3 * 3_600_000, 30 * 3_600_000, -60_000];
const EACH_SEND = 20;
const EACH_PRODUCE = 4;
/** While paused, between two looks, ms. */
const LOOK_MS = 20;
/** Partitions that are added are known after so long. */
const METADATA_MS = 2000;
const PAUSE_MS = 120_000;
const SEND_MS = 10_000;
const AGAIN_MS = 200;
const REMEMBERED = 500;

export interface LoadPorts {
  readonly random: Random;
  readonly kafka: Kafka;
  readonly topic: string;
  readonly partitions: number;
  /** Of an ingest, whichever there is. */
  readonly url: () => string;
}

export class Load {
  readonly #ports: LoadPorts;
  readonly #stop = new AbortController();
  readonly #producer: Producer;
  readonly #sent: Event[] = [];
  #serial = 0;
  #isPaused = true;
  #busy = 0;
  #tenants: readonly string[] = [];
  #over: Promise<unknown> = Promise.resolve();
  /** tenant and key of every event that was acknowledged. */
  readonly book = new Map<string, readonly [tenant: string, key: string]>();
  resent = 0;
  /** Of the records of the foreign producer: how many go to a partition that is not their home. */
  misroutes = 0.05;
  /** How many the foreign producer believes there are. */
  partitions: number;
  /** Between two sends of a sender, ms. */
  pauseMs = 150;

  constructor(ports: LoadPorts) {
    this.#ports = ports;
    this.partitions = ports.partitions;
    const retry = { retries: 3, initialRetryTime: 50, maxRetryTime: 500 };
    this.#producer = ports.kafka.producer({
      createPartitioner: Partitioners.DefaultPartitioner,
      metadataMaxAge: METADATA_MS,
      retry,
    });
  }

  get tenants(): readonly string[] {
    return this.#tenants;
  }

  /** A fault has tenants of its own, so that its books are short. */
  name(prefix: string): void {
    this.#tenants = Array.from({ length: 6 }, (_, n) => `${prefix}-${n}`);
    this.#sent.length = 0;
  }

  async start(senders: number): Promise<void> {
    await this.#producer.connect();
    this.#over = Promise.all([
      ...Array.from({ length: senders }, () => this.#rounds(() => this.#send())),
      this.#rounds(() => this.#produce()),
    ]);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#over;
    await this.#producer.disconnect();
  }

  resume(): void {
    this.#isPaused = false;
  }

  /** Resolves once everything that was begun is acknowledged; throws where that takes too long. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    for (const until = performance.now() + PAUSE_MS; this.#busy > 0;) {
      if (performance.now() > until) throw new Error(`not acknowledged within ${PAUSE_MS} ms`);
      await sleep(LOOK_MS);
    }
  }

  /** Events over HTTP, once, beside the rounds: how many were acknowledged. They are in the book then. */
  async sendOnce(): Promise<number> {
    const before = this.book.size;
    await this.#post(Array.from({ length: EACH_SEND }, () => this.#fresh()));
    return this.book.size - before;
  }

  /** Records straight into the topic, in nobody's book. */
  async putAside(): Promise<number> {
    const messages = Array.from({ length: EACH_SEND }, () => this.#fresh()).map((event) => ({
      ...{ key: event.tenant_id, value: JSON.stringify(event) },
    }));
    await this.#producer.send({ topic: this.#ports.topic, messages, acks: -1, timeout: SEND_MS });
    return messages.length;
  }

  /** Rounds of one sender, until the load stops. */
  async #rounds(round: () => Promise<void>): Promise<void> {
    while (!this.#stop.signal.aborted) {
      if (!this.#isPaused) {
        this.#busy += 1;
        await round();
        this.#busy -= 1;
      }
      await sleep(this.#isPaused ? LOOK_MS : this.pauseMs);
    }
  }

  #fresh(): Event {
    const { random } = this.#ports;
    this.#serial += 1;
    const event = {
      tenant_id: chance(random, 0.4) ? this.#tenants[0]! : this.#tenants[below(random, this.#tenants.length)]!,
      event_type: pick(random, TYPES),
      quantity: `${below(random, 1000)}.${below(random, 1000)}`,
      idempotency_key: `e${this.#serial}`,
      event_timestamp: new Date(Date.now() - pick(random, AGES)).toISOString(),
      properties: { region: pick(random, ['eu', 'us', 'ap']) },
    };
    this.#sent.push(event);
    if (this.#sent.length > REMEMBERED) this.#sent.shift();
    return event;
  }

  /** Fresh ones, copies of earlier ones, keys with other content. */
  #event(): Event {
    const { random } = this.#ports;
    const earlier = this.#sent[below(random, this.#sent.length)];
    const roll = random();
    if (earlier === undefined || roll > 0.1) return this.#fresh();
    return roll > 0.01 ? earlier : { ...earlier, quantity: '777' };
  }

  #acknowledge({ tenant_id: tenant, idempotency_key: key }: Event): void {
    this.book.set(JSON.stringify([tenant, key]), [tenant, key]);
  }

  /** Until it is acknowledged. */
  async #again(attempt: () => Promise<boolean>): Promise<void> {
    while (!(await attempt()) && !this.#stop.signal.aborted) {
      this.resent += 1;
      await sleep(AGAIN_MS);
    }
  }

  #send(): Promise<void> {
    const events = Array.from({ length: EACH_SEND }, () => this.#event());
    return this.#again(() => this.#post(events));
  }

  async #post(events: readonly Event[]): Promise<boolean> {
    try {
      const signal = AbortSignal.timeout(SEND_MS);
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify(events);
      const response = await fetch(`${this.#ports.url()}/v1/events`, { method: 'POST', headers, body, signal });
      const { results = [] } = (await response.json()) as { results?: readonly { index: number; status: string }[] };
      for (const { index, status } of results) if (status === 'accepted') this.#acknowledge(events[index]!);
      return response.ok && results.every(({ status }) => status === 'accepted');
    } catch {
      return false;
    }
  }

  /** JSON values with the tenant as the key, as a Java client would place them; some elsewhere; some that are no events. */
  #produce(): Promise<void> {
    const { random } = this.#ports;
    const events = Array.from({ length: EACH_PRODUCE }, () => this.#event());
    const messages: Message[] = events.map((event) => ({
      ...(chance(random, this.misroutes) ? { partition: below(random, this.partitions) } : {}),
      key: event.tenant_id,
      value: JSON.stringify(event),
    }));
    if (chance(random, 0.02)) messages.push({ key: 'nobody', value: '{"tenant_id": 7}' });
    return this.#again(() => this.#put(messages, events));
  }

  /** One partition a send: kafkajs takes the answer of one for that of all on the same broker. */
  async #put(messages: readonly Message[], events: readonly Event[]): Promise<boolean> {
    const { topic } = this.#ports;
    try {
      const written = await Promise.all(
        messages.map((one) => this.#producer.send({ topic, messages: [one], acks: -1, timeout: SEND_MS })),
      );
      // To a partition that it does not know of kafkajs sends nothing, and says nothing.
      if (!written.flat().every(({ errorCode }) => errorCode === 0) || written.some(({ length }) => length === 0))
        return false;
      for (const event of events) this.#acknowledge(event);
      return true;
    } catch {
      return false;
    }
  }
}
