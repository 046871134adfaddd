/** Talks to a running server, for commands with `--url`. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { UsageEvent } from '../domain/event.ts';
import { nativeOf } from '../domain/native.ts';
import { MeterError } from '../errors.ts';

interface Problem {
  readonly detail?: string;
  readonly code?: string;
  readonly field?: string;
  readonly value?: string;
  readonly allowed?: string;
}
interface Accepted {
  readonly rejected: number;
  readonly filtered: number;
  readonly results: readonly {
    readonly status: string;
    /** Of an event that is accepted in part. */
    readonly filtered?: readonly string[];
    readonly code?: string;
    readonly field?: string;
    readonly value?: string;
    readonly reason?: string;
  }[];
}

export interface Dropped {
  readonly events: number;
  readonly codes: readonly string[];
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

  /**
   * Answers what processors of the server dropped: whole events, and the codes of all that they did. Throws for an event that
   * the server refuses: the caller has checked them all.
   */
  async send(events: readonly UsageEvent[], { history }: { readonly history: boolean }): Promise<Dropped> {
    const body = JSON.stringify(events.map(nativeOf));
    const headers = { 'content-type': 'application/json' };
    const answer = await this.json<Accepted>(`/v1/events${history ? '?history=1' : ''}`, { method: 'POST', body, headers });
    const wrong = answer.results.find(({ status }) => status === 'rejected');
    if (wrong === undefined) {
      const codes = answer.results.flatMap(({ status, code = '', filtered = [] }) =>
        status === 'filtered' ? [code] : filtered,
      );
      return { events: answer.filtered, codes };
    }
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
