import { expect, test } from 'vitest';
import { systemClock } from '../clock.ts';
import { parseConfig } from '../config.ts';
import { kafkaOptionsOf } from './open-ports.ts';

const options = (flags: Record<string, unknown> = {}) =>
  kafkaOptionsOf(parseConfig({ flags: { kafkaTopic: 'usage', ...flags } }), ['127.0.0.1:9092'], systemClock);

test('a group misses a member after 10 s, and four heartbeats may be lost', () => {
  expect(options()).toMatchObject({ sessionMs: 10_000, heartbeatMs: 2000, rebalanceMs: 10_000 });
});

test('heartbeats that are too rare for the session, or for a group that is formed anew, are refused', () => {
  const detail = expect.objectContaining({ field: 'kafkaHeartbeatMs', value: '3000' });
  const bad = expect.objectContaining({ code: 'BAD_CONFIG', detail });
  expect(() => options({ kafkaHeartbeatMs: 3000, kafkaSessionMs: 8999 })).toThrow(bad);
  expect(() => options({ kafkaHeartbeatMs: 3000, kafkaRebalanceMs: 3000 })).toThrow(bad);
  expect(options({ kafkaHeartbeatMs: 3000, kafkaSessionMs: 9000, kafkaRebalanceMs: 3001 }).heartbeatMs).toBe(3000);
});
