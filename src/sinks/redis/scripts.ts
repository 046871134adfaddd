/** The scripts: one file an operation, with the parts that it shares with others behind its first line. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Cluster, type Redis } from 'ioredis';
import { type ScriptCall, ScriptCommand } from './request.ts';

const PARTS = {
  apply: ['state', 'digests', 'cells'],
  advance: ['state', 'digests'],
  collect: ['state'],
  'drop-epoch': ['state'],
  forget: ['state'],
  freed: ['state'],
  read: ['state'],
  told: [],
} as const;
export type Operation = keyof typeof PARTS;

const read = (name: string): string => readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8');

interface Script {
  readonly text: string;
  readonly sha: string;
}

function load(operation: Operation): Script {
  const text = read(operation);
  const behind = text.indexOf('\n') + 1;
  const parts = PARTS[operation].map((part) => read(`parts/${part}`));
  const whole = [text.slice(0, behind), ...parts, text.slice(behind)].join('');
  return { text: whole, sha: createHash('sha1').update(whole).digest('hex') };
}

const SCRIPTS = new Map(Object.keys(PARTS).map((name) => [name as Operation, load(name as Operation)]));

export type Reply = Buffer | number | string | null | readonly Reply[];

/** A Redis that has forgotten the script, or never had it, is given it. */
export async function runScript(redis: Redis | Cluster, operation: Operation, call: ScriptCall): Promise<Reply> {
  const script = SCRIPTS.get(operation) ?? load(operation);
  try {
    return (await redis.sendCommand(new ScriptCommand('evalsha', script.sha, call))) as Reply;
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    return (await redis.sendCommand(new ScriptCommand('eval', script.text, call))) as Reply;
  }
}
