import { expect, test } from 'vitest';
import { MeterError } from '../../errors.ts';
import { redisFailure } from './failures.ts';

const replyError = (message: string): Error => Object.assign(new Error(message), { name: 'ReplyError' });
const codeOf = (error: unknown): string | undefined => {
  const failure = redisFailure(error, 'apply');
  return failure instanceof MeterError ? failure.code : undefined;
};

test.each([
  'OOM command not allowed when used memory > maxmemory.',
  'NOSCRIPT No matching script.',
  "READONLY You can't write against a read only replica.",
  'MOVED 3999 127.0.0.1:6381',
  'ASK 3999 127.0.0.1:6381',
  'TRYAGAIN Multiple keys request during rehashing of slot',
  'CLUSTERDOWN The cluster is down',
  'BUSY Redis is busy running a script.',
  'LOADING Redis is loading the dataset in memory',
  'MASTERDOWN Link with MASTER is down',
  'NOREPLICAS Not enough good replicas to write.',
  'MISCONF Redis is configured to save RDB snapshots',
])('%s: waited out', (message) => {
  expect(codeOf(replyError(message))).toBe('SPEED_UNAVAILABLE');
});

test('a call that was sent about too often says so as what it met last', () => {
  expect(codeOf(new Error('Too many Cluster redirections. Last error: ReplyError: TRYAGAIN Multiple keys'))).toBe(
    'SPEED_UNAVAILABLE',
  );
});

test.each(['NOAUTH Authentication required.', 'WRONGPASS invalid username-password pair', 'NOPERM No permissions'])(
  '%s: a setting',
  (message) => {
    expect(codeOf(replyError(message))).toBe('SPEED_MISCONFIGURED');
  },
);

test('a connection that is gone is waited for', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED', syscall: 'connect' });
  for (const error of [refused, new Error('Connection is closed.'), new Error('Command timed out')])
    expect(codeOf(error)).toBe('SPEED_UNAVAILABLE');
});

test('a defect stays what it is, and what is known already too', () => {
  const defect = replyError("ERR user_script:3: attempt to index local 'cell' (a nil value)");
  expect(redisFailure(defect, 'apply')).toBe(defect);
  const wrongType = replyError('WRONGTYPE Operation against a key holding the wrong kind of value');
  expect(redisFailure(wrongType, 'apply')).toBe(wrongType);
  const known = new MeterError('OVERLOADED', 'busy');
  expect(redisFailure(known, 'apply')).toBe(known);
});

test('the message names the attempt and keeps the cause', () => {
  const cause = replyError('OOM command not allowed');
  expect(redisFailure(cause, 'apply in bucket 3')).toMatchObject({
    message: 'redis: apply in bucket 3: OOM command not allowed',
    cause,
  });
});
