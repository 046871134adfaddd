import { describe, expect, test } from 'vitest';
import { MeterError } from '../../errors.ts';
import { asFailure, isPassing, openPool } from './pool.ts';
import { SQLSTATES, sqlState } from './sqlstates.ts';

const withCode = (code: string, message = 'it failed'): Error => Object.assign(new Error(message), { code });

describe('failures of the database', () => {
  test.each([
    '08006',
    '40001',
    '40P01',
    '53100',
    '53300',
    '57P01',
    '57P03',
    '57P05',
    '25P03',
    '57014',
    '55P03',
    '25006',
    'ECONNREFUSED',
    'ENOENT',
  ])('%s passes by itself', (code) => {
    const failure = asFailure(withCode(code), 'read the moon');
    expect(failure).toMatchObject({ code: 'DATABASE_UNAVAILABLE', kind: 'transient' });
    expect(failure).toHaveProperty('message', 'read the moon: it failed');
  });

  test.each([
    'Connection terminated unexpectedly',
    'Connection terminated due to connection timeout',
    'timeout exceeded when trying to connect',
    'Client has encountered a connection error and is not queryable',
    'Client was closed and is not queryable',
  ])('what the client says without a code passes too: %s', (message) => {
    expect(isPassing(new Error(message))).toBe(true);
  });

  test.each(['23505', '42P01', '42601', '22021', 'XX001', '25001', '57000'])('%s is a defect and stays as it is', (code) => {
    const error = withCode(code, 'terminated by a stranger');
    expect(asFailure(error, 'read the moon')).toBe(error);
  });

  test.each([
    ['28P01', 'the right user and password'],
    ['28000', 'pg_hba.conf'],
    ['3D000', 'Meterfold makes none'],
    ['42501', 'the owner of the tables'],
  ])('%s is for an operator, with the way out', (code, allowed) => {
    const failure = asFailure(withCode(code), 'read the moon', 'LOG_UNAVAILABLE');
    expect(failure).toMatchObject({ code: 'DATABASE_MISCONFIGURED', kind: 'fatal', message: 'read the moon: it failed' });
    expect(failure).toHaveProperty('detail.allowed', expect.stringContaining(allowed));
  });

  test('the longest code decides, and each is there once', () => {
    expect(sqlState('28P01')?.wayOut).toBe('the right user and password');
    expect(new Set(SQLSTATES.map(({ code }) => code)).size).toBe(SQLSTATES.length);
    for (const { follows, wayOut } of SQLSTATES) expect(wayOut !== undefined).toBe(follows === 'operator');
  });

  test('what is ours already stays as it is, and what is no error too', () => {
    const own = new MeterError('LOG_TRIMMED', 'read: it is gone');
    expect(asFailure(own, 'x')).toBe(own);
    expect(asFailure('a text', 'x')).toBe('a text');
  });
});

test('a server that is not there is a passing failure', async () => {
  const pool = openPool({ host: '/nowhere/at/all', port: 5432 }, { max: 1 });
  const error = await pool.query('SELECT 1').catch((thrown: unknown) => thrown);
  expect(isPassing(error)).toBe(true);
  await pool.end();
});
