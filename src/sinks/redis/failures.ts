/** What a failure of Redis means to the runtime. */
import { asError, type FailureCode, MeterError } from '../../errors.ts';

/**
 * Redis says these of itself for a while: it is full, forgets a script, is no primary (any more), moves a slot, has no
 * quorum, runs another script, reads its file. Each is waited out; none is worked around.
 */
const PASSING = new Set([
  'OOM',
  'NOSCRIPT',
  'READONLY',
  'MOVED',
  'ASK',
  'TRYAGAIN',
  'CLUSTERDOWN',
  'BUSY',
  'LOADING',
  'MASTERDOWN',
  'NOREPLICAS',
  'MISCONF',
  'UNKILLABLE',
]);
/** What only a change of settings mends. */
const REFUSED = new Set(['NOAUTH', 'WRONGPASS', 'NOPERM', 'DENIED']);

/** The first word of an answer of Redis, behind what a client or a script puts in front of it. */
const wordOf = (message: string): string =>
  /^(?:Too many Cluster redirections\. Last error: )?(?:(?:Reply)?Error: )?([A-Z]+)\b/.exec(message)?.[1] ?? '';

/** What the client says of its connection. */
const AWAY = new Set(['AbortError', 'MaxRetriesPerRequestError', 'ClusterAllFailedError']);
const AWAY_TEXT =
  /^(?:Connection is closed|Command timed out|connect ETIMEDOUT|Socket timeout|All sentinels are unreachable|Stream isn't writeable|Cluster isn't ready|None of startup nodes|Too many Cluster redirections)/;

function codeOf(error: Error): FailureCode | undefined {
  const word = wordOf(error.message);
  if (PASSING.has(word)) return 'SPEED_UNAVAILABLE';
  if (REFUSED.has(word)) return 'SPEED_MISCONFIGURED';
  const isAway = AWAY.has(error.name) || AWAY_TEXT.test(error.message) || 'syscall' in error || 'code' in error;
  return error.name !== 'ReplyError' && isAway ? 'SPEED_UNAVAILABLE' : undefined;
}

/** As a MeterError, if Redis or the way to it is at fault; what is neither is a defect and stays as it is. */
export function redisFailure(thrown: unknown, attempt: string): Error {
  const error = asError(thrown);
  if (error instanceof MeterError) return error;
  const code = codeOf(error);
  return code === undefined ? error : new MeterError(code, `redis: ${attempt}: ${error.message}`, { cause: error });
}
