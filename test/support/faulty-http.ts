/** Stands between a client and an HTTP server, and fails as S3 and the way to it do. Faults are used up in order. */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request as requestOf,
  type ServerResponse,
} from 'node:http';

export type Fault =
  /** None: to reach a request behind this one. */
  | 'none'
  /** Answered here, as S3 words it; the server sees nothing. */
  | { readonly status: number; readonly code?: string }
  /** The connection breaks before the server has seen anything. */
  | 'reset'
  /** The server does it, and the answer is lost. */
  | 'lost'
  /** No answer, ever. */
  | 'silent'
  /** The answer breaks off in the middle of its body. */
  | 'truncated'
  /** A byte of the answer is another one. */
  | 'damaged'
  /** A byte of the request is another one. */
  | 'garbled';

export interface FaultyHttp {
  readonly endpoint: string;
  /** `METHOD URL` of every request, in order. */
  readonly seen: readonly string[];
  /** Of the requests that were seen. */
  readonly headers: readonly IncomingHttpHeaders[];
  /** For the next request that matches. `first` runs before it strikes. */
  fail(fault: Fault, on?: RegExp, first?: () => Promise<unknown>): void;
  /** Forgets the faults that are left; answers how many. */
  calm(): number;
  /** How often the server answered with each status. */
  readonly answered: ReadonlyMap<number, number>;
  close(): Promise<void>;
}

interface Planned {
  readonly fault: Fault;
  readonly on: RegExp;
  readonly first: () => Promise<unknown>;
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: Buffer;
}

const forward = (to: URL, { method, url, headers }: IncomingMessage, body: Buffer): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const upstream = requestOf({ host: to.hostname, port: to.port, method, path: url, headers }, (response) => {
      bodyOf(response).then(
        (answered) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: answered }),
        reject,
      );
    });
    upstream.on('error', reject).end(body);
  });

const errorBody = (code: string): string =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>planned</Message></Error>`;

const isOfAnswer = (fault: Fault | undefined): boolean => fault === 'lost' || fault === 'truncated' || fault === 'damaged';

function damage(body: Buffer): Buffer {
  const damaged = Buffer.from(body);
  damaged[0] = (damaged[0] ?? 0) ^ 1;
  return damaged;
}

function strike(fault: Fault, response: ServerResponse, { status, headers, body }: Answer): void {
  if (fault === 'lost') return void response.destroy();
  response.writeHead(status, headers);
  if (fault === 'truncated') {
    response.write(body.subarray(0, body.length / 2));
    return void setImmediate(() => response.destroy());
  }
  response.end(damage(body));
}

export async function faultyHttp(upstream: string): Promise<FaultyHttp> {
  const to = new URL(upstream);
  const planned: Planned[] = [];
  const [seen, headers]: [string[], IncomingHttpHeaders[]] = [[], []];
  const answered = new Map<number, number>();
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const what = `${request.method} ${request.url}`;
    seen.push(what);
    headers.push(request.headers);
    const n = planned.findIndex(({ on }) => on.test(what));
    const plan = n < 0 ? undefined : planned.splice(n, 1)[0]!;
    await plan?.first();
    if (plan?.fault === 'reset') return void request.destroy();
    const body = await bodyOf(request);
    if (plan?.fault === 'silent') return;
    if (typeof plan?.fault === 'object') {
      const { status, code } = plan.fault;
      return void response.writeHead(status, { etag: '"x"' }).end(code === undefined ? '' : errorBody(code));
    }
    const answer = await forward(to, request, plan?.fault === 'garbled' ? damage(body) : body);
    answered.set(answer.status, (answered.get(answer.status) ?? 0) + 1);
    if (isOfAnswer(plan?.fault)) strike(plan!.fault, response, answer);
    else response.writeHead(answer.status, answer.headers).end(answer.body);
  };
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    seen,
    headers,
    answered,
    calm: () => planned.splice(0).length,
    fail: (fault, on = /./, first = () => Promise.resolve()) => void planned.push({ fault, on, first }),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
