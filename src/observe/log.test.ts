import { describe, expect, test } from 'vitest';
import { MeterError } from '../errors.ts';
import { type LogOptions, openLog } from './log.ts';

function written(level: LogOptions['level'], say: (logger: ReturnType<typeof openLog>) => void): Record<string, unknown>[] {
  const lines: string[] = [];
  say(openLog({ level, stream: { write: (line) => void lines.push(line) } }));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('the log', () => {
  test('a line is JSON with level, time and message, and nothing of the machine', () => {
    const [line] = written('info', (logger) => logger.info({ segment: 3 }, 'segment sealed'));
    expect(line).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-.*Z$/) as string,
      segment: 3,
      msg: 'segment sealed',
    });
  });

  test('lines below the level are left out', () => {
    expect(written('warn', (logger) => logger.info('no'))).toEqual([]);
    expect(written('silent', (logger) => logger.fatal('no'))).toEqual([]);
  });

  test('an error shows its code and its causes, but never the value that a caller sent', () => {
    const cause = new TypeError('socket closed');
    const err = new MeterError('BAD_REQUEST', 'read x', { cause, field: 'x', value: 'secret' });
    const [line] = written('info', (logger) => logger.error({ err }, 'failed'));
    expect(line?.err).toMatchObject({
      code: 'BAD_REQUEST',
      message: 'read x',
      cause: { type: 'TypeError', message: 'socket closed' },
    });
    expect(JSON.stringify(line)).not.toContain('secret');
  });

  test('what is thrown without being an error is told as text', () => {
    const [line] = written('info', (logger) => logger.error({ err: 'just text' }, 'failed'));
    expect(line?.err).toEqual({ message: 'just text' });
  });
});
