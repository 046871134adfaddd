/** Talks to a running server, for commands with `--url`. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { UsageEvent } from '../domain/event.ts';
import { formatDecimal } from '../domain/decimal.ts';
import { formatTime } from '../domain/time.ts';
import { MeterError } from '../errors.ts';

const native = (e: UsageEvent): Record<string, unknown> => ({
  tenant_id: e.tenant,
  event_type: e.type,
  quantity: formatDecimal(e.quantity),
  idempotency_key: e.key,
  event_timestamp: formatTime(e.timestamp),
  ...(e.subject === null ? {} : { subject: e.subject }),
  properties: JSON.parse(e.properties) as unknown,
});

interface Problem {
  readonly detail?: string;
  readonly code?: string;
  readonly field?: string;
  readonly value?: string;
  readonly allowed?: string;
}
interface Accepted {
  readonly rejected: number;
  readonly results: readonly {
    readonly status: string;
    readonly code?: string;
    readonly field?: string;
    readonly value?: string;
    readonly reason?: string;
  }[];
}

const TRIES = 60;
const MS_PER_SECOND = 1000;

export class Client {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url.replace(/\/+$/, '');
  }

  /** JSON of a route. Transient refusals are tried again; others throw what the server said. */
  async json<T>(path: string, init: RequestInit = {}): Promise<T> {
    for (let left = TRIES; ; left -= 1) {
      const response = await this.#fetch(path, init);
      if (response.ok) return (await response.json()) as T;
      const problem = (await response.json().catch(() => ({}))) as Problem;
      if (response.status !== 503 || left === 0) throw refusal(path, response.status, problem);
      await sleep(MS_PER_SECOND * Number(response.headers.get('retry-after') ?? 1));
    }
  }

  /** Throws for an event that the server refuses: the caller has checked them all. */
  async send(events: readonly UsageEvent[], { history }: { readonly history: boolean }): Promise<void> {
    const body = JSON.stringify(events.map(native));
    const headers = { 'content-type': 'application/json' };
    const answer = await this.json<Accepted>(`/v1/events${history ? '?history=1' : ''}`, { method: 'POST', body, headers });
    const wrong = answer.results.find(({ status }) => status === 'rejected');
    if (wrong === undefined) return;
    throw new MeterError(
      'BAD_INPUT_FILE',
      `import: the server rejected ${answer.rejected} events, the first with ${wrong.code ?? ''}: ${wrong.reason ?? ''}`,
      {
        ...(wrong.field === undefined ? {} : { field: wrong.field }),
        ...(wrong.value === undefined ? {} : { value: wrong.value }),
      },
    );
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(`${this.#url}${path}`, init);
    } catch (cause) {
      throw new MeterError('LOG_UNAVAILABLE', `ask ${this.#url}: no answer`, {
        field: 'url',
        value: this.#url,
        allowed: 'the address that `meterfold dev` prints',
        cause,
      });
    }
  }
}

function refusal(path: string, status: number, { detail = '', field, value, allowed }: Problem): MeterError {
  const kind = status >= 500 ? 'OVERLOADED' : status === 404 ? 'NOT_FOUND' : 'BAD_REQUEST';
  return new MeterError(kind, `ask ${path}: ${status} ${detail}`, {
    ...(field === undefined ? {} : { field }),
    ...(value === undefined ? {} : { value }),
    ...(allowed === undefined ? {} : { allowed }),
  });
}
